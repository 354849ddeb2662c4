/** Reads configuration documents: JSON, YAML and encoded protobuf, by the ending of the file's name. */
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { ProtoJsonError, readJsonMessage } from '../../protos/json-reader.ts';
import { findType } from '../../protos/messages.ts';

/** A document that cannot be read, in the words that Envoy logs. */
export class DocumentError extends Error {}

/** @throws DocumentError */
export function readDocument(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    throw new DocumentError(`Invalid path: ${path}`);
  }
}

/**
 * Decodes a document into the message.
 * @param path Its ending tells the format; anything else is read as JSON.
 * @param onUnknownField takes each unknown field's path; null: one is an error.
 * @throws DocumentError
 */
export async function decodeDocument(
  messageName: string,
  path: string,
  content: Buffer,
  onUnknownField: ((path: string) => void) | null,
): Promise<object> {
  const ending = extname(path);
  if (ending === '.pb') return decodeBinary(messageName, path, content);
  const text = content.toString('utf8');
  const json = ending === '.yaml' || ending === '.yml' ? await parseYaml(text) : parseJson(text);
  return toMessage(messageName, json, onUnknownField);
}

/** Decodes inline text, which may be YAML or JSON (a part of YAML). */
export async function decodeYaml(
  messageName: string,
  text: string,
  onUnknownField: ((path: string) => void) | null,
): Promise<object> {
  return toMessage(messageName, await parseYaml(text), onUnknownField);
}

function decodeBinary(messageName: string, path: string, content: Buffer): object {
  try {
    return findType(messageName)!.decode(content);
  } catch (error) {
    throw new DocumentError(
      `Unable to parse file "${path}" as a binary protobuf (type ${messageName}): ${(error as Error).message}`,
    );
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DocumentError(`Unable to parse JSON as proto (INVALID_ARGUMENT: ${(error as Error).message})`);
  }
}

/** The YAML library is loaded when a document needs it: it is slower to load than most bootstraps are to read. */
async function parseYaml(text: string): Promise<unknown> {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON, then it is YAML proper.
  }
  const { parse } = await import('yaml');
  try {
    return parse(text, { merge: true, maxAliasCount: 1000 });
  } catch (error) {
    throw new DocumentError(`Unable to convert YAML as JSON: ${(error as Error).message}`);
  }
}

function toMessage(messageName: string, json: unknown, onUnknownField: ((path: string) => void) | null): object {
  try {
    // An empty document is an empty message.
    return readJsonMessage(messageName, json ?? {}, { onUnknownField });
  } catch (error) {
    if (!(error instanceof ProtoJsonError)) throw error;
    if (error.reason.startsWith('no such field')) {
      throw new DocumentError(
        `Protobuf message (type ${messageName} reason INVALID_ARGUMENT: ${error.message}) has unknown fields`,
      );
    }
    throw new DocumentError(`Unable to parse JSON as proto (INVALID_ARGUMENT: ${error.message})`);
  }
}
