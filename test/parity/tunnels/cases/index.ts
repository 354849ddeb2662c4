/** All cases: one per shape and per way of ending. */
import type { TunnelCase } from '../exchange.ts';
import { refusedCases, terminationCases } from './connect.ts';
import { hboneCases } from './hbone.ts';
import { internalCases, nestedCases } from './internal.ts';
import { tunnelCases as tunnels } from './tunnels.ts';

export { crossedCases } from './hbone.ts';
export { recordedCases } from './recorded.ts';
export { makeShapeCases } from './shapes.ts';

export const tunnelCases: readonly TunnelCase[] = [
  ...terminationCases,
  ...refusedCases,
  ...tunnels,
  ...internalCases,
  ...nestedCases,
  ...hboneCases,
];
