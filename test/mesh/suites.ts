/** What `npm run mesh -- test [NAME...]` runs, in this order, and in which modes of istiod. */
import type { Mode } from './cluster/istio.ts';

export type Suite = {
  readonly name: string;
  readonly modes: readonly Mode[];
  /** It measures, or counts pushes: it waits until what the suite before has left is gone. */
  readonly needsQuiet?: true;
};

/** Suites that compare with Envoy need bare mode; those of Istio's own filters need default mode. */
export const suites: readonly Suite[] = [
  { name: 'a-ready', modes: ['default', 'bare'] },
  { name: 'a-start-time', modes: ['bare'], needsQuiet: true },
  { name: 'b-traffic', modes: ['default', 'bare'] },
  { name: 'b-security', modes: ['bare'] },
  { name: 'c-istioctl', modes: ['default', 'bare'] },
  { name: 'd-balancing', modes: ['bare'] },
  { name: 'e-scaling', modes: ['bare'], needsQuiet: true },
  { name: 'f-outage', modes: ['bare'], needsQuiet: true },
  { name: 'g-rejection', modes: ['bare'] },
  { name: 'h-destinations', modes: ['bare'] },
  { name: 'i-termination', modes: ['bare'] },
  { name: 'j-metrics', modes: ['default'] },
  { name: 'k-statistics', modes: ['bare'], needsQuiet: true },
  { name: 'l-tproxy', modes: ['bare'] },
  { name: 'm-grpc', modes: ['default', 'bare'] },
  { name: 'n-hbone', modes: ['bare'] },
  { name: 'o-routing', modes: ['bare'] },
  { name: 'p-policies', modes: ['bare'] },
  { name: 'q-inbound', modes: ['bare'] },
  { name: 'q-outbound', modes: ['bare'] },
  { name: 'r-thousand-services', modes: ['bare'], needsQuiet: true },
  { name: 's-halves', modes: ['bare'] },
  // Last: it gives istiod another authority for a while.
  { name: 'b-trust', modes: ['bare'], needsQuiet: true },
];
