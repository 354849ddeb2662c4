/** Local rate limits through Envoy and through this proxy. */
import t from 'tap';
import { rateLimits } from './cases/rate-limits.ts';
import { compareWithEnvoy } from './comparison.ts';

compareWithEnvoy(t, 'rate limits as in Envoy', rateLimits);
