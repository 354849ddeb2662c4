/** Serves certificates to the proxy as the plan says. */
import type { Environment } from '../config/environment.ts';
import type { ProxyConfig } from '../config/proxy-config.ts';
import { AgentLogger } from '../log.ts';
import type { UnixListener } from '../unix-listener.ts';
import { CaClient } from './ca-client.ts';
import type { IdentityPlan } from './identity-plan.ts';
import { SdsServer } from './sds-server.ts';
import { rootsName, workloadCertificateName } from './secret.ts';
import { WorkloadSecrets } from './workload-secrets.ts';

/** Mounted where istiod's authority was given a list of revoked certificates. */
const crlPath = '/var/run/secrets/istio/crl/ca-crl.pem';

const log = new AgentLogger('default');

export type IdentityOptions = {
  readonly environment: Environment;
  readonly proxyConfig: ProxyConfig;
  readonly plan: IdentityPlan;
  /** The secret discovery socket; null without a proxy. */
  readonly listener: UnixListener | null;
};

export class AgentIdentity {
  readonly secrets: WorkloadSecrets;
  readonly #server: SdsServer | null = null;

  /** @throws if the authority's root certificate is missing. */
  constructor({ environment, proxyConfig, plan, listener }: IdentityOptions) {
    log.info('Starting default Istio SDS Server');
    const authority = plan.fromFiles || plan.servesOnlyFiles ? null : createAuthority(environment, proxyConfig);
    if (authority === null) log.info('Workload is using file mounted certificates. Skipping connecting to CA');
    const caCertificatesPem = proxyConfig.caCertificatesPem ?? [];
    this.secrets = new WorkloadSecrets({ environment, authority, files: plan.files, caCertificatesPem });
    if (listener === null) {
      keepWritten(this.secrets);
      return;
    }
    const { maxStreams, caCrl } = environment;
    this.#server = new SdsServer({ secrets: this.secrets, listener, maxStreams, crlPath: caCrl ? crlPath : null });
    this.#server.serve();
    if (authority !== null) this.#server.warm();
  }

  close(): void {
    if (this.#server === null) this.secrets.close();
    else this.#server.close();
  }
}

function createAuthority(environment: Environment, proxyConfig: ProxyConfig): CaClient {
  if (environment.caProvider !== 'Citadel') throw new Error(`CA provider "${environment.caProvider}" not registered`);
  const own = environment.caAddress !== '';
  const address = own ? environment.caAddress : proxyConfig.discoveryAddress;
  log.info(`CA Endpoint ${address}, provider ${environment.caProvider}`);
  return new CaClient(environment, address, own ? '' : environment.istiodSan);
}

const firstRetryMs = 500;
const maxRetryMs = 60_000;

/** Without a proxy nobody asks for the certificate, but OUTPUT_CERTS wants it written and renewed. */
function keepWritten(secrets: WorkloadSecrets): void {
  const write = (retryMs: number): void => {
    secrets
      .getSecret(workloadCertificateName)
      .then(() => secrets.getSecret(rootsName))
      .catch((error: Error) => {
        log.warn(`failed to get certificate: ${error.message}`);
        setTimeout(() => write(Math.min(retryMs * 1.5, maxRetryMs)), retryMs).unref();
      });
  };
  secrets.onUpdate = () => write(firstRetryMs);
  write(firstRetryMs);
}
