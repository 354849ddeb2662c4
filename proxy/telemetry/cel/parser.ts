/**
 * Parses the Common Expression Language into a tree.
 *
 * Differs from Envoy: of the macros only `has` exists, and there are no message literals; what is not known is a syntax error,
 * so a configuration that uses it is refused.
 *
 * Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md
 */

export class CelSyntaxError extends Error {}

export type CelNode =
  | { readonly kind: 'literal'; readonly value: unknown }
  | { readonly kind: 'identifier'; readonly name: string }
  | { readonly kind: 'member'; readonly object: CelNode; readonly name: string }
  | { readonly kind: 'index'; readonly object: CelNode; readonly index: CelNode }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly CelNode[] }
  | { readonly kind: 'unary'; readonly op: '!' | '-'; readonly operand: CelNode }
  | { readonly kind: 'binary'; readonly op: BinaryOperator; readonly left: CelNode; readonly right: CelNode }
  | { readonly kind: 'conditional'; readonly test: CelNode; readonly then: CelNode; readonly otherwise: CelNode }
  | { readonly kind: 'list'; readonly items: readonly CelNode[] }
  | { readonly kind: 'map'; readonly entries: readonly (readonly [CelNode, CelNode])[] };

export type BinaryOperator = '||' | '&&' | '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | '+' | '-' | '*' | '/' | '%';

interface Token {
  readonly kind: 'identifier' | 'number' | 'string' | 'symbol' | 'end';
  readonly text: string;
  readonly value: unknown;
}

/** Functions and the number of their arguments, the receiver included. */
export const celFunctions: { readonly [name: string]: number | undefined } = {
  has: 1,
  size: 1,
  string: 1,
  int: 1,
  uint: 1,
  double: 1,
  matches: 2,
  startsWith: 2,
  endsWith: 2,
  contains: 2,
};

/** Binary operators, loosest first. */
const levels: readonly (readonly BinaryOperator[])[] = [
  ['||'],
  ['&&'],
  ['==', '!=', '<', '<=', '>', '>=', 'in'],
  ['+', '-'],
  ['*', '/', '%'],
];

const maxDepth = 100;

const tokenPattern =
  /\s*(?:\/\/[^\n]*\n\s*)*(?:([rR]?"(?:[^"\\\n]|\\.)*"|[rR]?'(?:[^'\\\n]|\\.)*')|(0[xX][0-9a-fA-F]+[uU]?|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[uU]?)|([A-Za-z_]\w*)|(\|\||&&|==|!=|<=|>=|[-+*/%<>!?:.,()[\]{}]))/y;

const escapes: { readonly [letter: string]: string } = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b', f: '\f', v: '\v' };

function unquote(text: string): string {
  const raw = /^[rR]/.test(text);
  const body = text.slice(raw ? 2 : 1, -1);
  if (raw) return body;
  return body.replace(/\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))/g, (_, x, u, U, o, c) => {
    if (c !== undefined) return escapes[c] ?? c;
    return String.fromCodePoint(o === undefined ? Number.parseInt(x ?? u ?? U, 16) : Number.parseInt(o, 8));
  });
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  tokenPattern.lastIndex = 0;
  while (tokenPattern.lastIndex < end) {
    const start = tokenPattern.lastIndex;
    const match = tokenPattern.exec(text);
    if (match === null) throw new CelSyntaxError(`cannot parse '${text.slice(start)}'`);
    const [, string, number, identifier, symbol] = match;
    if (string !== undefined) tokens.push({ kind: 'string', text: string, value: unquote(string) });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number, value: Number(number.replace(/[uU]$/, '')) });
    else if (identifier !== undefined) tokens.push({ kind: 'identifier', text: identifier, value: null });
    else tokens.push({ kind: 'symbol', text: symbol, value: null });
  }
  tokens.push({ kind: 'end', text: 'end of expression', value: null });
  return tokens;
}

/** @throws CelSyntaxError */
export function parseCel(text: string): CelNode {
  const parser = new Parser(tokenize(text));
  return parser.parseAll();
}

class Parser {
  readonly #tokens: readonly Token[];
  #position = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  parseAll(): CelNode {
    const node = this.#parseExpression();
    if (this.#peek().kind !== 'end') throw new CelSyntaxError(`unexpected '${this.#peek().text}'`);
    return node;
  }

  #peek(): Token {
    return this.#tokens[this.#position];
  }

  #accept(text: string): boolean {
    const token = this.#peek();
    if (token.text !== text || token.kind === 'string') return false;
    this.#position++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#accept(text)) throw new CelSyntaxError(`expected '${text}' instead of '${this.#peek().text}'`);
  }

  #parseExpression(): CelNode {
    if (++this.#depth > maxDepth) throw new CelSyntaxError('expression is nested too deeply');
    const test = this.#parseBinary(0);
    let node = test;
    if (this.#accept('?')) {
      const then = this.#parseBinary(0);
      this.#expect(':');
      node = { kind: 'conditional', test, then, otherwise: this.#parseExpression() };
    }
    this.#depth--;
    return node;
  }

  #parseBinary(level: number): CelNode {
    if (level === levels.length) return this.#parseUnary();
    let left = this.#parseBinary(level + 1);
    for (;;) {
      const token = this.#peek();
      const op = token.kind === 'string' ? undefined : levels[level].find(each => each === token.text);
      if (op === undefined) return left;
      this.#position++;
      left = { kind: 'binary', op, left, right: this.#parseBinary(level + 1) };
    }
  }

  #parseUnary(): CelNode {
    if (++this.#depth > maxDepth) throw new CelSyntaxError('expression is nested too deeply');
    const op = this.#accept('!') ? '!' : this.#accept('-') ? '-' : null;
    const node: CelNode = op === null ? this.#parseMember() : { kind: 'unary', op, operand: this.#parseUnary() };
    this.#depth--;
    return node;
  }

  #parseMember(): CelNode {
    let node = this.#parsePrimary();
    for (;;) {
      if (this.#accept('.')) {
        const { kind, text } = this.#peek();
        if (kind !== 'identifier') throw new CelSyntaxError(`expected a field instead of '${text}'`);
        this.#position++;
        node = this.#accept('(') ? this.#finishCall(text, [node]) : { kind: 'member', object: node, name: text };
      } else if (this.#accept('[')) {
        node = { kind: 'index', object: node, index: this.#parseExpression() };
        this.#expect(']');
      } else {
        return node;
      }
    }
  }

  #finishCall(name: string, receiver: readonly CelNode[]): CelNode {
    const args = [...receiver, ...this.#parseList(')')];
    if (celFunctions[name] !== args.length) throw new CelSyntaxError(`unknown function ${name} with ${args.length} arguments`);
    if (name === 'has' && args[0].kind !== 'member') throw new CelSyntaxError('has() takes a field selection');
    return { kind: 'call', name, args };
  }

  #parseList(end: string): CelNode[] {
    const items: CelNode[] = [];
    while (!this.#accept(end)) {
      items.push(this.#parseExpression());
      if (!this.#accept(',')) {
        this.#expect(end);
        break;
      }
    }
    return items;
  }

  #parseMap(): CelNode {
    const entries: [CelNode, CelNode][] = [];
    while (!this.#accept('}')) {
      const key = this.#parseExpression();
      this.#expect(':');
      entries.push([key, this.#parseExpression()]);
      if (!this.#accept(',')) {
        this.#expect('}');
        break;
      }
    }
    return { kind: 'map', entries };
  }

  #parsePrimary(): CelNode {
    const token = this.#peek();
    this.#position++;
    if (token.kind === 'string' || token.kind === 'number') return { kind: 'literal', value: token.value };
    if (token.kind === 'identifier') return this.#parseIdentifier(token.text);
    switch (token.text) {
      case '(': {
        const node = this.#parseExpression();
        this.#expect(')');
        return node;
      }
      case '[':
        return { kind: 'list', items: this.#parseList(']') };
      case '{':
        return this.#parseMap();
      default:
        throw new CelSyntaxError(`unexpected '${token.text}'`);
    }
  }

  #parseIdentifier(name: string): CelNode {
    if (name === 'true' || name === 'false') return { kind: 'literal', value: name === 'true' };
    if (name === 'null') return { kind: 'literal', value: null };
    if (name === 'in') throw new CelSyntaxError("unexpected 'in'");
    return this.#accept('(') ? this.#finishCall(name, []) : { kind: 'identifier', name };
  }
}
