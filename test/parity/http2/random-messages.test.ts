/** Random messages of HTTP/2, in either direction: Envoy and this proxy pass on, answer and refuse the same. */
import t from 'tap';
import { fuzzPlan, Random } from '../../support/random.ts';
import { compareExchanges } from '../comparison.ts';
import { FrameExchange } from './frame-exchange.ts';
import { makeRequestCase, makeResponseCase } from './message-grammar.ts';

/** The same messages in every run; $FUZZ_SEED gives others, $FUZZ_COUNT more. */
const fixedSeed = 20_261_121;
const seed = process.env.FUZZ_SEED === undefined ? fixedSeed : fuzzPlan(0).seed;
const { count } = fuzzPlan(144);

const cases = Array.from({ length: count }, (_, index) => {
  const random = new Random(seed + index);
  const make = random.chance(0.6) ? makeRequestCase : makeResponseCase;
  return make(random, String(seed + index));
});

compareExchanges(t, 'random messages of HTTP/2, parity with Envoy', cases, frameCase => new FrameExchange(frameCase));
