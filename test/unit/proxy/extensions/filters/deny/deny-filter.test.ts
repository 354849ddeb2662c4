import t from 'tap';
import { buildDenyFilter } from '../../../../../../proxy/extensions/filters/http/deny/deny-filter.ts';
import { buildDenyNetworkFilter } from '../../../../../../proxy/extensions/filters/network/deny/deny-filter.ts';
import { HookStatus, type LocalReply } from '../../../../../../proxy/http/filter.ts';
import { FilterStatus } from '../../../../../../proxy/network/filter.ts';

const denial = { deny: true, reason: 'envoy.filters.http.jwt_authn is not implemented' };
const open = { deny: false, reason: '' };

function meet(config: typeof denial, ofRoute: unknown = null): { status: number; replies: LocalReply[] } {
  const replies: LocalReply[] = [];
  const callbacks = { perRouteConfig: () => ofRoute, sendLocalReply: (reply: LocalReply) => void replies.push(reply) };
  const status = buildDenyFilter(config)(callbacks as never)!.onRequestHeaders!({} as never, true);
  return { status, replies };
}

t.test('a request that meets a missing security filter is answered 403 with details that say why', async t => {
  const { status, replies } = meet(denial);
  t.equal(status, HookStatus.stop);
  t.match(replies, [
    { status: 403, body: 'RBAC: access denied', details: 'access_denied{envoy.filters.http.jwt_authn_is_not_implemented}' },
  ]);
});

t.test('the configuration of a route cannot open what the filter denies', async t => {
  t.equal(meet(denial, open).replies.length, 1);
});

t.test('a filter that enforces nothing lets requests pass, but not on a route that does', async t => {
  t.strictSame(meet(open), { status: HookStatus.continue, replies: [] });
  t.equal(meet(open, denial).replies.length, 1);
});

t.test('a connection that meets a missing security filter is closed and none of its bytes pass', async t => {
  const closed: unknown[][] = [];
  const connection = { close: (...call: unknown[]) => void closed.push(call) };
  const filter = buildDenyNetworkFilter({ deny: true, reason: 'x is not implemented' })({ connection } as never);
  t.equal(filter.onNewConnection!(), FilterStatus.stop);
  t.equal(filter.onData!(Buffer.from('x'), false), FilterStatus.stop);
  t.strictSame(closed, [['no-flush', 'access_denied{x_is_not_implemented}']]);
});
