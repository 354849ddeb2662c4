/** Binds the compile functions to the process: context, warnings in the log, counted unknown fields. */
import { Logger } from '../common/log.ts';
import { compileCluster } from './config/compile/cluster.ts';
import { compileLoadAssignment } from './config/compile/endpoints.ts';
import { compileExtensionConfig } from './config/compile/extension-config.ts';
import { compileListener } from './config/compile/listener.ts';
import { compileRouteConfig } from './config/compile/route.ts';
import type { CompileContext, CompileFindings } from './config/compile/scope.ts';
import { compileSecret } from './config/compile/secret.ts';
import type { Compilers } from './xds/discovery.ts';

const log = new Logger('config');

/** @param countUnknownFields takes the number of fields that the descriptors do not know. */
export function createCompilers(context: CompileContext, countUnknownFields: (count: number) => void): Compilers {
  /** A push repeats itself: each text is logged once. */
  const logged = new Set<string>();
  const logOnce = (level: 'warning' | 'error', text: string): void => {
    if (logged.has(text)) return;
    logged.add(text);
    log.log(level, text);
  };
  const report = <T extends CompileFindings>(compiled: T): T => {
    for (const text of compiled.warnings) logOnce('warning', text);
    for (const text of compiled.denials) logOnce('error', text);
    if (compiled.unknownFieldCount > 0) countUnknownFields(compiled.unknownFieldCount);
    return compiled;
  };
  return {
    cluster: bytes => report(compileCluster(bytes, context)),
    endpoints: bytes => compileLoadAssignment(bytes, context),
    listener: bytes => report(compileListener(bytes, context)),
    route: bytes => report(compileRouteConfig(bytes, context)),
    extension: (bytes, category) => report(compileExtensionConfig(bytes, category, context)),
    secret: (bytes, key) => report(compileSecret(bytes, context, key)).model,
  };
}
