/** A connection to istiod's discovery service. Each stream has its own, so that it sees renewed roots and another istiod. */
import { Client, type ClientDuplexStream, connectivityState, credentials } from '@grpc/grpc-js';
import type { Environment } from '../config/environment.ts';
import type { ProxyConfig } from '../config/proxy-config.ts';
import { findClientCertificate, findXdsRoot } from '../identity/credential-files.ts';
import { buildCallMetadata, buildTlsChannel } from '../identity/istiod-credentials.ts';
import { buildKeepaliveOptions } from '../istiod-keepalive.ts';

/** A silent istiod (dropped packets) counts as unreachable after this. */
const dialTimeoutMs = 5000;

/** HTTP/2 window: a push of many megabytes must not wait for the round trips of small windows. */
const windowBytes = 1024 * 1024;

export interface IstiodChannel {
  /** Begins to connect before a stream asks for it. */
  connect(): void;
  /** Whether the last attempt to connect failed. */
  readonly hasFailed: boolean;
  openStream(path: string): ClientDuplexStream<Buffer, Buffer>;
  /** Calls back if no connection exists after the dial timeout. */
  watchDial(onTimeout: () => void): void;
  close(): void;
}

/** @throws if a root or client certificate cannot be read. */
export function openIstiodChannel(environment: Environment, proxyConfig: ProxyConfig): IstiodChannel {
  const address = proxyConfig.discoveryAddress;
  const options = {
    ...buildKeepaliveOptions(environment),
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc-node.flow_control_window': windowBytes,
  };
  const plaintext = proxyConfig.controlPlaneAuthPolicy !== 'MUTUAL_TLS';
  const tls = plaintext
    ? { credentials: credentials.createInsecure(), options: {} }
    : buildTlsChannel(
        address,
        findXdsRoot(environment, proxyConfig),
        findClientCertificate(environment, proxyConfig),
        environment.istiodSan,
        environment.compliancePolicy,
      );
  const client = new Client(address, tls.credentials, { ...options, ...tls.options });
  return {
    connect: () => void client.getChannel().getConnectivityState(true),
    get hasFailed() {
      return client.getChannel().getConnectivityState(false) === connectivityState.TRANSIENT_FAILURE;
    },
    openStream: path => {
      const passBytes = (bytes: Buffer): Buffer => bytes;
      return client.makeBidiStreamRequest(path, passBytes, passBytes, buildCallMetadata(environment, environment.xdsHeaders));
    },
    watchDial: onTimeout =>
      client.waitForReady(Date.now() + dialTimeoutMs, error => {
        if (error !== undefined) onTimeout();
      }),
    close: () => client.close(),
  };
}
