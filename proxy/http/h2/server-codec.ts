/** The server side of HTTP/2: many streams on one downstream connection. */
import type { Connection } from '../../network/connection.ts';
import type { ServerCodec, ServerConnectionCallbacks } from '../codec.ts';
import type { Http2Options } from './options.ts';

/** Makes the codec of one downstream connection and sends its SETTINGS. */
export function createServerCodec(
  _connection: Connection,
  _options: Http2Options,
  _callbacks: ServerConnectionCallbacks,
): ServerCodec {
  throw new Error('HTTP/2 is not served yet');
}
