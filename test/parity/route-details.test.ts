/** The rarer settings of routes, through Envoy and through this proxy. */
import t from 'tap';
import { routeDetails } from './cases/route-details.ts';
import { compareWithEnvoy } from './comparison.ts';

compareWithEnvoy(t, 'rarer settings of routes as in Envoy', routeDetails);
