/** What the agent scrapes from the application, as the injector found it in the pod's annotations. */

export type ScrapeTarget = { readonly port: string; readonly path: string };

const reservedPorts: Readonly<Record<number, string>> = {
  15000: 'Envoy admin',
  15001: 'outbound traffic capture',
  15004: 'pilot debug',
  15006: 'inbound traffic capture',
  15008: 'HBONE tunnel',
  15020: 'pilot-agent status / merged Prometheus',
  15021: 'Envoy health',
  15053: 'DNS proxy',
  15090: 'Envoy Prometheus (already merged)',
};

/**
 * The application's targets; empty if there are none or scraping is off.
 * @throws if a target is the agent's own port or one of the proxy's.
 */
export function parseScrapeTargets(text: string | null, statusPort: number): readonly ScrapeTarget[] {
  if (text === null) return [];
  let config: { scrape?: string; path?: string; port?: string; targets?: readonly { port?: string; path?: string }[] };
  try {
    config = JSON.parse(text) as typeof config;
  } catch (error) {
    throw new Error(`failed to unmarshal ISTIO_PROMETHEUS_ANNOTATIONS: ${(error as Error).message}`);
  }
  if (config.scrape === 'false') return [];
  const given = config.targets ?? [];
  const targets = given.length > 0 ? given : [{ port: config.port || '80', path: config.path }];
  return targets.map(({ port = '', path }) => {
    checkPort(port, statusPort);
    return { port, path: path || '/metrics' };
  });
}

function checkPort(port: string, statusPort: number): void {
  const failure = 'invalid prometheus scrape configuration: ';
  const number = Number(port);
  if (!/^\d+$/.test(port) || number < 1 || number > 65535)
    throw new Error(`${failure}invalid target port ${JSON.stringify(port)}`);
  if (number === statusPort) {
    throw new Error(`${failure}target port ${port} is the same as agent port, which may lead to a recursive loop`);
  }
  const owner = reservedPorts[number];
  if (owner !== undefined)
    throw new Error(`${failure}target port ${port} is reserved for Istio (${owner}) and cannot be scraped`);
}
