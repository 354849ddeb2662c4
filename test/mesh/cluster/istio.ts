/** istiod, in one of two modes, and the switch between them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, tryRun, waitFor } from './command.ts';
import { importSupport } from './images.ts';
import { getObject } from './kubectl.ts';
import { images, state } from './layout.ts';

/** `default`: Istio's default installation. `bare`: without the filters of its own data plane, which a stock Envoy lacks. */
export type Mode = 'default' | 'bare';

/** Of the istiod that the suites use, where a second one was installed by hand beside that of `up`. */
export const revision = process.env.MESH_REVISION ?? '';
/** What a namespace is labelled with to be injected. */
export const injectionLabel: Readonly<Record<string, string>> = revision
  ? { 'istio.io/rev': revision }
  : { 'istio-injection': 'enabled' };

const bareSettings = [
  'telemetry.enabled=false',
  'pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false',
  'pilot.env.PILOT_ENABLE_ALPN_FILTER=false',
];
const settings = [
  'global.hub=localhost',
  'global.tag=lab',
  'global.imagePullPolicy=Never',
  `pilot.image=${images.pilot}`,
  'pilot.autoscaleEnabled=false',
  'pilot.env.PILOT_ENABLE_GATEWAY_API=false',
  'pilot.resources.requests.cpu=10m',
  'pilot.resources.requests.memory=64Mi',
  `global.proxy.image=${images.envoy}`,
  `global.proxy_init.image=${images.envoy}`,
  'global.proxy.resources.requests.cpu=10m',
  'global.proxy.resources.requests.memory=32Mi',
];

/** Installs istiod, or changes the mode of the one that is there, and waits until it serves; with a revision, one beside it. */
export async function installIstio(mode: Mode, options: { revision?: string; settings?: readonly string[] } = {}): Promise<void> {
  const { revision: ownRevision = '', settings: ownSettings = [] } = options;
  importSupport();
  const all = [...settings, ...(mode === 'bare' ? bareSettings : []), ...ownSettings];
  const values = all.flatMap(setting => ['--set', `values.${setting}`]);
  const named = ownRevision === '' ? [] : ['--set', `revision=${ownRevision}`];
  const manifest = run('istioctl', ['manifest', 'generate', '--set', 'profile=minimal', ...values, ...named]);
  writeFileSync(join(state, 'istio.yaml'), manifest);
  tryRun('kubectl', ['create', 'namespace', 'istio-system']);
  // The definitions come first in the file, but take a moment until objects of their kinds are accepted.
  await waitFor(
    'istiod to be applied',
    () => tryRun('kubectl', ['apply', '-f', '-'], { input: manifest }).code === 0,
    60_000,
    2000,
  );
  run('kubectl', ['-n', 'istio-system', 'rollout', 'status', `deployment/${deploymentOf(ownRevision)}`, '--timeout=120s']);
}

function deploymentOf(ofRevision: string): string {
  return ofRevision === '' ? 'istiod' : `istiod-${ofRevision}`;
}

/** The mode of the running istiod, or null if there is none. MESH_REVISION names one of several by its revision. */
export function currentMode(): Mode | null {
  const name = deploymentOf(revision);
  if (tryRun('kubectl', ['-n', 'istio-system', 'get', 'deployment', name]).code !== 0) return null;
  const deployment = getObject('-n', 'istio-system', 'deployment', name);
  const variables: { name: string; value?: string }[] = deployment.spec.template.spec.containers[0].env;
  const exchange = variables.find(variable => variable.name === 'PILOT_ENABLE_METADATA_EXCHANGE');
  return exchange?.value === 'false' ? 'bare' : 'default';
}
