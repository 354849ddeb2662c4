/**
 * Security filters that are not implemented. Refusing their configuration would leave the older, more open listener serving;
 * so it is accepted, and every request that meets the filter is denied.
 */
import type { MessageName, protos } from '../../../../../protos/messages.ts';
import { defineExtension, defineHttpFilter, type HttpFilterDefinition } from '../../../../config/compile/extension.ts';
import type { CompileScope } from '../../../../config/compile/scope.ts';

export interface DenyModel {
  /** False where nothing is enforced, unless a route's configuration says otherwise. */
  readonly deny: boolean;
  /** For logs and response code details. */
  readonly reason: string;
}

/** Adds the error that the log shows, and says what runs. */
export function denyEverything(kind: string, path: string, scope: CompileScope): DenyModel {
  scope.denials.push(`${path}: ${kind} is not implemented and denies everything`);
  return { deny: true, reason: `${kind} is not implemented` };
}

/** `LOG` of RBAC's actions. */
const logAction = 2;

/** True if the rules can deny: absent ones (shadow rules only) and those that log cannot. */
export function enforces(message: {
  readonly rules: protos.envoy.config.rbac.v3.RBAC | null;
  readonly matcher: object | null;
}): boolean {
  return message.matcher !== null || (message.rules !== null && message.rules.action !== logAction);
}

/** Where the filter denies everything, per-route configuration changes nothing. */
function perRoute(kind: string, message: MessageName) {
  return [defineExtension({ kind, message, compile: () => null, fields: {}, unchecked: true })];
}

const rbac = 'envoy.filters.http.rbac';
const jwtAuthn = 'envoy.filters.http.jwt_authn';
const extAuthz = 'envoy.filters.http.ext_authz';

function compileRbac(message: Parameters<typeof enforces>[0], path: string, scope: CompileScope): DenyModel {
  if (enforces(message)) return denyEverything(rbac, path, scope);
  scope.warn(path, `${rbac} without enforced rules is not implemented: accepted without effect`);
  return { deny: false, reason: '' };
}

export const denyingHttpFilters: readonly HttpFilterDefinition[] = [
  defineHttpFilter({
    kind: rbac,
    message: 'envoy.extensions.filters.http.rbac.v3.RBAC',
    compile: compileRbac,
    fields: {},
    unchecked: true,
    perRoute: [
      defineExtension({
        kind: rbac,
        message: 'envoy.extensions.filters.http.rbac.v3.RBACPerRoute',
        compile: (message, path, scope) => (message.rbac === null ? null : compileRbac(message.rbac, `${path}.rbac`, scope)),
        fields: {},
        unchecked: true,
      }),
    ],
  }),
  defineHttpFilter({
    kind: jwtAuthn,
    message: 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication',
    compile: (_message, path, scope) => denyEverything(jwtAuthn, path, scope),
    fields: {},
    unchecked: true,
    perRoute: perRoute(jwtAuthn, 'envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig'),
  }),
  defineHttpFilter({
    kind: extAuthz,
    message: 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz',
    compile: (_message, path, scope) => denyEverything(extAuthz, path, scope),
    fields: {},
    unchecked: true,
    perRoute: perRoute(extAuthz, 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute'),
  }),
];
