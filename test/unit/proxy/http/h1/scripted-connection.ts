/** A connection that keeps what is written and can be closed. */
import type { Connection } from '../../../../../proxy/network/connection.ts';

export interface ScriptedConnection extends Connection {
  written: string;
  closed: string | null;
}

export function makeConnection(): ScriptedConnection {
  const connection = {
    written: '',
    closed: null as string | null,
    state: 'open',
    bufferedBytes: 0,
    bytesReceived: 0,
    bytesSent: 0,
    info: { transportFailureReason: '' },
    write(data: Buffer) {
      connection.written += data.toString('latin1');
    },
    writeLatin1(text: string) {
      connection.written += text;
    },
    readDisable() {},
    close(type: string) {
      connection.state = 'closed';
      connection.closed = type;
    },
  };
  return connection as unknown as ScriptedConnection;
}
