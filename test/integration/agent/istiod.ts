/** What an agent needs of istiod: a certificate authority and an ADS stream without resources, on one TLS port. */
import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import { rawMethod } from '../../../agent/raw-service.ts';
import type { CertificateAuthority } from '../../../demo/certificate-authority.ts';
import { decodeMessage, encodeMessage } from '../../../protos/messages.ts';

const discovery: ServiceDefinition = {
  Delta: rawMethod('/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources', true),
};
const signing: ServiceDefinition = {
  Create: rawMethod('/istio.v1.auth.IstioCertificateService/CreateCertificate', false),
};

export type IstiodOptions = {
  /** Signs istiod's own certificate and the workloads'. */
  readonly authority: CertificateAuthority;
  readonly port: number;
  /** Default `127.0.0.1`; IPv6 in brackets. */
  readonly host?: string;
  readonly certificateTtlMs?: number;
};

export class Istiod {
  /** Replaced, it signs what comes from then on. */
  authority: CertificateAuthority;
  /** Why calls are refused; null if they are not. */
  refusal: { readonly code: number; readonly details: string } | null = null;
  /** What a type's first request is answered with, by type URL; nothing by default. */
  readonly resources = new Map<string, Buffer>();
  /** `authorization` of every call, in order; empty where it was missing. */
  readonly tokens: string[] = [];
  readonly #options: IstiodOptions;
  readonly #server = new Server();

  constructor(options: IstiodOptions) {
    this.#options = options;
    this.authority = options.authority;
  }

  async listen(): Promise<void> {
    this.#server.addService(discovery, { Delta: (stream: ServerDuplexStream<Buffer, Buffer>) => this.#serve(stream) });
    this.#server.addService(signing, {
      Create: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void this.#sign(call, answer),
    });
    const own = await this.authority.issue([
      { type: 'dns', value: 'istiod.istio-system.svc' },
      { type: 'ip', value: '127.0.0.1' },
      { type: 'ip', value: '::1' },
    ]);
    const keyPair = { private_key: Buffer.from(own.privateKey), cert_chain: Buffer.from(own.certificate) };
    const credentials = ServerCredentials.createSsl(null, [keyPair]);
    await new Promise<void>((resolve, reject) => {
      const address = `${this.#options.host ?? '127.0.0.1'}:${this.#options.port}`;
      this.#server.bindAsync(address, credentials, error => (error === null ? resolve() : reject(error)));
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  /** Notes the token; true if the call is refused. */
  #refuses(call: { readonly metadata: { get(name: string): unknown[] }; emit(event: 'error', error: object): unknown }): boolean {
    this.tokens.push(String(call.metadata.get('authorization')[0] ?? ''));
    if (this.refusal === null) return false;
    return true;
  }

  /** Every type once, usually without resources: that is a configuration, too. */
  #serve(stream: ServerDuplexStream<Buffer, Buffer>): void {
    stream.on('error', () => {});
    stream.on('end', () => stream.end());
    if (this.#refuses(stream)) {
      stream.emit('error', this.refusal as object);
      return;
    }
    const answered = new Set<string>();
    stream.on('data', (bytes: Buffer) => {
      const { type_url } = decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', bytes);
      if (answered.has(type_url)) return;
      answered.add(type_url);
      const value = this.resources.get(type_url);
      const resources = value === undefined ? [] : [{ name: type_url, resource: { type_url, value } }];
      stream.write(encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', { type_url, nonce: type_url, resources }));
    });
  }

  async #sign(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): Promise<void> {
    if (this.#refuses(call)) {
      answer(this.refusal);
      return;
    }
    try {
      const { csr } = decodeMessage('istio.v1.auth.IstioCertificateRequest', call.request);
      const chain = await this.authority.sign(csr, this.#options.certificateTtlMs ?? 3_600_000);
      answer(null, encodeMessage('istio.v1.auth.IstioCertificateResponse', { cert_chain: chain }));
    } catch (error) {
      answer({ code: status.INVALID_ARGUMENT, details: (error as Error).message });
    }
  }
}
