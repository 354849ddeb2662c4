// k6: on each connection one WebSocket message after the other, each when the one before was echoed.
import { Counter } from 'k6/metrics';
import ws from 'k6/ws';

const answered = new Counter('answered');
const failed = new Counter('failed');
const payload = 'x'.repeat(64);
const { URL, CONNECTIONS, MILLISECONDS } = __ENV;

export const options = {
  scenarios: { all: { executor: 'per-vu-iterations', vus: Number(CONNECTIONS), iterations: 1, maxDuration: '10m' } },
};

export default function run() {
  const response = ws.connect(URL, {}, socket => {
    socket.on('open', () => socket.send(payload));
    socket.on('message', message => {
      if (message === payload) answered.add(1);
      else failed.add(1);
      socket.send(payload);
    });
    socket.on('error', () => failed.add(1));
    socket.setTimeout(() => socket.close(), Number(MILLISECONDS));
  });
  if (response.status !== 101) failed.add(1);
}

export function handleSummary({ metrics }) {
  const count = metric => (metric === undefined ? 0 : metric.values.count);
  return { stdout: JSON.stringify({ answered: count(metrics.answered), failed: count(metrics.failed) }) };
}
