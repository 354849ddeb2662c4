/** The proxy's command: Envoy's command line, and what goes wrong before there is a server. */
import { readFileSync } from 'node:fs';
import { awaitArgumentsFlag } from '../common/await-arguments.ts';
import { idleCollection } from '../common/idle-collection.ts';
import { Logger, setLogFile, setLogLevels } from '../common/log.ts';
import { envoyVersion } from '../common/version.ts';
import { createMemoryTrim } from './memory-trim.ts';
import { OptionsError, type ProxyOptions, parseOptions } from './config/options.ts';
import { flags } from './config/options.ts';
import { lengthenBackgroundSlices } from './thread-slices.ts';
import { isWorkerName } from './workers/worker-name.ts';

const log = new Logger('main');

/** What Envoy calls its build: revision, version, status, type and TLS library. */
const buildText = `node-sidecar/${envoyVersion}/Clean/RELEASE/OpenSSL`;

function usage(): string {
  const lines = Object.entries(flags).map(([name, kind]) => `   --${name}${kind === 'switch' ? '' : ` <${kind}>`}`);
  return `\nUSAGE: \n\n   envoy  [flags] -c <string>\n\nWhere: \n\n${lines.join('\n')}\n\n   -c, -l and -h stand for --config-path, --log-level and --help.\n`;
}

/** Runs the proxy. A wrong command line ends the process with status 1 and a message. */
export async function runCommand(argv: readonly string[]): Promise<void> {
  try {
    await dispatch(argv[0] === awaitArgumentsFlag ? await awaitArguments() : argv);
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

/** The parts of a run. A wrong command line answers without them. */
async function loadParts() {
  const [server, { loadBootstrap }] = await Promise.all([import('./server.ts'), import('./config/bootstrap-file.ts')]);
  return { ...server, loadBootstrap };
}

/** Undefined for what is no JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** @throws OptionsError */
async function awaitArguments(): Promise<readonly string[]> {
  const { preload } = await loadParts();
  try {
    preload();
  } catch {
    // The start meets it again, and says what it is.
  }
  const text = readFileSync(0, 'utf8');
  if (text === '') process.exit(0);
  const given = parseJson(text);
  if (Array.isArray(given) && given.every(argument => typeof argument === 'string')) return given;
  throw new OptionsError(`${awaitArgumentsFlag}: standard input is no JSON array of strings`);
}

async function dispatch(argv: readonly string[]): Promise<void> {
  const parsed = parseOptions(argv);
  switch (parsed.kind) {
    case 'help':
      process.stdout.write(`${usage()}\n`);
      return;
    case 'version':
      process.stdout.write(`\nenvoy  version: ${buildText}\n\n`);
      return;
    case 'hot-restart-version':
      process.stdout.write('disabled\n');
      return;
    case 'run':
      await run(parsed.options);
  }
}

/** @throws OptionsError if it cannot be opened. */
function openLog(path: string): void {
  if (path === '') return;
  try {
    setLogFile(path);
  } catch (error) {
    throw new OptionsError(`Failed to open log-file '${path}'. e.what(): ${(error as Error).message}`);
  }
}

async function run(options: ProxyOptions): Promise<void> {
  openLog(options.logPath);
  setLogLevels(options.logLevel, options.componentLogLevels);
  const { Server, loadBootstrap } = await loadParts();
  const what = options.configPath === '' ? '--config-yaml' : options.configPath;
  try {
    const server = new Server(options, await loadBootstrap(options));
    if (options.mode === 'validate') {
      server.validate();
      process.stdout.write(`configuration '${what}' OK\n`);
      process.exit(0);
    }
    await server.start();
    idleCollection.schedule();
    createMemoryTrim()?.start();
    lengthenBackgroundSlices(isWorkerName);
  } catch (error) {
    log.critical(`error initializing config '${what}': ${(error as Error).message}`);
    log.debug(() => String((error as Error).stack));
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(1);
  }
}
