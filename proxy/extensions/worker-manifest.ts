/**
 * Every extension that runs on the request path, by the `kind` of its compiled model. Nothing registers itself by being
 * imported: what is not listed here does not exist.
 */
import type { HttpFilterBuilders } from '../http/filter.ts';
import type { NetworkFilterBuilders } from '../network/filter.ts';

/** Network filters, downstream and upstream. */
export const networkFilters: NetworkFilterBuilders = {};

/** HTTP filters. */
export const httpFilters: HttpFilterBuilders = {};
