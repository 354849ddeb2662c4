/** The field table of the resources themselves; extensions bring the lines of their own messages. */
import type { FieldTable } from './field-table.ts';
import { accessLogFields } from './fields/access-log.ts';
import { bootstrapFields } from './fields/bootstrap.ts';
import { clusterFields, resolverFields } from './fields/cluster.ts';
import { configSourceFields, coreTypeFields } from './fields/core.ts';
import { httpProtocolFields } from './fields/http-protocol.ts';
import { listenerFields } from './fields/listener.ts';
import { loadBalancingPolicyFields } from './fields/load-balancing-policies.ts';
import { routeFields } from './fields/route.ts';
import { tlsFields } from './fields/tls.ts';

export const coreFields: FieldTable = {
  ...coreTypeFields,
  ...configSourceFields,
  ...accessLogFields,
  ...listenerFields,
  ...routeFields,
  ...clusterFields,
  ...loadBalancingPolicyFields,
  ...resolverFields,
  ...httpProtocolFields,
  ...tlsFields,
  ...bootstrapFields,
};
