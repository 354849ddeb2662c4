/** Internal redirects and hedged retries through Envoy and through this proxy. */
import t from 'tap';
import { hedging } from './cases/hedging.ts';
import { internalRedirects } from './cases/internal-redirects.ts';
import { compareWithEnvoy } from './comparison.ts';

compareWithEnvoy(t, 'internal redirects as in Envoy', internalRedirects);
compareWithEnvoy(t, 'hedging as in Envoy', hedging);
