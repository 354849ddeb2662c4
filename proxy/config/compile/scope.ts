/** What compiling one resource needs and what it finds out besides the model. */
import type { RequiredCluster } from './route-clusters.ts';
import type { ConfigSourceModel } from '../model/bootstrap.ts';
import type { SecretModel } from '../model/tls.ts';
import { ConfigError } from './config-error.ts';
import type { Extensions } from './extension.ts';
import type { FieldChecker } from './field-table.ts';

/** Made once per process by extensions/compile-manifest.ts. */
export interface CompileContext {
  readonly extensions: Extensions;
  readonly fields: FieldChecker;
  /** Refuse fields that the descriptors do not know (`--reject-unknown-dynamic-fields`; the bootstrap without its flag). */
  readonly rejectUnknownFields: boolean;
  /** RE2 program size above which a regex is refused; runtime `re2.max_program_size.error_level`. */
  readonly maxRegexProgramSize: number;
}

/** A secret that a transport socket waits for. */
export interface SecretReference {
  /** Unique per source and name: the key of the SecretModel, as transport sockets refer to it. */
  readonly key: string;
  readonly name: string;
  /** Where it comes from: the aggregated stream, the bootstrap, a gRPC service on a cluster, or a file. */
  readonly source:
    | 'ads'
    | 'static'
    | { readonly cluster: string }
    | { readonly path: string; readonly watchedDirectory: string | null };
  readonly kind: 'certificate' | 'validation';
  /** `initial_fetch_timeout` of its config source; 0 or absent: as long as it takes. */
  readonly initialFetchTimeoutMs?: number;
  /** `api_type` of a gRPC source; absent: state of the world. */
  readonly protocol?: 'delta' | 'sotw';
}

/** A filter configuration that comes by ECDS. */
export interface ExtensionReference {
  readonly name: string;
  /** As in the names of Envoy's statistics. */
  readonly category: 'http_filter' | 'network_filter';
  /** Full names of the messages that may come. */
  readonly typeNames: readonly string[];
  readonly source: ConfigSourceModel;
  /** The listener waits for it. */
  readonly isAwaited: boolean;
}

const maxIgnoredNotes = 20;

/** Collects the references and findings of one resource while it is compiled. */
export class CompileScope {
  readonly context: CompileContext;
  readonly resource: 'listener' | 'cluster' | 'route' | 'endpoints' | 'secret' | 'extension' | 'bootstrap';
  /** Of the listener being compiled. */
  trafficDirection: 'unspecified' | 'inbound' | 'outbound' = 'unspecified';
  /** Name of the resource, or of its filter chain: with a path in it, what makes an object of the configuration unique. */
  owner = '';
  /** By RDS name. */
  readonly routeSources = new Map<string, ConfigSourceModel>();
  /** Filters whose configuration comes by ECDS. */
  readonly extensions: ExtensionReference[] = [];
  readonly secrets = new Map<string, SecretReference>();
  /** Secrets given in the resource itself, by key. */
  readonly inlineSecrets = new Map<string, SecretModel>();
  /** Clusters that must exist. */
  readonly requiredClusters: RequiredCluster[] = [];
  /** Texts worth a warning in the log: sinks and optional filters without effect. */
  readonly warnings: string[] = [];
  /** Texts worth an error in the log: security filters that deny everything. */
  readonly denials: string[] = [];
  /** Set fields without effect, with the reason, for the debug log; the first ones only. */
  readonly ignoredFields: string[] = [];
  unknownFieldCount = 0;
  readonly #warned = new Set<string>();

  constructor(context: CompileContext, resource: CompileScope['resource']) {
    this.context = context;
    this.resource = resource;
  }

  noteIgnored(path: string, reason: string): void {
    if (this.ignoredFields.length < maxIgnoredNotes) this.ignoredFields.push(`${path} has no effect: ${reason}`);
  }

  /** @throws ConfigError if unknown fields are to be refused. */
  noteUnknown(path: string, count: number): void {
    if (this.context.rejectUnknownFields) throw new ConfigError(path, 'has unknown fields');
    this.unknownFieldCount += count;
  }

  findings(): CompileFindings {
    const { warnings, denials, ignoredFields, unknownFieldCount } = this;
    return { warnings, denials, ignoredFields, unknownFieldCount };
  }

  /** Adds a warning, once per `subject`. */
  warn(path: string, subject: string): void {
    if (this.#warned.has(subject)) return;
    this.#warned.add(subject);
    this.warnings.push(`${path}: ${subject}`);
  }
}

/** What every compile function returns besides its model. */
export interface CompileFindings {
  readonly warnings: readonly string[];
  readonly denials: readonly string[];
  readonly ignoredFields: readonly string[];
  readonly unknownFieldCount: number;
}
