/**
 * Checks by an HTTP request: its status must be an expected one, and its body hold what is expected.
 *
 * Source: Envoy's HttpHealthCheckerImpl.
 */
import type { HealthCheckModel, HttpCheckModel, StatusRange } from '../../config/model/health-check.ts';
import type { RequestEncoder } from '../../http/codec.ts';
import { HeaderMap } from '../../http/header-map.ts';
import type { TextPredicate } from '../../matching/regex.ts';
import { compileStringMatcher } from '../../matching/string-matcher.ts';
import type { WorkerHost } from '../worker-host.ts';
import { addHeaders, userAgent } from './check-headers.ts';
import { holdsSegments, type ProbeCallbacks } from './probe.ts';
import { StreamProbe } from './stream-probe.ts';

export class HttpProbe extends StreamProbe {
  readonly #check: HttpCheckModel;
  readonly #matchesServiceName: TextPredicate | null;
  #headers: HeaderMap | null = null;
  #body = '';

  constructor(host: WorkerHost, model: HealthCheckModel, check: HttpCheckModel, callbacks: ProbeCallbacks) {
    super(host, model, check.codec, callbacks);
    this.#check = check;
    this.#matchesServiceName = check.serviceName === null ? null : compileStringMatcher(check.serviceName);
  }

  protected send(encoder: RequestEncoder): void {
    const check = this.#check;
    this.#headers = null;
    this.#body = '';
    const headers = new HeaderMap();
    headers.method = check.method;
    headers.path = check.path;
    headers.authority = this.host.healthCheckHostname || check.host || this.host.cluster.name;
    headers.hasAuthority = true;
    headers.scheme = this.isSecure ? 'https' : 'http';
    headers.add('user-agent', userAgent);
    for (const name of check.headersToRemove) headers.remove(name);
    addHeaders(headers, check.headersToAdd);
    if (check.send !== '') headers.set('content-length', String(check.send.length));
    encoder.encodeHeaders(headers, check.send === '');
    if (check.send !== '') encoder.encodeData(Buffer.from(check.send, 'latin1'), true);
  }

  onResponseHeaders(headers: HeaderMap, endStream: boolean): void {
    this.#headers = headers;
    if (endStream) this.#decide();
  }

  onResponseData(data: Buffer, endStream: boolean): void {
    const { receive, responseBufferBytes } = this.#check;
    if (receive.length > 0) {
      const room = responseBufferBytes === 0 ? data.length : responseBufferBytes - this.#body.length;
      if (room > 0) this.#body += data.toString('latin1', 0, room);
    }
    if (endStream) this.#decide();
  }

  onResponseTrailers(): void {
    this.#decide();
  }

  #decide(): void {
    const headers = this.#headers;
    if (headers === null || !this.finish(true)) return;
    const { callbacks } = this;
    const { expectedStatuses, retriableStatuses, receive } = this.#check;
    const isExpected = isWithin(headers.status, expectedStatuses);
    if (!holdsSegments(this.#body, receive) || !isExpected) {
      if (headers.has('x-envoy-immediate-health-check-fail')) callbacks.onExcluded();
      const isRetriable = holdsSegments(this.#body, receive) && isWithin(headers.status, retriableStatuses);
      callbacks.onFailure('answer', isRetriable);
      return;
    }
    if (this.#matchesServiceName !== null) {
      callbacks.onServiceNameCompared();
      if (!this.#matchesServiceName(headers.get('x-envoy-upstream-healthchecked-cluster') ?? '')) {
        callbacks.onFailure('answer', false);
        return;
      }
    }
    callbacks.onSuccess(headers.has('x-envoy-degraded'));
  }
}

function isWithin(status: number, ranges: readonly StatusRange[]): boolean {
  return ranges.some(({ start, end }) => status >= start && status < end);
}
