/**
 * The application's probes, which the injector redirected to the agent.
 *
 * Source: istio.io/istio pilot/cmd/pilot-agent/status (ISTIO_KUBE_APP_PROBERS).
 */

export type HttpProbe = {
  readonly kind: 'http';
  readonly path: string;
  readonly port: number;
  readonly tls: boolean;
  readonly timeoutMs: number;
};
export type TcpProbe = { readonly kind: 'tcp'; readonly port: number; readonly timeoutMs: number };
export type GrpcProbe = { readonly kind: 'grpc'; readonly port: number; readonly service: string; readonly timeoutMs: number };
export type AppProbe = HttpProbe | TcpProbe | GrpcProbe;

type RawProbe = {
  readonly httpGet?: { readonly path?: string; readonly port?: unknown; readonly scheme?: string };
  readonly tcpSocket?: { readonly port?: unknown };
  readonly grpc?: { readonly port?: unknown; readonly service?: string };
  readonly timeoutSeconds?: number;
};

const pathPattern = /^\/(app-health|app-lifecycle)\/[^/]+\/(livez|readyz|startupz|prestopz|poststartz)$/;

/**
 * Path to probe.
 * @throws if the text is not JSON or a probe is not of exactly one kind with a numeric port.
 */
export function parseAppProbes(text: string): ReadonlyMap<string, AppProbe> {
  if (text === '') return new Map();
  let raw: Readonly<Record<string, RawProbe>>;
  try {
    raw = JSON.parse(text) as Readonly<Record<string, RawProbe>>;
  } catch (error) {
    throw new Error(`failed to decode app prober err = ${(error as Error).message}, json string = ${text}`);
  }
  return new Map(Object.entries(raw ?? {}).map(([path, probe]) => [path, readProbe(path, probe)]));
}

function readProbe(path: string, probe: RawProbe): AppProbe {
  if (!pathPattern.test(path)) {
    throw new Error(`invalid path, must be in form of regex pattern ${pathPattern.source.replaceAll('\\/', '/')}`);
  }
  const { httpGet, tcpSocket, grpc } = probe;
  if ([httpGet, tcpSocket, grpc].filter(kind => kind !== undefined && kind !== null).length !== 1) {
    throw new Error('invalid prober type, must be one of type httpGet, tcpSocket or gRPC');
  }
  const timeoutMs = (probe.timeoutSeconds ?? 0) * 1000;
  const port = httpGet?.port ?? tcpSocket?.port ?? grpc?.port;
  if (typeof port !== 'number') throw new Error(`invalid prober config for ${path}, the port must be int type`);
  if (tcpSocket) return { kind: 'tcp', port, timeoutMs };
  if (grpc) return { kind: 'grpc', port, service: grpc.service ?? '', timeoutMs };
  const target = httpGet?.path ?? '';
  return {
    kind: 'http',
    path: target.startsWith('/') ? target : `/${target}`,
    port,
    tls: httpGet?.scheme === 'HTTPS',
    timeoutMs,
  };
}
