import t from 'tap';
import { type CpuProfile, renderFlameGraph, sumSamples } from '../../../bench/flame-graph.ts';

function node(id: number, functionName: string, hitCount: number, children: number[] = []): CpuProfile['nodes'][number] {
  const url = functionName.startsWith('(') ? '' : 'file:///proxy/codec.ts';
  return { id, callFrame: { functionName, url, lineNumber: id }, hitCount, children };
}

const profile: CpuProfile = {
  nodes: [
    node(1, '(root)', 0, [2, 3, 4]),
    node(2, '(idle)', 900),
    node(3, 'read', 10, [5, 6]),
    node(4, '(garbage collector)', 30),
    node(5, 'parse<Head>', 40),
    node(6, 'write', 20),
  ],
};

t.test('samples are summed upwards, and idle time is left out', async t => {
  const top = sumSamples(profile);
  t.equal(top.total, 100);
  t.same(
    [...top.children.values()].map(({ name, total, self }) => [name, total, self]),
    [
      ['read', 70, 10],
      ['(garbage collector)', 30, 30],
    ],
  );
});

t.test('calls of one function by one caller are one frame', async t => {
  const twice = { ...node(6, 'parse<Head>', 20), callFrame: profile.nodes[4].callFrame };
  const top = sumSamples({ nodes: [...profile.nodes.slice(0, 5), twice] });
  const [read] = top.children.values();
  t.same(
    [...read.children.values()].map(({ name, total }) => [name, total]),
    [['parse<Head>', 60]],
  );
});

t.test('a box is as wide as its share, tells it, and is well-formed', async t => {
  const svg = renderFlameGraph(sumSamples(profile), 'http1: plain & simple');
  t.match(svg, /read codec\.ts:4: 70 samples, 70\.0 %; itself 10\.0 %<\/title><rect x="0\.0" y="47" width="840\.0"/);
  t.match(svg, />parse&#60;Head&#62;</);
  t.match(svg, /plain &#38; simple/);
  t.notMatch(svg, /idle/);
});
