/**
 * The agent's command line. Each command loads only what it needs: exec hooks and probes start one every few seconds.
 */
import { commandNames, renderCompletion, renderHelp } from './commands/help-text.ts';
import { loggingFlags, parseFlags } from './commands/flags.ts';
import { AgentLogger, configureAgentLog } from './log.ts';

/** What Go's os.Exit(-1) becomes. */
const failureCode = 255;

type Command = (argv: readonly string[]) => Promise<number>;

const commands: Readonly<Record<string, () => Promise<Command>>> = {
  proxy: async () => {
    const { prepareProxy } = await import('./lifecycle/prepared-proxy.ts');
    const prepared = prepareProxy();
    const { runProxy } = await import('./commands/proxy-command.ts');
    return argv => runProxy(argv, prepared);
  },
  request: async () => (await import('./commands/request-command.ts')).runRequest,
  wait: async () => (await import('./commands/wait-command.ts')).runWait,
  version: async () => (await import('./commands/version-command.ts')).runVersion,
  'istio-iptables': async () => {
    const { run } = await import('../iptables/main.ts');
    return argv => run([...argv], process.env);
  },
  help: async () => async argv => printHelp(argv[0] ?? ''),
  completion: async () => async argv => {
    const script = renderCompletion(argv[0] ?? '');
    process.stdout.write(script ?? renderHelp('completion'));
    return 0;
  },
};

void main();

async function main(): Promise<void> {
  process.exitCode = await runCommand(process.argv.slice(2));
  // A command that returned has nothing left to do, whatever is still open.
  if (process.stdout.writableLength === 0) process.exit();
}

async function runCommand(argv: readonly string[]): Promise<number> {
  const index = findCommand(argv);
  const name = index < 0 ? '' : argv[index];
  const rest = argv.filter((_, i) => i !== index);
  try {
    if (name === '') return printHelp('');
    const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (load === undefined) {
      return fail(new Error(`unknown command "${name}" for "pilot-agent"`), "Run 'pilot-agent --help' for usage.");
    }
    // The iptables step has flags of its own and answers for them itself.
    if (name !== 'istio-iptables') {
      const { flags, help } = parseFlags(loggingFlags, rest);
      if (help) return printHelp(name);
      configureAgentLog({ outputLevel: flags.log_output_level, json: flags.log_as_json, targets: flags.log_target });
    }
    return await (await load())(rest);
  } catch (error) {
    return fail(error as Error);
  }
}

/** The first argument that is no flag; before the command only logging flags may stand. */
function findCommand(argv: readonly string[]): number {
  for (let i = 0; i < argv.length; i++) {
    if (!argv[i].startsWith('-')) return i;
    const name = argv[i].slice(2);
    const flag = Object.hasOwn(loggingFlags, name) ? loggingFlags[name as keyof typeof loggingFlags] : undefined;
    if (flag !== undefined && flag.kind !== 'bool') i++;
  }
  return -1;
}

function printHelp(name: string): number {
  process.stdout.write(renderHelp(commandNames.includes(name) ? name : ''));
  return 0;
}

function fail(error: Error, hint?: string): number {
  process.stderr.write(`Error: ${error.message}\n${hint === undefined ? '' : `${hint}\n`}`);
  new AgentLogger('default').error(error.message);
  return failureCode;
}
