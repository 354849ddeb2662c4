/** What `npm run mesh -- test [NAME...]` runs, in this order, and in which modes of istiod. */
import type { Mode } from './cluster/istio.ts';

export type Suite = {
  readonly name: string;
  readonly modes: readonly Mode[];
};

/** Suites that compare with Envoy need bare mode; those of Istio's own filters need default mode. */
export const suites: readonly Suite[] = [
  { name: 'a-ready', modes: ['default', 'bare'] },
  { name: 'a-start-time', modes: ['bare'] },
  { name: 'b-traffic', modes: ['default', 'bare'] },
  { name: 'b-security', modes: ['bare'] },
  { name: 'c-istioctl', modes: ['default', 'bare'] },
  { name: 'd-balancing', modes: ['bare'] },
  { name: 'e-scaling', modes: ['bare'] },
  { name: 'f-outage', modes: ['bare'] },
  { name: 'g-rejection', modes: ['bare'] },
  { name: 'h-destinations', modes: ['bare'] },
  { name: 'i-termination', modes: ['bare'] },
  { name: 'j-metrics', modes: ['default'] },
  { name: 'k-statistics', modes: ['bare'] },
  { name: 'l-tproxy', modes: ['bare'] },
  { name: 'm-grpc', modes: ['default', 'bare'] },
  { name: 'o-routing', modes: ['bare'] },
  { name: 'p-policies', modes: ['bare'] },
  { name: 'q-inbound', modes: ['bare'] },
  { name: 'q-outbound', modes: ['bare'] },
  { name: 'r-thousand-services', modes: ['bare'] },
  { name: 's-halves', modes: ['bare'] },
  // Last: it gives istiod another authority for a while.
  { name: 'b-trust', modes: ['bare'] },
];
