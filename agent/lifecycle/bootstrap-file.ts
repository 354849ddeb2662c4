/** Writes the proxy's bootstrap file, unless the user brings one. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { explainSystemError } from '../failure-text.ts';
import { type BootstrapSources, buildBootstrap, lightstepTokenPath } from '../config/bootstrap/bootstrap.ts';

/**
 * Returns the path to give to the proxy.
 * @throws if the file cannot be written or an address of the ProxyConfig is invalid.
 */
export function writeBootstrap(sources: BootstrapSources): string {
  const { proxyConfig, environment } = sources;
  if (proxyConfig.customConfigFile !== undefined) return proxyConfig.customConfigFile;
  attempt(`make ${proxyConfig.configPath}`, () => mkdirSync(proxyConfig.configPath, { recursive: true, mode: 0o700 }));
  // Differs from pilot-agent: an alternate bootstrap is a plain file here, not a Go template.
  const alternate = environment.bootstrapTemplate || proxyConfig.proxyBootstrapTemplatePath;
  if (alternate !== undefined && alternate !== '') {
    const path = join(proxyConfig.configPath, /\.yaml(\.tmpl)?$/.test(alternate) ? 'envoy-rev.yaml' : 'envoy-rev.json');
    attempt(`copy the bootstrap file ${alternate} to ${path}`, () => copyFileSync(alternate, path));
    return path;
  }
  const token = proxyConfig.tracing?.lightstep?.accessToken;
  if (token !== undefined) writeFileSync(lightstepTokenPath(proxyConfig), token, { mode: 0o666 });
  const path = join(proxyConfig.configPath, 'envoy-rev.json');
  const bootstrap = JSON.stringify(buildBootstrap(sources));
  attempt(`write the bootstrap file ${path}`, () => writeFileSync(path, bootstrap));
  return path;
}

function attempt(what: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    throw explainSystemError(what, error);
  }
}
