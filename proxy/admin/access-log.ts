/** The admin API's own access log. */
import type { IncomingMessage } from 'node:http';
import { TimerWheel } from '../../common/timer-wheel.ts';
import type { AccessLogModel } from '../config/model/access-log.ts';
import type { Address } from '../config/model/address.ts';
import { HeaderMap } from '../http/header-map.ts';
import type { ConnectionInfo } from '../network/connection.ts';
import type { AccessLogger } from '../telemetry/access-log.ts';
import { FileAccessLogs } from '../telemetry/file-access-log.ts';
import { StreamInfo } from '../telemetry/stream-info.ts';

const flushIntervalMs = 1000;
const flushMinBytes = 65_536;

export class AdminAccessLog {
  readonly #writer = new FileAccessLogs({ timers: new TimerWheel(), flushIntervalMs, flushMinBytes });
  readonly #loggers: readonly AccessLogger[];

  constructor(models: readonly AccessLogModel[]) {
    // What goes to /dev/null costs nothing.
    this.#loggers = this.#writer.create(models.filter(model => model.kind !== 'file' || model.path !== '/dev/null'));
  }

  /** @param startMonotonicMs when the request began. */
  log(message: IncomingMessage, status: number, bytesSent: number, startMonotonicMs: number): void {
    if (this.#loggers.length === 0) return;
    const nowMs = performance.now();
    const info = new StreamInfo(describeConnection(message), Date.now() - (nowMs - startMonotonicMs), startMonotonicMs);
    info.protocol = message.httpVersion === '1.0' ? 'HTTP/1.0' : 'HTTP/1.1';
    info.responseCode = status;
    info.bytesSent = bytesSent;
    info.endMonotonicMs = nowMs;
    const headers = new HeaderMap();
    headers.method = message.method ?? '';
    headers.path = message.url ?? '';
    headers.authority = message.headers.host ?? '';
    for (let i = 0; i < message.rawHeaders.length; i += 2)
      headers.add(message.rawHeaders[i].toLowerCase(), message.rawHeaders[i + 1]);
    for (const logger of this.#loggers) logger.log(info, headers, null, null);
  }

  close(): void {
    this.#writer.close();
  }
}

function describeConnection({ socket }: IncomingMessage): ConnectionInfo {
  const local: Address = { kind: 'socket', address: socket.localAddress ?? '', port: socket.localPort ?? 0 };
  const remote: Address = { kind: 'socket', address: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 };
  return {
    id: 0,
    localAddress: local,
    directLocalAddress: local,
    localAddressRestored: false,
    remoteAddress: remote,
    directRemoteAddress: remote,
    originalSource: null,
    requestedServerName: '',
    requestedApplicationProtocols: [],
    transportProtocol: 'raw_buffer',
    tls: null,
    startTimeMs: 0,
    transportFailureReason: '',
    listenerName: 'admin',
    filterChainName: '',
  };
}
