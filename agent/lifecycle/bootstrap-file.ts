/** Writes the proxy's bootstrap file, unless the user brings one. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
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
  const alternate = readAlternate(environment.bootstrapTemplate || (proxyConfig.proxyBootstrapTemplatePath ?? ''));
  if (alternate !== null) {
    const path = join(proxyConfig.configPath, alternate.isYaml ? 'envoy-rev.yaml' : 'envoy-rev.json');
    attempt(`write the bootstrap file ${path}`, () => writeFileSync(path, alternate.text));
    return path;
  }
  const token = proxyConfig.tracing?.lightstep?.accessToken;
  if (token !== undefined) writeFileSync(lightstepTokenPath(proxyConfig), token, { mode: 0o666 });
  const path = join(proxyConfig.configPath, 'envoy-rev.json');
  const bootstrap = JSON.stringify(buildBootstrap(sources));
  attempt(`write the bootstrap file ${path}`, () => writeFileSync(path, bootstrap));
  return path;
}

/** Where Istio's image has its template; naming it is asking for the usual bootstrap. */
const stockTemplatePath = '/var/lib/istio/envoy/envoy_bootstrap_tmpl.json';
/** SHA-256 of Istio 1.31's template, wherever it was copied to. */
const stockTemplateHash = 'd3a3fe34ac9f314ddd5e6db9c049d8deb405f6088ae398608f85a3d7007c7c28';

/**
 * A bootstrap that the user brings in place of Istio's template; null if it is that one.
 * Differs from pilot-agent: it may be a plain file, but no Go template of the user's own.
 */
function readAlternate(path: string): { readonly text: string; readonly isYaml: boolean } | null {
  if (path === '' || path === stockTemplatePath) return null;
  const text = attempt(`read the bootstrap template ${path}`, () => readFileSync(path, 'utf8'));
  if (createHash('sha256').update(text).digest('hex') === stockTemplateHash) return null;
  if (text.includes('{{')) {
    throw new Error(
      `the bootstrap template ${path} (ISTIO_BOOTSTRAP, proxyBootstrapTemplatePath or --templateFile) is a Go template other than ` +
        "Istio's own, which is not supported: name a whole bootstrap with customConfigFile of the ProxyConfig, or pieces to merge " +
        'into the usual one with the annotation sidecar.istio.io/bootstrapOverride (ISTIO_BOOTSTRAP_OVERRIDE)',
    );
  }
  return { text, isYaml: /\.yaml(\.tmpl)?$/.test(path) };
}

function attempt<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw explainSystemError(what, error);
  }
}
