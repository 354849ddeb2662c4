/** Run time of `set_filter_state`: makes the objects of one list. */
import { parseAddressText } from '../../network/socket-address.ts';
import { formatAddress } from '../../config/model/address.ts';
import { type CompiledFormat, compileFormat, type FormatContext } from '../../telemetry/formatter.ts';
import type { FilterStateModel, ObjectKind } from './set-filter-state.ts';

/** Null: there is no such object, and nothing is set. */
const makers: { readonly [K in ObjectKind]: (text: string) => unknown } = {
  text: text => text,
  address: text => {
    const address = parseAddressText(text);
    return address === null ? null : formatAddress(address);
  },
  list: text => text.split(','),
};

export class FilterStateSetter {
  readonly #values: readonly { readonly model: FilterStateModel; readonly format: CompiledFormat }[];

  constructor(models: readonly FilterStateModel[]) {
    this.#values = models.map(model => ({ model, format: compileFormat(model.format, { omitEmpty: model.omitEmpty }) }));
  }

  /** Sets them on the stream or connection of `context`. */
  apply(context: FormatContext): void {
    for (const { model, format } of this.#values) {
      const text = format.format(context);
      if (text === '' && model.skipIfEmpty) continue;
      const value = makers[model.kind](text);
      if (value === null) continue;
      if (model.sharing === 'none') context.info.setFilterState(model.key, value);
      else context.info.shareFilterState(model.key, { value, isTransitive: model.sharing === 'transitive' });
    }
  }
}
