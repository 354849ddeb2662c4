/** HTTP/2 at either end, through Envoy and this proxy, on the same bootstrap. */
import t from 'tap';
import { compareExchanges } from '../comparison.ts';
import { bridgingCases } from './cases/bridging.ts';
import { forwardingCases } from './cases/forwarding.ts';
import { grpcCases } from './cases/grpc.ts';
import { grpcWebCases } from './cases/grpc-web.ts';
import { redirectCases } from './cases/redirects.ts';
import { upgradeCases } from './cases/upgrades.ts';
import { Http2Exchange } from './http2-exchange.ts';

const cases = [...forwardingCases, ...redirectCases, ...bridgingCases, ...upgradeCases, ...grpcCases, ...grpcWebCases];

compareExchanges(t, 'HTTP/2 parity with Envoy', cases, http2Case => new Http2Exchange(http2Case));
