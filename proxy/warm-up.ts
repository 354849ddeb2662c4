/**
 * Runs recorded configuration through decoding and compiling, so that what these make at first use (message codecs, byte code)
 * is there before a proxy starts.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeMessage, encodeMessage } from '../protos/messages.ts';
import { loadBootstrap } from './config/bootstrap-file.ts';
import { compileBootstrap } from './config/compile/bootstrap.ts';
import { compileCluster } from './config/compile/cluster.ts';
import { compileLoadAssignment } from './config/compile/endpoints.ts';
import { compileListener } from './config/compile/listener.ts';
import { compileRouteConfig } from './config/compile/route.ts';
import { createCompileContext } from './extensions/compile-manifest.ts';

const context = createCompileContext();

const compilers: { readonly [file: string]: (bytes: Uint8Array) => unknown } = {
  'cds.bin': bytes => compileCluster(bytes, context),
  'eds.bin': bytes => compileLoadAssignment(bytes, context),
  'lds.bin': bytes => compileListener(bytes, context),
  'rds.bin': bytes => compileRouteConfig(bytes, context),
};

/** @param path holds `bootstrap/*.json` and, in folders of `wire/`, delta responses by type. */
export async function warmUp(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const name of readdirSync(join(path, 'bootstrap'))) await readBootstrap(join(path, 'bootstrap', name));
  for (const pod of readdirSync(join(path, 'wire'))) {
    for (const [file, compile] of Object.entries(compilers)) readResponse(readFileSync(join(path, 'wire', pod, file)), compile);
  }
}

async function readBootstrap(configPath: string): Promise<void> {
  const { message } = await loadBootstrap({ configPath, configYaml: '', allowUnknownStaticFields: true });
  const { model } = compileBootstrap(message, context);
  for (const { bytes } of model.staticClusters) attempt(() => compileCluster(bytes, context));
  for (const { bytes } of model.staticListeners) attempt(() => compileListener(bytes, context));
  const type = 'envoy.service.discovery.v3.DeltaDiscoveryRequest';
  decodeMessage(type, encodeMessage(type, { node: message.node as never, resource_names_subscribe: ['*'], type_url: type }));
}

function readResponse(bytes: Buffer, compile: (bytes: Uint8Array) => unknown): void {
  const { resources } = decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', bytes);
  for (const { resource } of resources) attempt(() => compile(resource!.value));
}

/** What needs sockets or TLS contexts ends early: they cannot be part of a snapshot. */
function attempt(action: () => unknown): void {
  try {
    action();
  } catch {
    // The part before is warm.
  }
}
