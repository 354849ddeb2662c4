/** What all streams of one filter chain share in the router. */
import type { RouterModel } from '../extensions/filters/http/router/config.ts';
import type { FilterFactoryContext } from '../http/filter.ts';
import type { RouterStats } from './router-stats.ts';

export interface RouterConfig {
  readonly model: RouterModel;
  readonly context: FilterFactoryContext;
  readonly stats: RouterStats;
}
