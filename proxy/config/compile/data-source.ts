/** `envoy.config.core.v3.DataSource`: text from the configuration, a file or the environment. */
import { readFileSync } from 'node:fs';
import type { protos } from '../../../protos/messages.ts';
import { ConfigError } from './config-error.ts';

type DataSource = protos.envoy.config.core.v3.DataSource;

/**
 * The data, or null if the source is absent.
 * @throws ConfigError if a file cannot be read or a variable is not set.
 */
export function readDataSource(message: DataSource | null, path: string): Buffer | null {
  if (message === null) return null;
  switch (message.specifier) {
    case 'inline_string':
      return Buffer.from(message.inline_string!, 'utf8');
    case 'inline_bytes':
      return Buffer.from(message.inline_bytes!);
    case 'filename':
      return readNamedFile(message.filename!, `${path}.filename`);
    case 'environment_variable': {
      const name = message.environment_variable!;
      // Names like __proto__ are not variables, and yet answer.
      const value = Object.hasOwn(process.env, name) ? process.env[name] : undefined;
      if (value === undefined) {
        throw new ConfigError(`${path}.environment_variable`, `Environment variable doesn't exist: ${name}`);
      }
      return Buffer.from(value, 'utf8');
    }
    default:
      throw new ConfigError(path, 'specifier is required');
  }
}

function readNamedFile(file: string, path: string): Buffer {
  if (file === '') throw new ConfigError(path, 'value length must be at least 1 characters');
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ConfigError(path, `Invalid path: ${file} (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** The same as UTF-8 text. */
export function readTextSource(message: DataSource | null, path: string): string | null {
  return readDataSource(message, path)?.toString('utf8') ?? null;
}
