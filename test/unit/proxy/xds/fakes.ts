/** Stand-ins for what discovery talks to. */
import type { StatSink } from '../../../../proxy/telemetry/stats-store.ts';
import { StatsStore } from '../../../../proxy/telemetry/stats-store.ts';
import { finish } from '../../../../proxy/xds/gradual.ts';
import type { DiscoveryHandler, DiscoverySource, Subscription, SubscriptionRequest } from '../../../../proxy/xds/subscription.ts';

export function makeStats(): StatsStore {
  const sink: StatSink = { addBlock: () => {}, register: () => {} };
  return new StatsStore({ isIncluded: () => true, sink });
}

/** A source whose responses the test gives. */
export class FakeSource implements DiscoverySource {
  readonly names = new Set<string>();
  handler: DiscoveryHandler | null = null;
  stopped = false;

  subscribe({ names, handler }: SubscriptionRequest): Subscription {
    this.handler = handler;
    if (names !== 'wildcard') for (const name of names) this.names.add(name);
    return {
      updateNames: (added, removed) => {
        for (const name of removed) this.names.delete(name);
        for (const name of added) this.names.add(name);
      },
      close: () => {},
    };
  }

  stop(): void {
    this.stopped = true;
  }

  /** Gives resources as text; returns the text of the NACK or null. */
  give(resources: { readonly [name: string]: string }, removed: readonly string[] = [], versionInfo = '1'): string | null {
    const list = Object.entries(resources).map(([name, text]) => ({ name, version: '', typeUrl: '', bytes: Buffer.from(text) }));
    return finish(this.handler!.onUpdate({ resources: list, removed, versionInfo })).error;
  }
}
