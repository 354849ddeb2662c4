/** `version`: what this build is. */
import { istioVersion } from '../../common/version.ts';
import { parseFlags } from './flags.ts';

/** @throws for an unknown output format. */
export async function runVersion(argv: readonly string[]): Promise<number> {
  const { flags } = parseFlags(
    { short: { kind: 'bool', default: false, short: 's' }, output: { kind: 'string', default: '', short: 'o' } } as const,
    argv,
  );
  const info = {
    version: istioVersion,
    revision: 'unknown',
    golang_version: `node ${process.version}`,
    status: 'Clean',
    tag: istioVersion,
  };
  if (flags.output === 'json') print(JSON.stringify({ clientVersion: info }, null, 2));
  else if (flags.output === 'yaml') {
    const lines = Object.entries(info).map(([name, value]) => `  ${name}: ${value}`);
    print(['clientVersion:', ...lines.toSorted()].join('\n'));
  } else if (flags.output !== '') throw new Error("--output must be 'yaml' or 'json'");
  else if (flags.short) print(`client version: ${info.version}`);
  else {
    const fields = `Version:"${info.version}", GitRevision:"${info.revision}", GolangVersion:"${info.golang_version}"`;
    print(`client version: version.BuildInfo{${fields}, BuildStatus:"${info.status}", GitTag:"${info.tag}"}`);
  }
  return 0;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
