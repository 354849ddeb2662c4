/** Everything between the response filters and the codec: headers, winding down, the end of the connection, tracing. */
import type { ActiveStream } from './active-stream.ts';
import type { HeaderMap } from './header-map.ts';
import { applyResponseHeaders } from './response-headers.ts';

/** Prepares the headers of a final response. */
export function prepareResponse(stream: ActiveStream, headers: HeaderMap): void {
  const { manager, requestHeaders } = stream;
  const { model, stats, services, trafficDirection } = manager.context;
  applyResponseHeaders(headers, requestHeaders, model);
  if (!manager.closing && services.drain.isDraining(trafficDirection)) {
    manager.beginDrain();
    stats.counter('downstream_cx_drain_close').inc();
  }
  if (!stream.requestComplete) {
    if (headers.status !== 101) manager.closeAfterResponse();
    stats.counter('downstream_rq_response_before_rq_complete').inc();
  }
  const isUpgraded = headers.status === 101 || (requestHeaders?.method === 'CONNECT' && headers.status < 300);
  if (!isUpgraded) setConnection(stream, headers);
  passDecorator(stream, headers);
}

/** Tells an HTTP/1 client whether its connection goes on. */
function setConnection({ manager, confirmsKeepAlive }: ActiveStream, headers: HeaderMap): void {
  if (manager.isMultiplexed) headers.remove('connection');
  else if (manager.closing) headers.set('connection', 'close');
  else if (confirmsKeepAlive) headers.set('connection', 'keep-alive');
}

/** Tracing: inbound tells the client its operation, outbound keeps what the server told to itself. */
function passDecorator({ manager, decoratedOperation }: ActiveStream, headers: HeaderMap): void {
  const { model, trafficDirection } = manager.context;
  if (model.tracing === null) return;
  if (trafficDirection === 'outbound') headers.remove('x-envoy-decorator-operation');
  else if (decoratedOperation !== '') headers.set('x-envoy-decorator-operation', decoratedOperation);
}
