/** The filter configurations that came by ECDS, on one worker. Filters keep the holder of their name and look into it per use. */
import { parseText, type SharedText } from '../../../common/shared-text.ts';
import type { FilterModel } from '../../config/model/listener.ts';
import type { ExtensionConfigHolder, ExtensionConfigSource } from '../../http/filter.ts';

class Holder implements ExtensionConfigHolder {
  current: FilterModel | null | undefined = undefined;
}

export class ExtensionConfigs implements ExtensionConfigSource {
  readonly #holders = new Map<string, Holder>();

  get(category: string, name: string): Holder {
    const key = `${category}/${name}`;
    let holder = this.#holders.get(key);
    if (holder === undefined) {
      holder = new Holder();
      this.#holders.set(key, holder);
    }
    return holder;
  }

  /** `model` is JSON of a FilterModel or null; undefined: there is no configuration any more. */
  update(category: string, name: string, model: string | SharedText | undefined): void {
    this.get(category, name).current = model === undefined ? undefined : parseText<FilterModel | null>(model);
  }
}
