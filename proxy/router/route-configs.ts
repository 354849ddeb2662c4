/**
 * The route configurations that came by RDS, on one worker. A connection manager keeps the holder of the name it refers to and
 * reads its table once per request; the table is built when first read.
 */
import { parseText, type SharedText } from '../../common/shared-text.ts';
import type { RouteConfigModel } from '../config/model/route.ts';
import { buildRouteTable } from './route-table.ts';
import type { RouteTable } from './route-table.ts';

/** The place of one name; `current` is null until its configuration arrives and after it was removed. */
export class RouteConfigHolder {
  readonly name: string;
  #model: string | SharedText | null = null;
  #table: RouteTable | null = null;

  constructor(name: string) {
    this.name = name;
  }

  get current(): RouteTable | null {
    if (this.#table === null && this.#model !== null) {
      this.#table = buildRouteTable(parseText<RouteConfigModel>(this.#model));
      this.#model = null;
    }
    return this.#table;
  }

  replace(model: string | SharedText | null): void {
    this.#model = model;
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

  /** `model` is JSON of a RouteConfigModel. */
  update(name: string, model: string | SharedText): void {
    this.get(name).replace(model);
  }

  remove(name: string): void {
    this.#holders.get(name)?.replace(null);
  }
}
