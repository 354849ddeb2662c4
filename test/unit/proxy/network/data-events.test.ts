/** Connections, listeners and TLS once more, as on a Node whose sockets cannot read into our buffers. */
import { setDirectReads } from '../../../../proxy/network/socket-handle.ts';

setDirectReads(false);
await import('./client-connection.test.ts');
await import('./tls/server-handshake.test.ts');
await import('./tls/tls-stream.test.ts');
await import('../listener/worker-listeners.test.ts');
