/** Answers every request with 403: what runs in place of a security filter that is not implemented. */
import {
  HookStatus,
  type HttpFilter,
  type HttpFilterCallbacks,
  type HttpFilterFactory,
  type LocalReply,
} from '../../../../http/filter.ts';
import type { DenyModel } from './config.ts';

function renderReply({ reason }: DenyModel): LocalReply {
  return {
    status: 403,
    body: 'RBAC: access denied',
    details: `access_denied{${reason.replaceAll(' ', '_')}}`,
    flags: 0,
    grpcStatus: null,
  };
}

export function buildDenyFilter(config: DenyModel): HttpFilterFactory {
  const reply = config.deny ? renderReply(config) : null;
  return (callbacks: HttpFilterCallbacks): HttpFilter => ({
    onRequestHeaders() {
      const ofRoute = reply === null ? (callbacks.perRouteConfig() as DenyModel | null) : null;
      const denial = ofRoute?.deny ? renderReply(ofRoute) : reply;
      if (denial === null) return HookStatus.continue;
      callbacks.sendLocalReply(denial);
      return HookStatus.stop;
    },
  });
}
