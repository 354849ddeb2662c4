/** Reads the bootstrap, and other messages that are kept in files: JSON, YAML or protobuf, by the file's extension. */
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { readJsonMessage } from '../../protos/json-reader.ts';
import { decodeMessage, encodeMessage, type MessageName, type MessageTypes } from '../../protos/messages.ts';
import type { ProxyOptions } from './options.ts';

const bootstrapType = 'envoy.config.bootstrap.v3.Bootstrap';

export interface LoadedBootstrap {
  readonly message: MessageTypes[typeof bootstrapType];
  /** The encoded message, with what `--config-yaml` merged into it. */
  readonly bytes: Buffer;
  /** Paths of fields that the descriptors do not know. */
  readonly unknownFields: readonly string[];
}

type LoadOptions = Pick<ProxyOptions, 'configPath' | 'configYaml' | 'allowUnknownStaticFields'>;

/**
 * The file of `--config-path` with `--config-yaml` merged over it.
 * @throws Error naming the file or the path of the field that is wrong.
 */
export function loadBootstrap(options: LoadOptions): LoadedBootstrap {
  const { configPath, configYaml } = options;
  if (configPath === '' && configYaml === '') {
    throw new Error('At least one of --config-path or --config-yaml or Options::configProto() should be non-empty');
  }
  if (configYaml === '' && isBinary(configPath)) {
    const message = decodeMessage(bootstrapType, readContent(configPath));
    return { message, bytes: encodeMessage(bootstrapType, message), unknownFields: [] };
  }
  if (isBinary(configPath)) throw new Error('--config-yaml cannot be merged into a protobuf file');
  const base = configPath === '' ? {} : parseText(configPath, readContent(configPath).toString());
  const json = configYaml === '' ? base : mergeJson(base, parseText('--config-yaml', configYaml));
  const unknownFields: string[] = [];
  const onUnknownField = options.allowUnknownStaticFields ? (path: string) => unknownFields.push(path) : null;
  const message = readJsonMessage(bootstrapType, json, { onUnknownField }) as MessageTypes[typeof bootstrapType];
  return { message, bytes: encodeMessage(bootstrapType, message), unknownFields };
}

/**
 * A message in a file, as `path_config_source` reads it.
 * @throws Error if the content is no such message.
 */
export function decodeFile<N extends MessageName>(name: N, path: string, content: Buffer): MessageTypes[N] {
  if (isBinary(path)) return decodeMessage(name, content);
  const message = readJsonMessage(name, parseText(path, content.toString()), { onUnknownField: () => {} });
  // Through the wire form once: a decoder fills in what the text left out.
  return decodeMessage(name, encodeMessage(name, message as never));
}

function isBinary(path: string): boolean {
  return extname(path) === '.pb';
}

function readContent(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    throw new Error(`Invalid path: ${path}`);
  }
}

/** JSON is tried first: a bootstrap of the agent is JSON, and YAML takes ten times as long. */
function parseText(path: string, text: string): unknown {
  const extension = extname(path);
  if (extension === '.pb_text') throw new Error(`${path}: protobuf text format is not implemented`);
  if (extension === '.json' || text.trimStart().startsWith('{')) {
    try {
      return JSON.parse(text);
    } catch (error) {
      if (extension === '.json')
        throw new Error(`Unable to parse JSON as proto (INVALID_ARGUMENT: ${(error as Error).message}): ${path}`);
    }
  }
  try {
    return parseYaml(text, { merge: true });
  } catch (error) {
    throw new Error(`Unable to convert YAML as JSON: ${(error as Error).message}`);
  }
}

/** As protobuf merges: messages field by field, lists one after the other, an Any as a whole. */
function mergeJson(base: unknown, over: unknown): unknown {
  if (Array.isArray(base) && Array.isArray(over)) return [...base, ...over];
  if (!isObject(base) || !isObject(over) || '@type' in over) return over;
  const merged: { [key: string]: unknown } = { ...base };
  for (const [key, value] of Object.entries(over)) {
    Object.defineProperty(merged, key, {
      value: Object.hasOwn(base, key) ? mergeJson(base[key], value) : value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return merged;
}

function isObject(value: unknown): value is { [key: string]: unknown } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
