/** Counts of what went where, and the table that shows them. */
import type { Service } from './mesh-config.ts';
import type { Report } from './workload.ts';

interface Tally {
  readonly service: string;
  readonly version: string;
  requests: number;
  totalMs: number;
  caller: string;
}

export class Tallies {
  readonly #tallies = new Map<string, Tally>();
  readonly #failures = new Map<string, number>();

  constructor(services: readonly Service[]) {
    for (const { name, endpoints } of services) {
      for (const { version } of endpoints) {
        this.#tallies.set(`${name}/${version}`, { service: name, version, requests: 0, totalMs: 0, caller: '' });
      }
    }
  }

  count(report: Report): void {
    if (report.kind === 'failed') this.#failures.set(report.reason, (this.#failures.get(report.reason) ?? 0) + 1);
    if (report.kind !== 'answered') return;
    const tally = this.#tallies.get(`${report.service}/${report.version}`);
    if (tally === undefined) return;
    tally.requests++;
    tally.totalMs += report.timeMs;
    tally.caller = report.caller;
  }

  /** Every endpoint answered, and nothing failed. */
  get succeeded(): boolean {
    return this.#failures.size === 0 && [...this.#tallies.values()].every(({ requests }) => requests > 0);
  }

  render(): string {
    const lines = ['service   version  requests   mean ms  caller, as the server sidecar verified it'];
    for (const { service, version, requests, totalMs, caller } of this.#tallies.values()) {
      const mean = requests === 0 ? '-' : (totalMs / requests).toFixed(1);
      lines.push(`${service.padEnd(9)} ${version.padEnd(7)} ${String(requests).padStart(9)} ${mean.padStart(9)}  ${caller}`);
    }
    for (const [reason, count] of this.#failures) lines.push(`failed ${count} times: ${reason}`);
    return lines.join('\n');
  }
}
