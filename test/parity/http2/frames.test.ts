/** Frames made by hand, right and wrong, at either end of Envoy and of this proxy. */
import t from 'tap';
import { compareExchanges } from '../comparison.ts';
import { requestFrameCases } from './cases/request-frames.ts';
import { responseFrameCases } from './cases/response-frames.ts';
import { FrameExchange } from './frame-exchange.ts';

compareExchanges(
  t,
  'HTTP/2 frames, parity with Envoy',
  [...requestFrameCases, ...responseFrameCases],
  frameCase => new FrameExchange(frameCase),
);
