/** Flame graphs of V8's CPU profiles, as SVG files that need nothing else. */

/** The form of `node --cpu-prof`, as far as it is read here. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
    readonly hitCount: number;
    readonly children?: readonly number[];
  }[];
}

export interface Frame {
  readonly name: string;
  readonly file: string;
  /** Samples in it and in what it calls. */
  total: number;
  self: number;
  readonly children: Map<string, Frame>;
}

const width = 1200;
const rowHeight = 17;
const titleHeight = 30;
/** Narrower boxes are left out. */
const minWidth = 0.3;
const charWidth = 6.6;

/** One tree of the samples, without idle time; calls of the same function by the same caller are one frame. */
export function sumSamples({ nodes }: CpuProfile): Frame {
  const byId = new Map(nodes.map(node => [node.id, node]));
  const add = (id: number, parent: Frame): void => {
    const node = byId.get(id);
    if (node === undefined || node.callFrame.functionName === '(idle)') return;
    const { functionName, url, lineNumber } = node.callFrame;
    const name = functionName === '' ? '(anonymous)' : functionName;
    const file = url === '' ? '' : `${url.slice(url.lastIndexOf('/') + 1)}:${lineNumber + 1}`;
    const key = `${name} ${file}`;
    const frame = parent.children.get(key) ?? { name, file, total: 0, self: 0, children: new Map() };
    parent.children.set(key, frame);
    frame.self += node.hitCount;
    for (const child of node.children ?? []) add(child, frame);
  };
  const top: Frame = { name: 'all', file: '', total: 0, self: 0, children: new Map() };
  const root = nodes[0];
  for (const child of root.children ?? []) add(child, top);
  sumTotals(top);
  return top;
}

function sumTotals(frame: Frame): number {
  frame.total = frame.self;
  for (const child of frame.children.values()) frame.total += sumTotals(child);
  return frame.total;
}

/** Callers above, callees below, widest first; hovering tells samples and shares. */
export function renderFlameGraph(top: Frame, title: string): string {
  const boxes: string[] = [];
  let depth = 0;
  const draw = (frame: Frame, level: number, x: number): void => {
    const boxWidth = (frame.total / top.total) * width;
    if (boxWidth < minWidth) return;
    depth = Math.max(depth, level + 1);
    boxes.push(renderBox(frame, x, titleHeight + level * rowHeight, boxWidth, top.total));
    let childX = x;
    for (const child of [...frame.children.values()].sort((a, b) => b.total - a.total)) {
      draw(child, level + 1, childX);
      childX += (child.total / top.total) * width;
    }
  };
  draw(top, 0, 0);
  const height = titleHeight + depth * rowHeight + 10;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="monospace" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="4" y="18" font-size="14">${escapeXml(title)}</text>`,
    ...boxes,
    '</svg>\n',
  ].join('\n');
}

function renderBox({ name, file, total, self }: Frame, x: number, y: number, boxWidth: number, all: number): string {
  const percent = (samples: number): string => `${((samples / all) * 100).toFixed(1)} %`;
  const tip = `${name} ${file}: ${total} samples, ${percent(total)}; itself ${percent(self)}`;
  const label = boxWidth < 3 * charWidth ? '' : name.slice(0, Math.floor(boxWidth / charWidth));
  return (
    `<g><title>${escapeXml(tip)}</title>` +
    `<rect x="${x.toFixed(1)}" y="${y}" width="${boxWidth.toFixed(1)}" height="${rowHeight - 1}" fill="${colorOf(file)}"/>` +
    `<text x="${(x + 2).toFixed(1)}" y="${y + 12}">${escapeXml(label)}</text></g>`
  );
}

/** Node's own and native code grey, this project's by file. */
function colorOf(file: string): string {
  if (file === '') return '#d0d0d0';
  let hash = 0;
  for (const char of file.slice(0, file.lastIndexOf(':'))) hash = (hash * 31 + char.charCodeAt(0)) % 60;
  return `hsl(${hash},85%,68%)`;
}

function escapeXml(text: string): string {
  return text.replace(/[<>&"]/g, char => `&#${char.charCodeAt(0)};`);
}
