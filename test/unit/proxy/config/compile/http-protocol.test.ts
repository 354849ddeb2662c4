import t from 'tap';
import type { Partially, protos } from '../../../../../protos/messages.ts';
import type { HttpConnectionManagerModel } from '../../../../../proxy/config/model/http-connection-manager.ts';
import { any, compile, httpListenerOf, refuses } from './fixture.ts';

type Http2Message = Partially<protos.envoy.config.core.v3.Http2ProtocolOptions>;

const optionsName = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const seconds = (count: number) => ({ seconds: count, nanos: 0 });

function upstreamOptions(message: Http2Message) {
  const options = any(optionsName, { explicit_http_config: { http2_protocol_options: message } });
  return compile.cluster({ name: 'c', typed_extension_protocol_options: { [optionsName]: options } }).model.protocol.http2;
}

function managerOptions(message: Parameters<typeof httpListenerOf>[0]) {
  const [filter] = compile.listener(httpListenerOf(message)).model.filterChains[0].filters;
  return (filter.config as HttpConnectionManagerModel).http2;
}

t.test("HTTP/2 has Envoy's limits where nothing is set", async t => {
  const defaults = {
    hpackTableBytes: 4096,
    maxConcurrentStreams: 1024,
    initialStreamWindowBytes: 16_777_216,
    initialConnectionWindowBytes: 25_165_824,
    allowConnect: false,
    maxOutboundFrames: 10_000,
    maxOutboundControlFrames: 1000,
    maxConsecutiveInboundFramesWithEmptyPayload: 1,
    maxInboundPriorityFramesPerStream: 100,
    maxInboundWindowUpdateFramesPerDataFrameSent: 10,
    streamErrorOnInvalidHttpMessaging: false,
    connectionKeepalive: null,
  };
  t.same(upstreamOptions({}), defaults);
  t.same(managerOptions({}), defaults);
  t.same(compile.cluster({ name: 'c' }).model.protocol.http2, defaults);
});

t.test('what is set replaces the defaults, zero included where it is allowed', async t => {
  t.match(
    upstreamOptions({
      hpack_table_size: { value: 0 },
      max_concurrent_streams: { value: 7 },
      initial_stream_window_size: { value: 65_535 },
      max_consecutive_inbound_frames_with_empty_payload: { value: 0 },
      max_outbound_control_frames: { value: 5 },
      allow_connect: true,
    }),
    {
      hpackTableBytes: 0,
      maxConcurrentStreams: 7,
      initialStreamWindowBytes: 65_535,
      maxConsecutiveInboundFramesWithEmptyPayload: 0,
      maxOutboundControlFrames: 5,
      allowConnect: true,
    },
  );
});

t.test('values that Envoy refuses are refused', async t => {
  const at = `typed_extension_protocol_options["${optionsName}"].explicit_http_config.http2_protocol_options`;
  const refused: readonly [Http2Message, string][] = [
    [{ max_concurrent_streams: { value: 0 } }, 'max_concurrent_streams'],
    [{ initial_stream_window_size: { value: 65_534 } }, 'initial_stream_window_size'],
    [{ initial_connection_window_size: { value: 2 ** 31 } }, 'initial_connection_window_size'],
    [{ max_outbound_frames: { value: 0 } }, 'max_outbound_frames'],
    [
      { max_inbound_window_update_frames_per_data_frame_sent: { value: 0 } },
      'max_inbound_window_update_frames_per_data_frame_sent',
    ],
    [{ connection_keepalive: { timeout: seconds(0) } }, 'connection_keepalive.timeout'],
    [{ connection_keepalive: { timeout: seconds(1), interval: seconds(0) } }, 'connection_keepalive.interval'],
  ];
  for (const [message, field] of refused) refuses(t, () => upstreamOptions(message), `${at}.${field}`, 'inside range');
  refuses(
    t,
    () => upstreamOptions({ connection_keepalive: { interval: seconds(1) } }),
    `${at}.connection_keepalive.timeout`,
    'value is required',
  );
});

t.test('a keepalive without jitter has fifteen percent', async t => {
  t.same(upstreamOptions({ connection_keepalive: { interval: seconds(300), timeout: seconds(20) } }).connectionKeepalive, {
    intervalMs: 300_000,
    timeoutMs: 20_000,
    intervalJitterPercent: 15,
    connectionIdleIntervalMs: 0,
  });
});

t.test("what an invalid message ends is said by the options, then by the manager, then by the options' old field", async t => {
  t.equal(managerOptions({ stream_error_on_invalid_http_message: { value: true } }).streamErrorOnInvalidHttpMessaging, true);
  const own = { override_stream_error_on_invalid_http_message: { value: false } };
  const both = { stream_error_on_invalid_http_message: { value: true }, http2_protocol_options: own };
  t.equal(managerOptions(both).streamErrorOnInvalidHttpMessaging, false);
  const old = { stream_error_on_invalid_http_messaging: true };
  t.equal(managerOptions({ http2_protocol_options: old }).streamErrorOnInvalidHttpMessaging, true);
  const overruled = { stream_error_on_invalid_http_message: { value: false }, http2_protocol_options: old };
  t.equal(managerOptions(overruled).streamErrorOnInvalidHttpMessaging, false);
});
