/**
 * The 32-bit Mersenne Twister MT19937: the generator whose sequence Envoy's bounded loads follow, so that both pass a request
 * on to the same host.
 *
 * Source: Matsumoto and Nishimura, 1998.
 */
const length = 624;
const shift = 397;

export class MersenneTwister {
  readonly #state = new Uint32Array(length);
  #next = length;

  constructor(seed: number) {
    this.#state[0] = seed;
    for (let i = 1; i < length; i++) {
      const previous = this.#state[i - 1];
      this.#state[i] = Math.imul(1_812_433_253, previous ^ (previous >>> 30)) + i;
    }
  }

  /** In [0, 2^32). */
  next(): number {
    if (this.#next === length) this.#twist();
    let value = this.#state[this.#next++];
    value ^= value >>> 11;
    value ^= (value << 7) & 0x9d2c_5680;
    value ^= (value << 15) & 0xefc6_0000;
    return (value ^ (value >>> 18)) >>> 0;
  }

  /** In [0, limit), without bias: values of the incomplete last bucket are drawn again. */
  nextBelow(limit: number): number {
    const bucket = Math.floor(0x1_0000_0000 / limit);
    let value = limit;
    while (value >= limit) value = Math.floor(this.next() / bucket);
    return value;
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < length; i++) {
      const mixed = (state[i] & 0x8000_0000) | (state[(i + 1) % length] & 0x7fff_ffff);
      state[i] = state[(i + shift) % length] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908_b0df : 0);
    }
    this.#next = 0;
  }
}
