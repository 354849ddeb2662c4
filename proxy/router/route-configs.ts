/**
 * The route configurations that came by RDS, on one worker. A connection manager keeps the holder of the name it refers to and
 * reads its table once per request; the table is built when first read.
 */
import type { SharedText } from '../../common/shared-text.ts';
import { readRouteConfig } from './route-config-text.ts';
import { RouteTable } from './route-table.ts';

/** The place of one name; `current` is null until its configuration arrives and after it was removed. */
export class RouteConfigHolder {
  readonly name: string;
  #text: SharedText | null = null;
  #table: RouteTable | null = null;

  constructor(name: string) {
    this.name = name;
  }

  get current(): RouteTable | null {
    if (this.#table === null && this.#text !== null) {
      const { config, virtualHosts } = readRouteConfig(this.#text);
      this.#table = new RouteTable(config, virtualHosts);
      this.#text = null;
    }
    return this.#table;
  }

  replace(text: SharedText | null): void {
    this.#text = text;
    this.#table = null;
  }
}

export class RouteConfigs {
  readonly #holders = new Map<string, RouteConfigHolder>();

  /** The holder of a name, made if it does not exist: it may be asked for before the configuration arrives. */
  get(name: string): RouteConfigHolder {
    let holder = this.#holders.get(name);
    if (holder === undefined) {
      holder = new RouteConfigHolder(name);
      this.#holders.set(name, holder);
    }
    return holder;
  }

  /** `text` is what `writeRouteConfig` gave. */
  update(name: string, text: SharedText): void {
    this.get(name).replace(text);
  }

  remove(name: string): void {
    this.#holders.get(name)?.replace(null);
  }
}
