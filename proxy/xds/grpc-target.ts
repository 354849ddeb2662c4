/**
 * A gRPC channel to a static cluster. A channel is used by one stream and made anew for the next: reconnecting is the business
 * of the stream's own backoff, not of the channel's.
 */
import { createSecureContext } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, Client, credentials } from '@grpc/grpc-js';
import { RE2JS } from 're2js';
import { formatAddress } from '../config/model/address.ts';
import type { ClusterModel } from '../config/model/cluster.ts';
import type { StringMatcher } from '../config/model/matchers.ts';
import type { SecretModel, SubjectAltNameMatcher, UpstreamTlsModel } from '../config/model/tls.ts';

/** Envoy does not give up on a connection that is slow to answer keepalives earlier either. */
const keepaliveTimeoutMs = 20_000;

export interface GrpcTarget {
  /** Address of the endpoint, for messages. */
  readonly address: string;
  open(): Client;
}

/**
 * @param findSecret what a static TLS context refers to; SDS secrets of control-plane clusters are not waited for.
 * @throws if the cluster has no endpoint.
 */
export function createGrpcTarget(cluster: ClusterModel, findSecret: (key: string) => SecretModel | null): GrpcTarget {
  const host = cluster.loadAssignment?.localities.flatMap(locality => locality.hosts)[0];
  if (host === undefined) throw new Error(`cluster ${cluster.name} has no endpoint`);
  const address = host.address.kind === 'pipe' ? `unix:${host.address.path}` : `dns:${formatAddress(host.address)}`;
  const socket = cluster.transportSocket;
  const options: ChannelOptions = {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.initial_reconnect_backoff_ms': 500,
    'grpc.max_reconnect_backoff_ms': 30_000,
    ...keepaliveOptions(cluster),
    ...(socket.kind === 'upstream-tls' && socket.sni !== ''
      ? { 'grpc.ssl_target_name_override': socket.sni, 'grpc.default_authority': socket.sni }
      : { 'grpc.default_authority': cluster.name }),
  };
  return {
    address,
    open: () =>
      new Client(address, socket.kind === 'upstream-tls' ? secure(socket, findSecret) : credentials.createInsecure(), options),
  };
}

/** TCP keepalive becomes HTTP/2 pings: the channel does not hand out its socket. Over a pipe there is no need of either. */
function keepaliveOptions(cluster: ClusterModel): ChannelOptions {
  const seconds = cluster.tcpKeepalive?.timeSeconds ?? 0;
  if (seconds === 0) return {};
  return { 'grpc.keepalive_time_ms': seconds * 1000, 'grpc.keepalive_timeout_ms': keepaliveTimeoutMs };
}

function secure(socket: UpstreamTlsModel, findSecret: (key: string) => SecretModel | null): ChannelCredentials {
  const { certificateSecret, validationSecret, validation, minVersion, maxVersion } = socket.common;
  const certificate = certificateSecret === null ? null : (findSecret(certificateSecret)?.certificate ?? null);
  const secret = validationSecret === null ? null : findSecret(validationSecret);
  const trusted = secret?.validation ?? validation;
  const context = createSecureContext({
    ca: trusted?.trustedCa ?? undefined,
    cert: certificate?.chain,
    key: certificate?.privateKey,
    passphrase: certificate?.password ?? undefined,
    minVersion,
    maxVersion,
  });
  const unchecked = trusted === null || trusted.acceptUntrusted;
  const names = trusted?.subjectAltNames ?? [];
  return credentials.createFromSecureContext(context, {
    rejectUnauthorized: !unchecked,
    // Like Envoy: the host name counts only where the configuration lists it.
    checkServerIdentity: (_host, certificate) => checkSubjectAltNames(certificate.subjectaltname ?? '', names),
  });
}

/** @param text `URI:a, DNS:b`, as Node gives the names; only whole values are compared. */
function checkSubjectAltNames(text: string, matchers: readonly SubjectAltNameMatcher[]): Error | undefined {
  if (matchers.length === 0) return undefined;
  const values = text.split(', ').map(entry => entry.slice(entry.indexOf(':') + 1));
  if (values.some(value => matchers.some(({ matcher }) => matchesString(matcher, value)))) return undefined;
  return new Error(`verify SAN list: ${text} matches none of the configured names`);
}

function matchesString({ kind, value: pattern, ignoreCase }: StringMatcher, text: string): boolean {
  const [expected, value] = ignoreCase ? [pattern.toLowerCase(), text.toLowerCase()] : [pattern, text];
  switch (kind) {
    case 'exact':
      return value === expected;
    case 'prefix':
      return value.startsWith(expected);
    case 'suffix':
      return value.endsWith(expected);
    case 'contains':
      return value.includes(expected);
    case 'regex':
      return RE2JS.compile(pattern).matches(text);
  }
}
