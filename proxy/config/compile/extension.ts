/**
 * How an extension takes part in compiling: one definition per message that a `typed_config` can hold, listed in
 * extensions/compile-manifest.ts.
 */
import type { MessageName, MessageTypes } from '../../../protos/messages.ts';
import type { CompileScope } from './scope.ts';
import type { FieldTable } from './field-table.ts';

/**
 * Compiles one decoded message. Pure; what it returns is plain JSON-able data.
 * @param path of the message in its resource, for errors.
 * @throws ConfigError
 */
export type CompileMessage<M, T> = (message: M, path: string, scope: CompileScope) => T;

/** What every extension definition says. */
export interface ExtensionDefinition<T> {
  /** The extension's canonical name, as in `FilterModel.kind`. */
  readonly kind: string;
  /** The message in `typed_config`. */
  readonly message: MessageName;
  readonly compile: CompileMessage<never, T>;
  /** The lines of the field table for `message` and the messages of the extension's own package below it. */
  readonly fields: FieldTable;
  /** True where no field matters, because the extension denies everything or does nothing: the table is not asked. */
  readonly unchecked?: boolean;
}

/** What a filter compiles to that has nothing to do: it is left out of its chain. */
export const leftOut: unique symbol = Symbol('left out');

/** An HTTP filter may also define messages for `typed_per_filter_config`. */
export interface HttpFilterDefinition extends ExtensionDefinition<unknown> {
  readonly perRoute: readonly ExtensionDefinition<unknown>[];
  /** It must be the last filter; only the router is. */
  readonly terminal: boolean;
}

export interface NetworkFilterDefinition extends ExtensionDefinition<unknown> {
  readonly terminal: boolean;
}

/** Checks a definition's types against its message. */
export function defineExtension<N extends MessageName, T>(definition: {
  kind: string;
  message: N;
  compile: CompileMessage<MessageTypes[N], T>;
  fields: FieldTable;
  unchecked?: boolean;
}): ExtensionDefinition<T> {
  return definition as ExtensionDefinition<T>;
}

export function defineHttpFilter<N extends MessageName>(definition: {
  kind: string;
  message: N;
  compile: CompileMessage<MessageTypes[N], unknown>;
  fields: FieldTable;
  perRoute?: readonly ExtensionDefinition<unknown>[];
  terminal?: boolean;
  unchecked?: boolean;
}): HttpFilterDefinition {
  return { perRoute: [], terminal: false, ...definition } as HttpFilterDefinition;
}

export function defineNetworkFilter<N extends MessageName>(definition: {
  kind: string;
  message: N;
  compile: CompileMessage<MessageTypes[N], unknown>;
  fields: FieldTable;
  terminal?: boolean;
  unchecked?: boolean;
}): NetworkFilterDefinition {
  return { terminal: false, ...definition } as NetworkFilterDefinition;
}

/** Everything that can stand in a `typed_config`, by category. */
export interface Extensions {
  readonly httpFilters: readonly HttpFilterDefinition[];
  readonly networkFilters: readonly NetworkFilterDefinition[];
  readonly listenerFilters: readonly ExtensionDefinition<unknown>[];
  /** Compile to an AccessLogModel without its filter. */
  readonly accessLoggers: readonly ExtensionDefinition<AccessLogSink>[];
}

/** An AccessLogModel before its filter is added. */
export type AccessLogSink =
  | Omit<import('../model/access-log.ts').FileAccessLogModel, 'filter'>
  | import('../model/access-log.ts').InertAccessLogModel;
