import t from 'tap';
import type { ForwardAction } from '../../../../proxy/config/model/route.ts';
import type { RequestEncoder, ResponseDecoder } from '../../../../proxy/http/codec.ts';
import { HeaderMap } from '../../../../proxy/http/header-map.ts';
import type { Connection } from '../../../../proxy/network/connection.ts';
import { findTermination, openTerminatedConnect } from '../../../../proxy/router/terminated-connect.ts';
import { StreamInfo } from '../../../../proxy/telemetry/stream-info.ts';
import type { Host, TcpPoolCallbacks } from '../../../../proxy/upstream/cluster-manager.ts';
import { plainOptions } from '../upstream/upstream-fixture.ts';
import { makeConnectionInfo } from './route-models.ts';

t.test('CONNECT ends here where the route says so, and POST where that is allowed too', async t => {
  const action = (connect?: object): ForwardAction => ({ ...(connect && { connect }) }) as ForwardAction;
  const strict = { allowPost: false };
  t.equal(findTermination(action(), 'CONNECT'), null);
  t.equal(findTermination(action(strict), 'CONNECT'), strict);
  t.equal(findTermination(action(strict), 'POST'), null);
  t.equal(findTermination(action(strict), 'GET'), null);
  const lenient = { allowPost: true };
  t.equal(findTermination(action(lenient), 'POST'), lenient);
  t.equal(findTermination(action(lenient), 'GET'), null);
});

/** A terminated CONNECT on a connection that notes what happens to it. */
function open(proxyProtocol?: 'v1') {
  const events: string[] = [];
  const connection = {
    info: makeConnectionInfo(),
    callbacks: null as unknown as Connection['callbacks'],
    enableHalfClose() {},
    write: (data: Buffer, endStream: boolean) => events.push(`write ${data.toString().trim()}${endStream ? ' end' : ''}`),
    close: (type: string) => events.push(`close ${type}`),
  };
  let encoder!: RequestEncoder;
  let pool!: TcpPoolCallbacks;
  const host = {
    connect(_options: unknown, callbacks: TcpPoolCallbacks) {
      pool = callbacks;
      return null;
    },
  } as unknown as Host;
  const decoder = {
    onResponseHeaders: (headers: HeaderMap, endStream: boolean) => events.push(`${headers.status}${endStream ? ' end' : ''}`),
    onResponseData: (data: Buffer, endStream: boolean) => events.push(`data ${data}${endStream ? ' end' : ''}`),
    onReset: (reason: string) => events.push(reason),
  } as unknown as ResponseDecoder;
  const localAddress = { kind: 'socket', address: '10.0.0.1', port: 1 } as const;
  const remoteAddress = { kind: 'socket', address: '10.0.0.2', port: 2 } as const;
  const info = new StreamInfo(makeConnectionInfo({ localAddress, remoteAddress }), 0, 0);
  const model = { allowPost: false, ...(proxyProtocol && { proxyProtocol }) };
  openTerminatedConnect(host, plainOptions, model, info, decoder, {
    onPoolReady(ready) {
      encoder = ready;
    },
    onPoolFailure: reason => events.push(`failed: ${reason}`),
  });
  const connect = (): void => pool.onPoolReady(connection as unknown as Connection, () => events.push('released'));
  return { events, connect, pool: () => pool, encoder: () => encoder, upstream: () => connection.callbacks };
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

t.test('the answer follows what there is of the body', async t => {
  const { events, connect, encoder } = open();
  connect();
  encoder().encodeHeaders(new HeaderMap(), false);
  encoder().encodeData(Buffer.from('early'), false);
  await turn();
  t.strictSame(events, ['write early', '200']);
});

t.test('the connection may begin with whom it is for', async t => {
  const { events, connect, encoder } = open('v1');
  connect();
  encoder().encodeHeaders(new HeaderMap(), false);
  t.strictSame(events, ['write PROXY TCP4 10.0.0.2 10.0.0.1 2 1']);
});

t.test('a connection that ended in both directions is no failure of its request', async t => {
  const { events, connect, encoder, upstream } = open();
  connect();
  encoder().encodeHeaders(new HeaderMap(), false);
  await turn();
  encoder().encodeData(Buffer.alloc(0), true);
  upstream().onData(Buffer.from('bye'), true);
  upstream().onClose('remote-close');
  t.strictSame(events, ['200', 'write  end', 'released', 'data bye end']);
});

t.test('a connection that is lost resets the stream, and a stream that is reset closes the connection', async t => {
  const lost = open();
  lost.connect();
  lost.encoder().encodeHeaders(new HeaderMap(), false);
  lost.upstream().onClose('remote-reset');
  await turn();
  t.strictSame(lost.events, ['connection-termination']);
  const reset = open();
  reset.connect();
  reset.encoder().encodeHeaders(new HeaderMap(), false);
  reset.encoder().reset('local-reset');
  reset.upstream().onClose('local-close');
  await turn();
  t.strictSame(reset.events, ['close no-flush']);
});

t.test('a connection that cannot be made fails the request', async t => {
  const { events, pool } = open();
  pool().onPoolFailure('timeout', '');
  t.strictSame(events, ['failed: timeout']);
});
