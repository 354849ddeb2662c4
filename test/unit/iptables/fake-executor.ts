/** An executor that records its calls and answers as a test says. */
import type { CommandResult, Executor, IptablesTool, IptablesVersion } from '../../../iptables/executor.ts';

export const done: CommandResult = { ok: true, stdout: '', stderr: '' };

export function refused(stderr: string): CommandResult {
  return { ok: false, stdout: '', stderr };
}

/** Answers a command line; undefined: it succeeds and prints nothing. */
export type Answer = (commandLine: string, stdin: string) => CommandResult | undefined;

export class FakeExecutor implements Executor {
  readonly calls: { readonly commandLine: string; readonly stdin: string }[] = [];
  readonly #answer: Answer;

  constructor(answer: Answer = () => undefined) {
    this.#answer = answer;
  }

  detect(ipv6: boolean): IptablesVersion {
    return { binary: ipv6 ? 'ip6tables' : 'iptables', legacy: false, hasRules: false };
  }

  run(version: IptablesVersion, tool: IptablesTool, args: readonly string[], stdin = ''): CommandResult {
    return this.#record([tool === 'iptables' ? version.binary : `${version.binary}-${tool}`, ...args], stdin);
  }

  runTool(command: 'ip' | 'nft', args: readonly string[], stdin = ''): CommandResult {
    return this.#record([command, ...args], stdin);
  }

  #record(words: readonly string[], stdin: string): CommandResult {
    const commandLine = words.join(' ');
    this.calls.push({ commandLine, stdin });
    return this.#answer(commandLine, stdin) ?? done;
  }

  /** The command lines that match. */
  linesOf(pattern: RegExp): string[] {
    return this.calls.map(call => call.commandLine).filter(line => pattern.test(line));
  }
}
