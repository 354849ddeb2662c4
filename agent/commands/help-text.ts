/** The texts of `help` and `--help`. */

const summaries: readonly (readonly [string, string])[] = [
  ['completion', 'Generate the autocompletion script for the specified shell'],
  ['help', 'Help about any command'],
  ['istio-iptables', 'Set up iptables rules for Istio Sidecar'],
  ['proxy', 'XDS proxy agent'],
  ['request', 'Makes an HTTP request to the Envoy admin API'],
  ['version', 'Prints out build version information'],
  ['wait', 'Waits until the Envoy proxy is ready'],
];

export const commandNames: readonly string[] = summaries.map(([name]) => name);

const loggingHelp = `      --log_as_json                   Whether to format output as JSON or in plain console-friendly format
      --log_output_level string       Comma-separated minimum per-scope logging level, as <scope>:<level>,...
      --log_target stringArray        Where to output the log: paths, stdout or stderr (default [stdout])`;

const flagsHelp: Readonly<Record<string, readonly [usage: string, flags: string]>> = {
  completion: ['completion [bash|zsh|fish]', ''],
  proxy: [
    'proxy [sidecar|router|waypoint] [flags]',
    `      --concurrency int               number of worker threads to run
      --domain string                 DNS domain suffix. If not provided uses \${POD_NAMESPACE}.svc.cluster.local
      --meshConfig string             File name for Istio mesh configuration (default "./etc/istio/config/mesh")
      --outlierLogPath string         The log path for outlier detection
      --profiling                     Enable debug information under /debug/pprof/ (default true)
      --proxyComponentLogLevel string Component log levels of the proxy. Deprecated, use proxyLogLevel instead
      --proxyLogLevel string          Log level of the proxy, and of scopes as 'info,upstream:debug' (default "warning")
      --serviceCluster string         Service cluster (default "istio-proxy")
      --templateFile string           Bootstrap file to use instead of the built-in one`,
  ],
  request: [
    'request <method> <path> [<body>] [flags]',
    '      --debug-port int32   Set the port to make a local request to (default 15000)',
  ],
  version: [
    'version [flags]',
    `  -o, --output string   One of 'yaml' or 'json'.
  -s, --short           Use --short=false to generate full version information`,
  ],
  wait: [
    'wait [flags]',
    `      --periodMillis int           number of milliseconds to wait between attempts (default 500)
      --requestTimeoutMillis int   number of milliseconds to wait for response (default 500)
      --timeoutSeconds int         maximum number of seconds to wait for Envoy to be ready (default 60)
      --url string                 URL to use in requests (default "http://localhost:15021/healthz/ready")`,
  ],
};

/** Help on one command, or on all for an unknown or empty name. */
export function renderHelp(command: string): string {
  const summary = summaries.find(([name]) => name === command)?.[1];
  const help = flagsHelp[command];
  if (summary !== undefined && help !== undefined) {
    const [usage, flags] = help;
    const own = flags === '' ? '' : `\nFlags:\n${flags}\n`;
    return `${summary}\n\nUsage:\n  pilot-agent ${usage}\n${own}\nGlobal Flags:\n${loggingHelp}\n`;
  }
  const lines = summaries.map(([name, text]) => `  ${name.padEnd(14)} ${text}`).join('\n');
  return `Istio Pilot agent runs in the sidecar or gateway container and bootstraps Envoy.

Usage:
  pilot-agent [command]

Available Commands:
${lines}

Flags:
  -h, --help                          help for pilot-agent
${loggingHelp}

Use "pilot-agent [command] --help" for more information about a command.
`;
}

/** A completion script of the command names, for `completion bash` and the like. */
export function renderCompletion(shell: string): string | null {
  const words = commandNames.join(' ');
  if (shell === 'bash' || shell === 'zsh') {
    const prelude = shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : '';
    return `${prelude}complete -W "${words}" pilot-agent\n`;
  }
  return shell === 'fish' ? `complete -c pilot-agent -f -a "${words}"\n` : null;
}
