/** The client side of HTTP/2: many streams on one pooled connection. */
import type { Connection } from '../../network/connection.ts';
import type { ClientCodec, ClientConnectionCallbacks } from '../codec.ts';
import type { Http2Options } from './options.ts';

/** Makes the codec of one upstream connection and sends the preface and SETTINGS. */
export function createClientCodec(
  _connection: Connection,
  _options: Http2Options,
  _callbacks: ClientConnectionCallbacks,
): ClientCodec {
  throw new Error('HTTP/2 is not spoken to upstreams yet');
}
