/**
 * Checks the hosts of one cluster. One worker does it for all: what it finds it tells the main thread, which tells every worker.
 *
 * Source: Envoy's HealthCheckerImplBase, which runs on Envoy's main thread.
 */
import type { HealthCheckModel } from '../../config/model/health-check.ts';
import { HostField } from '../shared-counters.ts';
import type { WorkerCluster } from '../worker-cluster.ts';
import type { WorkerHost } from '../worker-host.ts';
import { GrpcProbe } from './grpc-probe.ts';
import { HealthSession } from './health-session.ts';
import { HealthStats } from './health-stats.ts';
import { HttpProbe } from './http-probe.ts';
import type { Probe, ProbeCallbacks } from './probe.ts';
import { TcpProbe } from './tcp-probe.ts';

export class HealthChecker {
  readonly #cluster: WorkerCluster;
  readonly #model: HealthCheckModel;
  readonly #stats: HealthStats;
  readonly #sessions = new Map<WorkerHost, HealthSession>();
  /** By slot: connections before the host had it. */
  readonly #connectionsBefore = new Map<number, number>();
  #hasTraffic = false;
  /** The main thread is waiting to hear that every host was checked. */
  #isRoundOpen = false;

  constructor(cluster: WorkerCluster, model: HealthCheckModel) {
    this.#cluster = cluster;
    this.#model = model;
    this.#stats = new HealthStats(cluster.services.stats, `cluster.${cluster.model.statName}.`);
  }

  /** The hosts there are now. Those that stay keep their state. */
  setHosts(hosts: Iterable<WorkerHost>): void {
    const checked = new Set<WorkerHost>();
    for (const host of hosts) if (!host.isHealthCheckDisabled) checked.add(host);
    for (const [host, session] of this.#sessions) {
      if (checked.has(host)) continue;
      this.#sessions.delete(host);
      session.stop();
    }
    this.#isRoundOpen = true;
    for (const host of checked) if (!this.#sessions.has(host)) this.#sessions.set(host, this.#open(host));
    this.#closeRound();
  }

  stop(): void {
    for (const session of this.#sessions.values()) session.stop();
    this.#sessions.clear();
  }

  #open(host: WorkerHost): HealthSession {
    const { timers, random } = this.#cluster.services;
    if (!this.#connectionsBefore.has(host.slot)) this.#connectionsBefore.set(host.slot, this.#countConnections(host));
    return new HealthSession({
      host,
      model: this.#model,
      stats: this.#stats,
      timers,
      random,
      hasTraffic: () => this.#sawTraffic(),
      createProbe: callbacks => this.#createProbe(host, callbacks),
      onChecked: session => this.#onChecked(session),
    });
  }

  #createProbe(host: WorkerHost, callbacks: ProbeCallbacks): Probe {
    const { check } = this.#model;
    if (check.kind === 'http') return new HttpProbe(host, this.#model, check, callbacks);
    if (check.kind === 'grpc') return new GrpcProbe(host, this.#model, check, callbacks);
    return new TcpProbe(host, this.#model, check, callbacks);
  }

  #onChecked(session: HealthSession): void {
    const { host, flags } = session;
    // A host that outlier detection has ejected may come back with any check that it passes.
    if (flags !== session.reportedFlags || (flags === 0 && host.isEjected)) {
      session.reportedFlags = flags;
      this.#cluster.services.report({ type: 'host-health', cluster: this.#cluster.name, slot: host.slot, flags });
    }
    this.#closeRound();
  }

  #closeRound(): void {
    if (!this.#isRoundOpen) return;
    for (const { isChecked } of this.#sessions.values()) if (!isChecked) return;
    this.#isRoundOpen = false;
    this.#cluster.services.report({ type: 'hosts-checked', cluster: this.#cluster.name });
  }

  #sawTraffic(): boolean {
    if (this.#hasTraffic) return true;
    for (const host of this.#sessions.keys()) {
      if (this.#countConnections(host) > (this.#connectionsBefore.get(host.slot) ?? 0)) this.#hasTraffic = true;
    }
    return this.#hasTraffic;
  }

  #countConnections({ slot }: WorkerHost): number {
    return slot < 0 ? 0 : this.#cluster.services.hostCounters.sum(slot, HostField.connectionsTotal);
  }
}
