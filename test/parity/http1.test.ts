/** The same bytes through Envoy and this proxy, on the same bootstrap: both ends must see the same. */
import t from 'tap';
import { cases } from './cases/index.ts';
import { compareWithEnvoy } from './comparison.ts';

compareWithEnvoy(t, 'HTTP/1 parity with Envoy', cases);
