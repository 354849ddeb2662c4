/**
 * Runtime values: the bootstrap's static layers, and above them the admin layer that `/runtime_modify` changes.
 *
 * Source: Envoy's layered runtime. There is no disk layer and no RTDS here.
 */
import type { BootstrapModel } from './config/model/bootstrap.ts';

export type RuntimeValue = string | number | boolean;
type Values = { readonly [key: string]: RuntimeValue };

export class RuntimeLayers {
  readonly #static: readonly { readonly name: string; readonly values: Values }[];
  readonly #adminName: string | null;
  readonly #admin = new Map<string, RuntimeValue>();
  readonly #onChange: (values: Values) => void;

  /** @param onChange takes all values after each change. */
  constructor(layers: BootstrapModel['runtimeLayers'], onChange: (values: Values) => void) {
    this.#static = layers.filter(layer => layer.kind === 'static');
    this.#adminName = layers.find(layer => layer.kind === 'admin')?.name ?? null;
    this.#onChange = onChange;
  }

  /** Whether values may be changed. */
  get hasAdminLayer(): boolean {
    return this.#adminName !== null;
  }

  /** Layer names with their values, in order of rising precedence. */
  get layers(): readonly { readonly name: string; readonly values: Values }[] {
    const admin = this.#adminName === null ? [] : [{ name: this.#adminName, values: Object.fromEntries(this.#admin) }];
    return [...this.#static, ...admin];
  }

  /** The values in force. */
  get values(): Values {
    return Object.assign({}, ...this.layers.map(layer => layer.values));
  }

  /** Sets values of the admin layer; an empty text removes one. */
  modify(changes: Values): void {
    for (const [key, value] of Object.entries(changes)) {
      if (value === '') this.#admin.delete(key);
      else this.#admin.set(key, value);
    }
    this.#onChange(this.values);
  }
}
