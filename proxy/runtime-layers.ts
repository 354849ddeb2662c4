/**
 * Runtime values: the bootstrap's static layers, and above them the admin layer that `/runtime_modify` changes.
 *
 * Source: Envoy's layered runtime. There is no disk layer and no RTDS here.
 */
import type { BootstrapModel } from './config/model/bootstrap.ts';
import type { Gauge, StatsStore } from './telemetry/stats-store.ts';

export type RuntimeValue = string | number | boolean;
type Values = { readonly [key: string]: RuntimeValue };

export class RuntimeLayers {
  readonly #static: readonly { readonly name: string; readonly values: Values }[];
  readonly #adminName: string | null;
  readonly #admin = new Map<string, RuntimeValue>();
  #keys: Gauge | null = null;
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

  /** `runtime.*`: as Envoy counts the layers it loaded. */
  publishStats(stats: StatsStore): void {
    stats.counter('runtime.load_success').inc();
    stats.counter('runtime.override_dir_not_exists').inc();
    this.#keys = stats.gauge('runtime.num_keys');
    this.#keys.set(Object.keys(this.values).length);
    stats.gauge('runtime.num_layers').set(this.layers.length);
  }

  /** Sets values of the admin layer; an empty text removes one. */
  modify(changes: Values): void {
    for (const [key, value] of Object.entries(changes)) {
      if (value === '') this.#admin.delete(key);
      else this.#admin.set(key, value);
    }
    const { values } = this;
    this.#keys?.set(Object.keys(values).length);
    this.#onChange(values);
  }
}
