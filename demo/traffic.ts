/** Drives a little traffic through the client sidecar and keeps count of what went where. */
import { Agent, request } from 'node:http';
import type { Answer } from './application.ts';
import { hostOf, type Service } from './mesh-config.ts';

export interface Tally {
  readonly service: string;
  readonly version: string;
  requests: number;
  totalMs: number;
  caller: string;
}

export class Traffic {
  readonly tallies = new Map<string, Tally>();
  readonly failures = new Map<string, number>();
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });
  readonly #services: readonly Service[];
  readonly #timer: NodeJS.Timeout;
  #turn = 0;

  constructor(services: readonly Service[], requestsPerSecond: number) {
    this.#services = services;
    this.#timer = setInterval(() => this.#send(services[this.#turn++ % services.length]), 1000 / requestsPerSecond);
    for (const { name, endpoints } of services) {
      for (const { version } of endpoints) {
        this.tallies.set(`${name}/${version}`, { service: name, version, requests: 0, totalMs: 0, caller: '' });
      }
    }
  }

  get requests(): number {
    return [...this.tallies.values()].reduce((sum, { requests }) => sum + requests, 0);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#agent.destroy();
  }

  #send({ name, outboundPort }: Service): void {
    const startMs = performance.now();
    const options = { host: '127.0.0.1', port: outboundPort, path: '/', headers: { host: hostOf(name) }, agent: this.#agent };
    const outgoing = request(options, response => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', chunk => {
        body += chunk;
      });
      response.on('end', () => {
        if (response.statusCode === 200) this.#count(JSON.parse(body), performance.now() - startMs);
        else this.#fail(`${name}: ${response.statusCode} ${body.slice(0, 80)}`);
      });
    });
    outgoing.on('error', error => this.#fail(`${name}: ${error.message}`));
    outgoing.end();
  }

  #count({ service, version, caller }: Answer, timeMs: number): void {
    const tally = this.tallies.get(`${service}/${version}`);
    if (tally === undefined) {
      this.#fail(`${service}: answer from an unknown version ${version}`);
      return;
    }
    tally.requests++;
    tally.totalMs += timeMs;
    tally.caller = caller;
  }

  #fail(reason: string): void {
    this.failures.set(reason, (this.failures.get(reason) ?? 0) + 1);
  }

  /** The services that the traffic goes to. */
  get services(): readonly Service[] {
    return this.#services;
  }
}
