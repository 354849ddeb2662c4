/** Command line flags in the manner of Go's pflag: `--name=value`, `--name value`, booleans alone, unknown ones skipped. */

type FlagKind = 'string' | 'int' | 'bool' | 'strings';
export type FlagTable = Readonly<
  Record<
    string,
    { readonly kind: FlagKind; readonly default: string | number | boolean | readonly string[]; readonly short?: string }
  >
>;

type ValueOf<K extends FlagKind> = K extends 'string'
  ? string
  : K extends 'int'
    ? number
    : K extends 'bool'
      ? boolean
      : readonly string[];
export type FlagValues<T extends FlagTable> = { readonly [N in keyof T]: ValueOf<T[N]['kind']> };
export type ParsedFlags<T extends FlagTable> = {
  readonly flags: FlagValues<T>;
  readonly positional: readonly string[];
  readonly help: boolean;
};

/**
 * Parses arguments. An unknown flag takes the next argument along if that is no flag, as pflag does.
 * @throws for a value that does not fit its flag.
 */
export function parseFlags<T extends FlagTable>(table: T, argv: readonly string[]): ParsedFlags<T> {
  const values: Record<string, unknown> = Object.fromEntries(Object.entries(table).map(([name, flag]) => [name, flag.default]));
  const given = new Set<string>();
  const positional: string[] = [];
  let help = false;
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i];
    if (argument === '--') {
      positional.push(...argv.slice(i + 1));
      break;
    }
    if (!argument.startsWith('-') || argument === '-') {
      positional.push(argument);
      continue;
    }
    const { name, inline } = splitFlag(table, argument);
    if (name === 'help' || argument === '-h') {
      help = true;
      continue;
    }
    const flag = table[name];
    const next = argv[i + 1];
    if (flag === undefined) {
      if (inline === null && next !== undefined && !next.startsWith('-')) i++;
      continue;
    }
    let text = inline;
    if (text === null && flag.kind === 'bool') text = 'true';
    else if (text === null) {
      if (next === undefined) throw new Error(`flag needs an argument: --${name}`);
      text = next;
      i++;
    }
    const value = readFlag(name, flag.kind, text);
    // A repeated list flag adds up, but its first use replaces the default.
    values[name] = flag.kind === 'strings' && given.has(name) ? [...(values[name] as readonly string[]), text] : value;
    given.add(name);
  }
  return { flags: values as FlagValues<T>, positional, help };
}

function splitFlag(table: FlagTable, argument: string): { readonly name: string; readonly inline: string | null } {
  const separator = argument.indexOf('=');
  const head = separator < 0 ? argument : argument.slice(0, separator);
  const inline = separator < 0 ? null : argument.slice(separator + 1);
  if (head.startsWith('--')) return { name: head.slice(2), inline };
  const short = head.slice(1, 2);
  const name = Object.keys(table).find(candidate => table[candidate].short === short) ?? head.slice(1);
  return { name, inline: inline ?? (head.length > 2 && table[name]?.short === short ? head.slice(2) : null) };
}

function readFlag(name: string, kind: FlagKind, text: string): unknown {
  if (kind === 'int') {
    if (!/^[-+]?\d+$/.test(text)) throw new Error(invalidText(name, text, 'strconv.ParseInt'));
    return Number(text);
  }
  if (kind === 'bool') {
    if (/^(1|t|T|TRUE|true|True)$/.test(text)) return true;
    if (/^(0|f|F|FALSE|false|False)$/.test(text)) return false;
    throw new Error(invalidText(name, text, 'strconv.ParseBool'));
  }
  return kind === 'strings' ? [text] : text;
}

function invalidText(name: string, text: string, parser: string): string {
  const quoted = JSON.stringify(text);
  return `invalid argument ${quoted} for "--${name}" flag: ${parser}: parsing ${quoted}: invalid syntax`;
}

/** The logging flags that every command understands. */
export const loggingFlags = {
  log_target: { kind: 'strings', default: ['stdout'] },
  log_as_json: { kind: 'bool', default: false },
  log_output_level: { kind: 'string', default: '' },
  log_stacktrace_level: { kind: 'string', default: 'default:none' },
  log_caller: { kind: 'string', default: '' },
  vklog: { kind: 'string', default: '0' },
} as const satisfies FlagTable;
