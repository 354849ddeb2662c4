/** The buckets of one configuration, and the choice among them. */
import type { TokenBucketModel } from '../../../../config/model/rate-limit.ts';
import type { TokenBucket } from '../../../../network/token-bucket.ts';
import { formatDescriptor } from '../../../../router/rate-limit-descriptors.ts';
import { toByteText } from '../../../../telemetry/json-text.ts';
import type { LocalRateLimitModel } from './config.ts';

interface DescribedBucket {
  readonly bucket: TokenBucket;
  readonly isShadow: boolean;
}

export interface Verdict {
  readonly isAllowed: boolean;
  /** The limit is only tried out. */
  readonly isShadow: boolean;
  /** The bucket that decided: its numbers are told to the client. */
  readonly bucket: TokenBucket | null;
}

export class RateLimiter {
  readonly #default: TokenBucket | null;
  readonly #alwaysConsumesDefault: boolean;
  readonly #described: ReadonlyMap<string, DescribedBucket>;

  constructor(model: LocalRateLimitModel, makeBucket: (model: TokenBucketModel) => TokenBucket) {
    this.#default = model.bucket === null ? null : makeBucket(model.bucket);
    this.#alwaysConsumesDefault = model.alwaysConsumesDefault;
    this.#described = new Map(
      model.descriptors.map(({ entries, bucket, isShadow }) => [
        formatDescriptor(entries.map(({ key, value }) => [key, toByteText(value)])),
        { bucket: makeBucket(bucket), isShadow },
      ]),
    );
  }

  get hasDescriptors(): boolean {
    return this.#described.size > 0;
  }

  /** Takes a token of each bucket that concerns the request, slowest first, until one that counts has none. */
  decide(descriptors: readonly string[]): Verdict {
    const found = descriptors.map(text => this.#described.get(text)).filter(each => each !== undefined);
    if (found.length > 1) found.sort((one, other) => one.bucket.tokensPerSecond - other.bucket.tokensPerSecond);
    let shadow: Verdict | null = null;
    for (const { bucket, isShadow } of found) {
      if (bucket.consume()) continue;
      const refusal = { isAllowed: false, isShadow, bucket };
      if (!isShadow) return refusal;
      shadow ??= refusal;
    }
    const needsDefault = this.#default !== null && (found.length === 0 || this.#alwaysConsumesDefault);
    if (needsDefault && !this.#default.consume()) return { isAllowed: false, isShadow: false, bucket: this.#default };
    return shadow ?? { isAllowed: true, isShadow: false, bucket: found.length > 0 ? found[0].bucket : this.#default };
  }
}
