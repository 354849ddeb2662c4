/** Access loggers that send records elsewhere and are not implemented: accepted without effect, with a warning. */
import type { MessageName } from '../../../../protos/messages.ts';
import { type AccessLogSink, defineExtension, type ExtensionDefinition } from '../../../config/compile/extension.ts';

function inert(kind: string, message: MessageName): ExtensionDefinition<AccessLogSink> {
  return defineExtension({
    kind,
    message,
    compile: (): AccessLogSink => ({ kind: 'inert', name: kind }),
    fields: {},
    unchecked: true,
  });
}

export const inertAccessLoggers: readonly ExtensionDefinition<AccessLogSink>[] = [
  inert('envoy.access_loggers.http_grpc', 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig'),
  inert('envoy.access_loggers.tcp_grpc', 'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig'),
  inert('envoy.access_loggers.open_telemetry', 'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig'),
];
