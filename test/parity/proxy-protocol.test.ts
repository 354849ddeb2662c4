/** The PROXY protocol on both sides of a proxy: what a listener reads, and what an upstream gets. */
import t from 'tap';
import { compareWithEnvoy } from './comparison.ts';
import type { ParityCase } from './parity-case.ts';

const type = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;
const get = 'GET / HTTP/1.1\r\nHost: a.test\r\n\r\n';
const named = {
  routes: [
    {
      match: { prefix: '/' },
      direct_response: { status: 200 },
      response_headers_to_add: [
        { header: { key: 'x-addresses', value: '%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS%' } },
      ],
    },
  ],
};
const received = (name: string, send: ParityCase['send'], config: object = {}): ParityCase => ({
  name: `listener: ${name}`,
  send,
  ...named,
  listener: {
    listener_filters: [
      { name: 'proxy_protocol', typed_config: { '@type': type('filters.listener.proxy_protocol.v3.ProxyProtocol'), ...config } },
    ],
  },
});
const sent = (version: 'V1' | 'V2', requests: readonly string[]): ParityCase => ({
  name: `upstream: ${version}`,
  send: requests,
  listener: {
    listener_filters: [
      { name: 'proxy_protocol', typed_config: { '@type': type('filters.listener.proxy_protocol.v3.ProxyProtocol') } },
    ],
  },
  cluster: {
    transport_socket: {
      name: 'upstream',
      typed_config: {
        '@type': type('transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport'),
        config: { version },
        transport_socket: { name: 'raw', typed_config: { '@type': type('transport_sockets.raw_buffer.v3.RawBuffer') } },
      },
    },
  },
});
const v1 = 'PROXY TCP4 10.0.0.1 10.0.0.2 1000 443\r\n';
const v2 = Buffer.from('0d0a0d0a000d0a515549540a2111000c0a0000010a00000203e801bb', 'hex').toString('latin1');

compareWithEnvoy(t, 'PROXY protocol', [
  received('text', v1 + get),
  received('text in pieces', [v1.slice(0, 9), v1.slice(9), get]),
  received('binary', v2 + get),
  received('none', get),
  received('none, which is allowed', get, { allow_requests_without_proxy_protocol: true }),
  received('a version that is not allowed', v1 + get, { disallowed_versions: ['V1'] }),
  received('damaged', v1.replace('443', '70000') + get),
  sent('V1', [v1 + get, get]),
  sent('V2', [v1 + get, get]),
]);
