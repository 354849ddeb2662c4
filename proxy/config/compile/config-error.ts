/**
 * A rejected piece of configuration. Its message names the field by its path in the resource, as in
 * `filter_chains[0].filters[1].typed_config.route_config: ...`, and becomes part of the NACK.
 */
export class ConfigError extends Error {
  readonly path: string;
  readonly reason: string;
  constructor(path: string, reason: string) {
    super(path === '' ? reason : `${path}: ${reason}`);
    this.path = path;
    this.reason = reason;
  }
}
