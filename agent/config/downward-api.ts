/** Reads the pod's labels and annotations, which the kubelet mounts as `key="escaped value"` lines. */
import { readFileSync } from 'node:fs';

const labelsPath = './etc/istio/pod/labels';
const annotationsPath = './etc/istio/pod/annotations';

export type StringMap = Readonly<Record<string, string>>;

/** The pod's labels; null where there is no such file (outside Kubernetes). */
export function readPodLabels(): StringMap | null {
  return readDownwardFile(labelsPath);
}

/** The pod's annotations; null where there is no such file (outside Kubernetes). */
export function readPodAnnotations(): StringMap | null {
  return readDownwardFile(annotationsPath);
}

function readDownwardFile(path: string): StringMap | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return null;
  }
  return parseDownwardFile(text);
}

/**
 * Parses `key="value"` lines with Go's quoting; lines without `=` are skipped.
 * @throws if a value is not a quoted string.
 */
export function parseDownwardFile(text: string): StringMap {
  const values: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const separator = line.indexOf('=');
    if (separator >= 0) values[line.slice(0, separator)] = unquote(line.slice(separator + 1));
  }
  return values;
}

const simpleEscapes: StringMap = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '\\': '\\', '"': '"' };

function unquote(quoted: string): string {
  if (quoted.length < 2 || !quoted.startsWith('"') || !quoted.endsWith('"')) throw new Error(`failed to unquote ${quoted}`);
  // \xHH escapes are bytes of UTF-8, so the value is put together as bytes.
  const parts: Buffer[] = [];
  const pattern = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))|([^\\]+)/gsu;
  for (const [, hex, short, long, octal, simple, plain] of quoted.slice(1, -1).matchAll(pattern)) {
    if (plain !== undefined) parts.push(Buffer.from(plain));
    else if (hex !== undefined) parts.push(Buffer.from(hex, 'hex'));
    else if (octal !== undefined) parts.push(Buffer.from([Number.parseInt(octal, 8) & 0xff]));
    else if (simple !== undefined) {
      if (simpleEscapes[simple] === undefined) throw new Error(`failed to unquote ${quoted}`);
      parts.push(Buffer.from(simpleEscapes[simple]));
    } else parts.push(Buffer.from(String.fromCodePoint(Number.parseInt(short ?? long, 16))));
  }
  return Buffer.concat(parts).toString('utf8');
}
