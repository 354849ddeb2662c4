/** Routes, retries, timeouts, tunnels: each case with a configuration of its own, through Envoy and through this proxy. */
import t from 'tap';
import { forwarding } from './cases/forwarding.ts';
import { hostSelection } from './cases/host-selection.ts';
import { localReplies } from './cases/local-replies.ts';
import { routeActions } from './cases/route-actions.ts';
import { routing } from './cases/routing.ts';
import { sessions } from './cases/sessions.ts';
import { compareWithEnvoy } from './comparison.ts';

compareWithEnvoy(t, 'router parity with Envoy', [
  ...routeActions,
  ...localReplies,
  ...routing,
  ...hostSelection,
  ...sessions,
  ...forwarding,
]);
