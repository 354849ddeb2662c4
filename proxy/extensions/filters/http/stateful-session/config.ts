/** `envoy.filters.http.stateful_session`: requests of a session go to the host that served it before. */
import type { protos } from '../../../../../protos/messages.ts';
import { ConfigError } from '../../../../config/compile/config-error.ts';
import { defineExtension, defineHttpFilter } from '../../../../config/compile/extension.ts';
import { classify } from '../../../../config/compile/field-table.ts';
import { durationMs, requireText } from '../../../../config/compile/scalars.ts';
import type { CompileScope } from '../../../../config/compile/scope.ts';
import { openExpected, typeNameOf, unknownExtension } from '../../../../config/compile/typed-config.ts';
import { requireHeaderName } from '../../../../config/compile/matchers.ts';

export interface StatefulSessionModel {
  /** Null: the filter does nothing. */
  readonly state:
    | { readonly kind: 'cookie'; readonly name: string; readonly ttlMs: number; readonly path: string }
    /** `name` in lower case. */
    | { readonly kind: 'header'; readonly name: string }
    | null;
  /** A request whose host is gone is refused instead of being sent to another. */
  readonly strict: boolean;
}

type StatefulSession = protos.envoy.extensions.filters.http.stateful_session.v3.StatefulSession;

const kind = 'envoy.filters.http.stateful_session';
const packageOf = 'envoy.extensions.filters.http.stateful_session.v3';
const cookieType = 'envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState';
const headerType = 'envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState';

function compileSession(message: StatefulSession, path: string, scope: CompileScope): StatefulSessionModel {
  return { state: compileState(message.session_state, `${path}.session_state`, scope), strict: message.strict };
}

function compileState(
  message: StatefulSession['session_state'],
  path: string,
  scope: CompileScope,
): StatefulSessionModel['state'] {
  if (message === null) return null;
  const config = message.typed_config;
  const at = `${path}.typed_config`;
  const type = config === null ? '' : typeNameOf(config, at);
  if (config === null || (type !== cookieType && type !== headerType)) {
    throw unknownExtension('session state', message.name, config, path);
  }
  const opened = openExpected(config, type, at, scope);
  if (type === headerType) {
    const { name } = opened as protos.envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState;
    return { kind: 'header', name: requireHeaderName(name, `${at}.name`).toLowerCase() };
  }
  const { cookie } = opened as protos.envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState;
  if (cookie === null) throw new ConfigError(`${at}.cookie`, 'value is required');
  return {
    kind: 'cookie',
    name: requireText(cookie.name, `${at}.cookie.name`),
    ttlMs: durationMs(cookie.ttl, 0, `${at}.cookie.ttl`),
    path: cookie.path,
  };
}

export const statefulSessionFilter = defineHttpFilter({
  kind,
  message: `${packageOf}.StatefulSession`,
  compile: compileSession,
  fields: {
    [`${packageOf}.StatefulSession`]: classify({ implemented: 'session_state strict' }),
    [cookieType]: classify({ implemented: 'cookie' }),
    [headerType]: classify({ implemented: 'name' }),
    'envoy.type.http.v3.Cookie': classify({ implemented: 'name ttl path' }),
  },
  perRoute: [
    defineExtension({
      kind,
      message: `${packageOf}.StatefulSessionPerRoute`,
      compile: (message, path, scope): StatefulSessionModel => {
        if (message.override === 'stateful_session') {
          return compileSession(message.stateful_session as StatefulSession, `${path}.stateful_session`, scope);
        }
        if (!message.disabled) throw new ConfigError(`${path}.override`, 'value is required');
        return { state: null, strict: false };
      },
      fields: { [`${packageOf}.StatefulSessionPerRoute`]: classify({ implemented: 'disabled stateful_session' }) },
    }),
  ],
});
