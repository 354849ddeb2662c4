/** The tables of HPACK: the static one (RFC 7541, appendix A) and the dynamic one of each direction of a connection. */
import { type FieldName, internFieldName, isFieldValueValid } from './field-name.ts';

/** A name with a value, and the verdict on the value: what is indexed is checked once. */
export interface TableField {
  readonly name: FieldName;
  readonly value: string;
  readonly isValid: boolean;
}

const staticText =
  ':authority\n:method GET\n:method POST\n:path /\n:path /index.html\n:scheme http\n:scheme https\n:status 200\n:status 204\n' +
  ':status 206\n:status 304\n:status 400\n:status 404\n:status 500\naccept-charset\naccept-encoding gzip, deflate\n' +
  'accept-language\naccept-ranges\naccept\naccess-control-allow-origin\nage\nallow\nauthorization\ncache-control\n' +
  'content-disposition\ncontent-encoding\ncontent-language\ncontent-length\ncontent-location\ncontent-range\ncontent-type\n' +
  'cookie\ndate\netag\nexpect\nexpires\nfrom\nhost\nif-match\nif-modified-since\nif-none-match\nif-range\n' +
  'if-unmodified-since\nlast-modified\nlink\nlocation\nmax-forwards\nproxy-authenticate\nproxy-authorization\nrange\n' +
  'referer\nrefresh\nretry-after\nserver\nset-cookie\nstrict-transport-security\ntransfer-encoding\nuser-agent\nvary\nvia\n' +
  'www-authenticate';

/** Index 1 is the first; there is no index 0. */
export const staticFields: readonly TableField[] = [
  { name: internFieldName(''), value: '', isValid: false },
  ...staticText.split('\n').map(line => {
    const [name, ...value] = line.split(' ');
    return { name: internFieldName(name), value: value.join(' '), isValid: true };
  }),
];
export const staticCount = staticFields.length - 1;

/** What each entry costs besides its bytes. */
const entryOverheadBytes = 32;

export function fieldBytes(name: string, value: string): number {
  return name.length + value.length + entryOverheadBytes;
}

export function makeField(name: FieldName, value: string): TableField {
  return { name, value, isValid: isFieldValueValid(value) };
}

/** A ring of fields: what no longer fits below the size falls out at the old end. */
export class DynamicTable<Field extends { readonly name: FieldName; readonly value: string }> {
  #ring: (Field | undefined)[] = [];
  #mask = -1;
  /** Fields ever inserted; the newest is number `inserted - 1`. */
  inserted = 0;
  #count = 0;
  #bytes = 0;
  #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#count;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** The field that was inserted `age` insertions ago; 0 is the newest. `age` is less than `count`. */
  at(age: number): Field {
    return this.#ring[(this.inserted - 1 - age) & this.#mask] as Field;
  }

  /** Inserts a field and calls back for each one that falls out. Larger than the table, it empties it and is not in. */
  insert(field: Field, onEvicted: ((field: Field) => void) | null): boolean {
    const bytes = fieldBytes(field.name.text, field.value);
    this.#shrinkTo(this.#maxBytes - bytes, onEvicted);
    if (bytes > this.#maxBytes) return false;
    if (this.#count > this.#mask) this.#grow();
    this.#ring[this.inserted & this.#mask] = field;
    this.inserted++;
    this.#count++;
    this.#bytes += bytes;
    return true;
  }

  resize(maxBytes: number, onEvicted: ((field: Field) => void) | null): void {
    this.#maxBytes = maxBytes;
    this.#shrinkTo(maxBytes, onEvicted);
  }

  #shrinkTo(limit: number, onEvicted: ((field: Field) => void) | null): void {
    while (this.#count > 0 && this.#bytes > limit) {
      const slot = (this.inserted - this.#count) & this.#mask;
      const oldest = this.#ring[slot] as Field;
      this.#ring[slot] = undefined;
      this.#count--;
      this.#bytes -= fieldBytes(oldest.name.text, oldest.value);
      onEvicted?.(oldest);
    }
  }

  #grow(): void {
    const size = Math.max(16, (this.#mask + 1) * 2);
    const ring: (Field | undefined)[] = new Array(size).fill(undefined);
    for (let number = this.inserted - this.#count; number < this.inserted; number++) {
      ring[number & (size - 1)] = this.#ring[number & this.#mask];
    }
    this.#ring = ring;
    this.#mask = size - 1;
  }
}
