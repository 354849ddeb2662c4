/** `envoy.config.core.v3.SocketOption`. */
import type { protos } from '../../../protos/messages.ts';
import type { SocketOptionModel } from '../model/socket-option.ts';
import { ConfigError } from './config-error.ts';
import { requireRange } from './scalars.ts';

const states = ['prebind', 'bound', 'listening'] as const;
const maxInt = 2 ** 31 - 1;
const tcpLevel = 6;
const fastOpenOption = 23;

/** `path` is that of the list. */
export function compileSocketOptions(
  messages: readonly protos.envoy.config.core.v3.SocketOption[],
  path: string,
): readonly SocketOptionModel[] {
  return messages.map((message, i) => {
    const at = `${path}[${i}]`;
    const level = requireRange(message.level, 0, maxInt, `${at}.level`);
    const name = requireRange(message.name, 0, maxInt, `${at}.name`);
    const state = states[message.state];
    if (message.value === 'buf_value') {
      return { level, name, value: Buffer.from(message.buf_value as Uint8Array).toString('base64'), state };
    }
    if (message.value !== 'int_value') throw new ConfigError(`${at}.value`, 'value is required');
    return { level, name, value: requireRange(message.int_value as number, -maxInt - 1, maxInt, `${at}.int_value`), state };
  });
}

/** `tcp_fast_open_queue_length`: how many connections may wait that sent data with their first packet. */
export function makeFastOpenOption(queueLength: number): SocketOptionModel {
  return { level: tcpLevel, name: fastOpenOption, value: queueLength, state: 'listening' };
}
