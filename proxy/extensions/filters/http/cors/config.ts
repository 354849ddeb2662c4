/** `envoy.filters.http.cors`: the policy comes with the route. */
import { classify } from '../../../../config/compile/field-table.ts';
import { defineExtension, defineHttpFilter } from '../../../../config/compile/extension.ts';
import { compileStringMatcher } from '../../../../config/compile/matchers.ts';
import { runtimeFraction, unwrap } from '../../../../config/compile/scalars.ts';
import type { FractionalPercent, StringMatcher } from '../../../../config/model/matchers.ts';

export interface CorsPolicyModel {
  readonly allowOrigins: readonly StringMatcher[];
  /** Header values; empty: not sent. */
  readonly allowMethods: string;
  readonly allowHeaders: string;
  readonly exposeHeaders: string;
  readonly maxAge: string;
  readonly allowCredentials: boolean;
  readonly allowPrivateNetworkAccess: boolean;
  readonly forwardNotMatchingPreflights: boolean;
  /** Null: always. */
  readonly filterEnabled: FractionalPercent | null;
  /** Null: never. */
  readonly shadowEnabled: FractionalPercent | null;
}

export const corsFilter = defineHttpFilter({
  kind: 'envoy.filters.http.cors',
  message: 'envoy.extensions.filters.http.cors.v3.Cors',
  compile: () => ({}),
  fields: { 'envoy.extensions.filters.http.cors.v3.Cors': classify({}) },
  perRoute: [
    defineExtension({
      kind: 'envoy.filters.http.cors',
      message: 'envoy.extensions.filters.http.cors.v3.CorsPolicy',
      compile(message, path, scope): CorsPolicyModel {
        return {
          allowOrigins: message.allow_origin_string_match.map((matcher, i) =>
            compileStringMatcher(matcher, `${path}.allow_origin_string_match[${i}]`, scope),
          ),
          allowMethods: message.allow_methods,
          allowHeaders: message.allow_headers,
          exposeHeaders: message.expose_headers,
          maxAge: message.max_age,
          allowCredentials: unwrap(message.allow_credentials, false),
          allowPrivateNetworkAccess: unwrap(message.allow_private_network_access, false),
          forwardNotMatchingPreflights: unwrap(message.forward_not_matching_preflights, true),
          filterEnabled: runtimeFraction(message.filter_enabled, `${path}.filter_enabled`),
          shadowEnabled: runtimeFraction(message.shadow_enabled, `${path}.shadow_enabled`),
        };
      },
      fields: {
        'envoy.extensions.filters.http.cors.v3.CorsPolicy': classify({
          implemented: `allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials
            filter_enabled shadow_enabled allow_private_network_access forward_not_matching_preflights`,
        }),
      },
    }),
  ],
});
