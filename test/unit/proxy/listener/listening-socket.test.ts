import koffi from 'koffi';
import t from 'tap';
import { closeDescriptor } from '../../../../proxy/network/socket-options.ts';
import { ListeningSocket } from '../../../../proxy/listener/listening-socket.ts';

const keepIdle = { level: 6, name: 4, value: 77 } as const;
const plain = { transparent: false, freebind: false };
const loopback = { kind: 'socket', address: '127.0.0.1', port: 0 } as const;

function readOption(fd: number, level: number, name: number): number {
  const getsockopt = koffi.load(null).func('int getsockopt(int fd, int level, int name, void *value, uint32_t *length)');
  const value = new Int32Array(1);
  getsockopt(fd, level, name, value, new Uint32Array([4]));
  return value[0];
}

t.test('options are set before the socket is bound, or after', async t => {
  for (const state of ['prebind', 'bound', 'listening'] as const) {
    const socket = new ListeningSocket(loopback, { ...plain, socketOptions: [{ ...keepIdle, state }] });
    const fd = socket.duplicate();
    t.equal(readOption(fd, 6, 4), 77, state);
    t.match(socket.address, { address: '127.0.0.1', port: Number });
    t.not((socket.address as { port: number }).port, 0);
    closeDescriptor(fd);
    socket.close();
  }
});

t.test('bytes are set as they are', async t => {
  const value = Buffer.from(new Int32Array([88]).buffer).toString('base64');
  const socket = new ListeningSocket(loopback, { ...plain, socketOptions: [{ ...keepIdle, value, state: 'bound' }] });
  const fd = socket.duplicate();
  t.equal(readOption(fd, 6, 4), 88);
  closeDescriptor(fd);
  socket.close();
});

t.test('an option that the kernel refuses is told by its numbers', async t => {
  const socketOptions = [{ level: 6, name: 9999, value: 1, state: 'prebind' }] as const;
  t.throws(
    () => new ListeningSocket(loopback, { ...plain, socketOptions }),
    /ListenSocket: Setting 6\/9999 option on socket failed/,
  );
});
