/**
 * The headers of one message: a flat list of names and values in order of arrival. Names are lower case; values are latin1
 * text without surrounding blanks. Pseudo headers are fields of their own. Messages have about ten headers, for which a scan
 * beats a hash; names that the parser knows are interned, so most comparisons are of pointers.
 */
export class HeaderMap {
  /** Request pseudo headers; empty if absent. `path` holds path and query. */
  method = '';
  path = '';
  authority = '';
  /** False if the request had no host at all; an empty one counts. */
  hasAuthority = false;
  scheme = '';
  /** Of extended CONNECT, or of an upgrade on HTTP/1. */
  protocol = '';
  /** Response pseudo header; 0 on requests. */
  status = 0;
  /** name0, value0, name1, value1, ... Read it for iteration; change it through the methods. */
  readonly entries: string[] = [];
  /** Names as they were written, by lower-case name; null: they are sent in lower case. */
  originalNames: Map<string, string> | null = null;

  /** Number of headers, repeated ones counted each. */
  get size(): number {
    return this.entries.length >> 1;
  }

  /** The first value of a name, or undefined. */
  get(name: string): string | undefined {
    const entries = this.entries;
    for (let i = 0; i < entries.length; i += 2) if (entries[i] === name) return entries[i + 1];
    return undefined;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Every value of a name, in order. */
  getAll(name: string): string[] {
    const values: string[] = [];
    const entries = this.entries;
    for (let i = 0; i < entries.length; i += 2) if (entries[i] === name) values.push(entries[i + 1]);
    return values;
  }

  /** Every value of a name joined with ',' as Envoy does for matching, or undefined. */
  getJoined(name: string): string | undefined {
    let joined: string | undefined;
    const entries = this.entries;
    for (let i = 0; i < entries.length; i += 2) {
      if (entries[i] === name) joined = joined === undefined ? entries[i + 1] : `${joined},${entries[i + 1]}`;
    }
    return joined;
  }

  /** Adds a header at the end, also if the name exists. */
  add(name: string, value: string): void {
    this.entries.push(name, value);
  }

  /** Replaces every value of a name by one. */
  set(name: string, value: string): void {
    const entries = this.entries;
    for (let i = 0; i < entries.length; i += 2) {
      if (entries[i] === name) {
        entries[i + 1] = value;
        if (i + 2 < entries.length) this.#removeFrom(name, i + 2);
        return;
      }
    }
    entries.push(name, value);
  }

  /** Appends to the first value with ',' or adds the header; an empty value changes nothing where there is one. */
  append(name: string, value: string): void {
    const entries = this.entries;
    for (let i = 0; i < entries.length; i += 2) {
      if (entries[i] === name) {
        if (value !== '') entries[i + 1] = entries[i + 1] === '' ? value : `${entries[i + 1]},${value}`;
        return;
      }
    }
    entries.push(name, value);
  }

  /** Removes every value of a name and says whether there was one. */
  remove(name: string): boolean {
    const entries = this.entries;
    for (let i = 0; i < entries.length; i += 2) {
      if (entries[i] === name) {
        this.#removeFrom(name, i);
        return true;
      }
    }
    return false;
  }

  #removeFrom(name: string, from: number): void {
    const entries = this.entries;
    let kept = from;
    for (let i = from; i < entries.length; i += 2) {
      if (entries[i] === name) continue;
      entries[kept] = entries[i];
      entries[kept + 1] = entries[i + 1];
      kept += 2;
    }
    entries.length = kept;
  }

  /** Bytes of names and values, pseudo headers included: what header limits count. */
  get byteSize(): number {
    let size = this.method.length + this.path.length + this.authority.length + this.scheme.length;
    for (const text of this.entries) size += text.length;
    return size;
  }

  clone(): HeaderMap {
    const copy = new HeaderMap();
    copy.assign(this);
    return copy;
  }

  /** Becomes a copy of another map. */
  assign(other: HeaderMap): void {
    this.originalNames = other.originalNames;
    this.method = other.method;
    this.path = other.path;
    this.authority = other.authority;
    this.hasAuthority = other.hasAuthority;
    this.scheme = other.scheme;
    this.protocol = other.protocol;
    this.status = other.status;
    this.entries.length = 0;
    for (const text of other.entries) this.entries.push(text);
  }
}
