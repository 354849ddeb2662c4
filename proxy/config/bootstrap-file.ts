/** The bootstrap: `--config-path`, with `--config-yaml` merged over it as protobuf merges messages. */
import { decodeMessage, findType, type MessageTypes, type protos } from '../../protos/messages.ts';
import { DocumentError, decodeDocument, decodeYaml, readDocument } from './document.ts';
import type { ProxyOptions } from './options.ts';

const bootstrapType = 'envoy.config.bootstrap.v3.Bootstrap';
const responseType = 'envoy.service.discovery.v3.DiscoveryResponse';

export interface LoadedBootstrap {
  readonly message: protos.envoy.config.bootstrap.v3.Bootstrap;
  /** The same, encoded. */
  readonly bytes: Buffer;
  /** Paths of fields that were ignored because `--allow-unknown-static-fields` asks for it. */
  readonly unknownFields: readonly string[];
}

/** @throws DocumentError */
export async function loadBootstrap(
  options: Pick<ProxyOptions, 'configPath' | 'configYaml' | 'allowUnknownStaticFields'>,
): Promise<LoadedBootstrap> {
  const { configPath, configYaml } = options;
  if (configPath === '' && configYaml === '') {
    throw new DocumentError('At least one of --config-path or --config-yaml or Options::configProto() should be non-empty');
  }
  const unknownFields: string[] = [];
  const onUnknownField = options.allowUnknownStaticFields ? (path: string) => void unknownFields.push(path) : null;
  const parts: Uint8Array[] = [];
  const type = findType(bootstrapType)!;
  if (configPath !== '') {
    const message = await decodeDocument(bootstrapType, configPath, readDocument(configPath), onUnknownField);
    parts.push(type.encode(message).finish());
  }
  if (configYaml !== '') {
    parts.push(type.encode(await decodeYaml(bootstrapType, configYaml, onUnknownField)).finish());
  }
  // Concatenated encodings are a merged message: scalars are replaced, lists appended, messages merged.
  const bytes = Buffer.concat(parts);
  return { message: decodeMessage(bootstrapType, bytes), bytes, unknownFields };
}

/**
 * A DiscoveryResponse from a `path_config_source`. Unknown fields are ignored, as in every dynamic resource.
 * @throws DocumentError
 */
export async function decodeDiscoveryFile(path: string, content: Buffer): Promise<MessageTypes[typeof responseType]> {
  return (await decodeDocument(responseType, path, content, () => {})) as MessageTypes[typeof responseType];
}
