/** `envoy.filters.http.compressor` with its libraries brotli, zstd and gzip; responses only. */
import type { protos } from '../../../../../protos/messages.ts';
import { ConfigError } from '../../../../config/compile/config-error.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { defineExtension, defineHttpFilter, type ExtensionDefinition } from '../../../../config/compile/extension.ts';
import { requireRange } from '../../../../config/compile/scalars.ts';
import type { CompileScope } from '../../../../config/compile/scope.ts';
import { compileTypedConfig, unknownExtension } from '../../../../config/compile/typed-config.ts';

export type CompressionLibraryModel =
  | { readonly kind: 'brotli'; readonly quality: number; readonly windowBits: number; readonly chunkBytes: number }
  | {
      readonly kind: 'gzip';
      readonly level: number;
      readonly memoryLevel: number;
      readonly windowBits: number;
      readonly chunkBytes: number;
    }
  | { readonly kind: 'zstd'; readonly level: number; readonly checksum: boolean; readonly chunkBytes: number };

export interface CompressorModel {
  readonly libraryName: string;
  readonly library: CompressionLibraryModel;
  readonly enabled: boolean;
  readonly enabledRuntimeKey: string;
  readonly minContentLength: number;
  /** Lower case, without parameters. */
  readonly contentTypes: readonly string[];
  readonly disableOnEtag: boolean;
  readonly removeAcceptEncoding: boolean;
  /** `response_direction_config` is set: it is part of the names of counters. */
  readonly hasResponseDirection: boolean;
}

export interface CompressorPerRouteModel {
  readonly disabled: boolean;
  readonly removeAcceptEncoding: boolean | null;
}

const defaultMinContentLength = 30;
const defaultChunkBytes = 4096;
const defaultContentTypes = [
  'application/javascript',
  'application/json',
  'application/xhtml+xml',
  'image/svg+xml',
  'text/css',
  'text/html',
  'text/plain',
  'text/xml',
  'application/xml',
];

const brotliLibrary = defineExtension({
  kind: 'envoy.compression.brotli.compressor',
  message: 'envoy.extensions.compression.brotli.compressor.v3.Brotli',
  compile(message, path): CompressionLibraryModel {
    return {
      kind: 'brotli',
      quality: requireRange(message.quality?.value ?? 3, 0, 11, `${path}.quality`),
      windowBits: requireRange(message.window_bits?.value ?? 18, 10, 24, `${path}.window_bits`),
      chunkBytes: message.chunk_size?.value ?? defaultChunkBytes,
    };
  },
  fields: {
    'envoy.extensions.compression.brotli.compressor.v3.Brotli': classify({
      implemented: 'quality window_bits chunk_size',
      ignored: {
        encoder_mode: 'a hint to the encoder',
        input_block_bits: 'a hint to the encoder',
        disable_literal_context_modeling: 'a hint to the encoder',
      },
    }),
  },
});

/** Envoy's enum: 0 default, 1 speed, 2 to 9 levels, 10 best. */
function gzipLevel(level: number): number {
  return level === 0 ? 6 : Math.min(level, 9);
}

const gzipLibrary = defineExtension({
  kind: 'envoy.compression.gzip.compressor',
  message: 'envoy.extensions.compression.gzip.compressor.v3.Gzip',
  compile(message, path): CompressionLibraryModel {
    return {
      kind: 'gzip',
      level: gzipLevel(message.compression_level),
      memoryLevel: requireRange(message.memory_level?.value ?? 5, 1, 9, `${path}.memory_level`),
      windowBits: requireRange(message.window_bits?.value ?? 12, 9, 15, `${path}.window_bits`),
      chunkBytes: message.chunk_size?.value ?? defaultChunkBytes,
    };
  },
  fields: {
    'envoy.extensions.compression.gzip.compressor.v3.Gzip': classify({
      implemented: 'memory_level compression_level window_bits chunk_size',
      ignored: { compression_strategy: 'a hint to the encoder' },
    }),
  },
});

const zstdLibrary = defineExtension({
  kind: 'envoy.compression.zstd.compressor',
  message: 'envoy.extensions.compression.zstd.compressor.v3.Zstd',
  compile(message, path): CompressionLibraryModel {
    return {
      kind: 'zstd',
      level: requireRange(message.compression_level?.value ?? 3, 0, 22, `${path}.compression_level`),
      checksum: message.enable_checksum,
      chunkBytes: message.chunk_size?.value ?? defaultChunkBytes,
    };
  },
  fields: {
    'envoy.extensions.compression.zstd.compressor.v3.Zstd': classify({
      implemented: 'compression_level enable_checksum chunk_size',
      ignored: { strategy: 'a hint to the encoder' },
      rejected: 'dictionary',
    }),
  },
});

const libraries: readonly ExtensionDefinition<CompressionLibraryModel>[] = [brotliLibrary, gzipLibrary, zstdLibrary];

function compileCompressor(
  message: protos.envoy.extensions.filters.http.compressor.v3.Compressor,
  path: string,
  scope: CompileScope,
): CompressorModel {
  const named = message.compressor_library;
  if (named === null) throw new ConfigError(`${path}.compressor_library`, 'value is required');
  const libraryPath = `${path}.compressor_library.typed_config`;
  const compiled = compileTypedConfig(libraries, named.typed_config, libraryPath, scope);
  if (compiled === null) throw unknownExtension('compression library', named.name, named.typed_config, libraryPath);
  const direction = message.response_direction_config;
  const common = direction?.common_config ?? null;
  const enabled = common?.enabled ?? message.runtime_enabled;
  const types = common !== null && common.content_type.length > 0 ? common.content_type : message.content_type;
  return {
    libraryName: named.name,
    library: compiled.config,
    enabled: enabled?.default_value?.value ?? true,
    enabledRuntimeKey: enabled?.runtime_key ?? '',
    minContentLength: (common?.min_content_length ?? message.content_length)?.value ?? defaultMinContentLength,
    contentTypes: (types.length > 0 ? types : defaultContentTypes).map(type => type.toLowerCase()),
    disableOnEtag: direction?.disable_on_etag_header ?? message.disable_on_etag_header,
    removeAcceptEncoding: direction?.remove_accept_encoding_header ?? message.remove_accept_encoding_header,
    hasResponseDirection: direction !== null,
  };
}

const v3 = 'envoy.extensions.filters.http.compressor.v3';

export const compressorFilter = defineHttpFilter({
  kind: 'envoy.filters.http.compressor',
  message: 'envoy.extensions.filters.http.compressor.v3.Compressor',
  compile: compileCompressor,
  fields: {
    ...brotliLibrary.fields,
    ...gzipLibrary.fields,
    ...zstdLibrary.fields,
    [`${v3}.Compressor`]: classify({
      implemented: `content_length content_type disable_on_etag_header remove_accept_encoding_header runtime_enabled
        compressor_library response_direction_config`,
      rejected: 'request_direction_config choose_first',
    }),
    [`${v3}.Compressor.CommonDirectionConfig`]: classify({ implemented: 'enabled min_content_length content_type' }),
    [`${v3}.Compressor.RequestDirectionConfig`]: classify({ implemented: 'common_config' }),
    [`${v3}.Compressor.ResponseDirectionConfig`]: classify({
      implemented: 'common_config disable_on_etag_header remove_accept_encoding_header',
    }),
  },
  perRoute: [
    defineExtension({
      kind: 'envoy.filters.http.compressor',
      message: 'envoy.extensions.filters.http.compressor.v3.CompressorPerRoute',
      compile(message): CompressorPerRouteModel {
        return {
          disabled: message.disabled === true,
          removeAcceptEncoding: message.overrides?.response_direction_config?.remove_accept_encoding_header?.value ?? null,
        };
      },
      fields: {
        [`${v3}.CompressorPerRoute`]: classify({ implemented: 'disabled overrides' }),
        [`${v3}.CompressorOverrides`]: classify({ implemented: 'response_direction_config' }),
        [`${v3}.ResponseDirectionOverrides`]: classify({ implemented: 'remove_accept_encoding_header' }),
      },
    }),
  ],
});
