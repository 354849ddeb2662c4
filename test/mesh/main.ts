/** `npm run mesh -- COMMAND`: a real Kubernetes with a real istiod on this machine, for the tests below `suites`. */
import { buildSidecar, importEcho } from './cluster/images.ts';
import { installIstio, type Mode } from './cluster/istio.ts';
import { bringUp, isUp, printStatus, takeDown } from './cluster/lifecycle.ts';
import { buildTools } from './cluster/tools.ts';
import { runSuites } from './run.ts';

const usage = `npm run mesh -- COMMAND

  tools                 build the binaries (15 minutes with nothing cached)
  up [bare|default]     start the cluster and istiod; default mode unless bare is asked for
  image                 build this project's image and import it, and those with one of its programs replaced by the real one
  echo                  import the test application again
  switch bare|default   change istiod's mode
  test [SUITE...]       up, image, then the suites (all, or those whose name starts with an argument); then down
  status                what is running
  down                  stop everything and remove the state, not the binaries
`;

function modeOf(text: string | undefined): Mode {
  if (text === 'bare' || text === 'default') return text;
  throw new Error(`the mode is bare or default, not ${text}`);
}

function requireCluster(): void {
  if (!isUp()) throw new Error('The cluster is not running: npm run mesh -- up');
}

async function main([command, ...args]: string[]): Promise<number> {
  switch (command) {
    case 'tools':
      buildTools();
      return 0;
    case 'up':
      await bringUp(modeOf(args[0] ?? 'default'));
      return 0;
    case 'image':
      requireCluster();
      buildSidecar({ halves: true });
      return 0;
    case 'echo':
      requireCluster();
      importEcho();
      return 0;
    case 'switch':
      requireCluster();
      await installIstio(modeOf(args[0]));
      return 0;
    case 'test':
      return runSuites(args);
    case 'status':
      printStatus();
      return 0;
    case 'down':
      await takeDown();
      return 0;
    default:
      process.stdout.write(usage);
      return command === undefined || command === '--help' || command === 'help' ? 0 : 1;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
