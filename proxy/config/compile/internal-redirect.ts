/** `internal_redirect_policy` of a route. */
import type { protos } from '../../../protos/messages.ts';
import type { InternalRedirectModel, RedirectPredicate } from '../model/route.ts';
import { ConfigError } from './config-error.ts';
import { requireHeaderName } from './matchers.ts';
import { requireText, unwrap } from './scalars.ts';
import type { CompileScope } from './scope.ts';
import { openExpected, typeNameOf, unknownExtension } from './typed-config.ts';

const redirectStatuses = new Set([301, 302, 303, 307, 308]);
const maxStatuses = 5;

const extension = 'envoy.extensions.internal_redirect';
const previousRoutes = `${extension}.previous_routes.v3.PreviousRoutesConfig`;
const allowListedRoutes = `${extension}.allow_listed_routes.v3.AllowListedRoutesConfig`;
const safeCrossScheme = `${extension}.safe_cross_scheme.v3.SafeCrossSchemeConfig`;

/** The part of a route's model; `path` is that of the message. */
export function compileInternalRedirect(
  message: protos.envoy.config.route.v3.InternalRedirectPolicy | null,
  path: string,
  scope: CompileScope,
): { readonly internalRedirect?: InternalRedirectModel } {
  if (message === null) return {};
  const statuses = message.redirect_response_codes;
  if (statuses.length > maxStatuses) {
    throw new ConfigError(`${path}.redirect_response_codes`, `value must contain no more than ${maxStatuses} item(s)`);
  }
  const headers = message.response_headers_to_copy.map((name, i) =>
    requireHeaderName(name, `${path}.response_headers_to_copy[${i}]`).toLowerCase(),
  );
  const forbidden = headers.findIndex(name => name.startsWith(':') || name === 'host');
  if (forbidden !== -1) {
    throw new ConfigError(
      `${path}.response_headers_to_copy[${forbidden}]`,
      ':-prefixed headers or Hosts may not be specified here',
    );
  }
  return {
    internalRedirect: {
      // Envoy ignores a code that is no redirect.
      statuses: statuses.length === 0 ? [302] : statuses.filter(status => redirectStatuses.has(status)),
      maxRedirects: unwrap(message.max_internal_redirects, 1),
      allowsCrossScheme: message.allow_cross_scheme_redirect,
      predicates: message.predicates.map((predicate, i) => compilePredicate(predicate, `${path}.predicates[${i}]`, scope)),
      headersToCopy: headers,
    },
  };
}

function compilePredicate(
  message: protos.envoy.config.core.v3.TypedExtensionConfig,
  path: string,
  scope: CompileScope,
): RedirectPredicate {
  const config = message.typed_config;
  const at = `${path}.typed_config`;
  const type = config === null ? '' : typeNameOf(config, at);
  switch (type) {
    case previousRoutes:
      openExpected(config!, previousRoutes, at, scope);
      return { kind: 'previous-routes' };
    case safeCrossScheme:
      openExpected(config!, safeCrossScheme, at, scope);
      return { kind: 'safe-cross-scheme' };
    case allowListedRoutes: {
      const { allowed_route_names } = openExpected(config!, allowListedRoutes, at, scope) as { allowed_route_names: string[] };
      const routes = allowed_route_names.map((name, i) => requireText(name, `${at}.allowed_route_names[${i}]`));
      return { kind: 'allow-listed-routes', routes };
    }
    default:
      throw unknownExtension('internal redirect predicate', message.name, config, path);
  }
}
