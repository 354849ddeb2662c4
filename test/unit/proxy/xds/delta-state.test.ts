import t from 'tap';
import { DeltaState } from '../../../../proxy/xds/delta-state.ts';
import { finish, type Gradual } from '../../../../proxy/xds/gradual.ts';
import type { ReceivedDeltaResponse } from '../../../../proxy/xds/discovery-services.ts';
import type { DiscoveryUpdate, UpdateOutcome } from '../../../../proxy/xds/subscription.ts';

const typeUrl = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';

function makeHandler(rejected: Record<string, string> = {}) {
  const updates: DiscoveryUpdate[] = [];
  return {
    updates,
    rejected,
    onConnectionFailure: () => {},
    *onUpdate(update: DiscoveryUpdate): Gradual<UpdateOutcome> {
      yield;
      updates.push(update);
      const bad = update.resources.filter(({ name }) => rejected[name] !== undefined).map(({ name }) => name);
      return {
        rejected: new Set(bad),
        error: bad.length === 0 ? null : bad.map(name => `${name}: ${rejected[name]}`).join(', '),
      };
    },
  };
}

const respond = (state: DeltaState, response: ReceivedDeltaResponse) => finish(state.onResponse(response));

function makeResponse(nonce: string, names: readonly string[], removed: readonly string[] = []): ReceivedDeltaResponse {
  return {
    type_url: typeUrl,
    system_version_info: '1',
    nonce,
    resources: names.map(name => ({ name, version: `${name}-1`, resource: { type_url: typeUrl, value: Buffer.from(name) } })),
    removed_resources: removed,
  } as never;
}

t.test('a wildcard subscription begins with an empty list of names', async t => {
  const state = new DeltaState(typeUrl, makeHandler(), 'wildcard');
  t.strictSame(state.takeRequest(), { type_url: typeUrl, resource_names_subscribe: [], initial_resource_versions: {} });
  t.equal(state.takeRequest(), null);
});

t.test('a named subscription without names sends nothing', async t => {
  const state = new DeltaState(typeUrl, makeHandler(), []);
  t.equal(state.takeRequest(), null);
  state.updateNames(['a'], []);
  t.strictSame(state.takeRequest()?.resource_names_subscribe, ['a']);
});

t.test('changed names are one spontaneous request without a nonce', async t => {
  const state = new DeltaState(typeUrl, makeHandler(), ['a', 'b']);
  state.takeRequest();
  state.updateNames(['c'], ['a']);
  state.updateNames(['d'], ['c']);
  t.strictSame(state.takeRequest(), { type_url: typeUrl, resource_names_subscribe: ['d'], resource_names_unsubscribe: ['a'] });
  t.equal(state.takeRequest(), null);
});

t.test('an ACK carries the nonce and nothing else', async t => {
  const state = new DeltaState(typeUrl, makeHandler(), 'wildcard');
  state.takeRequest();
  const answer = respond(state, makeResponse('n1', ['a']));
  t.strictSame(answer, { type_url: typeUrl, response_nonce: 'n1', error_detail: undefined });
});

t.test('a NACK names the refused resources; the versions of the good ones are kept for the next stream', async t => {
  const state = new DeltaState(typeUrl, makeHandler({ bad: 'no such field' }), 'wildcard');
  state.takeRequest();
  const answer = respond(state, makeResponse('n1', ['good', 'bad']));
  t.equal(answer.error_detail?.message, 'bad: no such field');
  t.equal(answer.response_nonce, 'n1');
  state.onStreamOpened();
  t.strictSame(state.takeRequest()?.initial_resource_versions, { good: 'good-1' });
});

t.test('a removed resource has no version on the next stream', async t => {
  const handler = makeHandler();
  const state = new DeltaState(typeUrl, handler, 'wildcard');
  state.takeRequest();
  respond(state, makeResponse('n1', ['a', 'b']));
  respond(state, makeResponse('n2', [], ['a']));
  t.strictSame(handler.updates[1].removed, ['a']);
  state.onStreamOpened();
  t.strictSame(state.takeRequest()?.initial_resource_versions, { b: 'b-1' });
});

t.test('a name that is given twice refuses the whole response', async t => {
  const handler = makeHandler();
  const state = new DeltaState(typeUrl, handler, 'wildcard');
  state.takeRequest();
  const answer = respond(state, makeResponse('n1', ['a', 'a']));
  t.match(answer.error_detail?.message, /duplicate name a found/);
  t.equal(handler.updates.length, 0);
});

t.test('a resource of another type refuses the whole response', async t => {
  const state = new DeltaState('type.googleapis.com/other', makeHandler(), 'wildcard');
  state.takeRequest();
  t.match(respond(state, makeResponse('n1', ['a'])).error_detail?.message, /does not match the message-wide type URL/);
});

t.test('a resource that is not subscribed any more is ignored', async t => {
  const handler = makeHandler();
  const state = new DeltaState(typeUrl, handler, ['a']);
  state.takeRequest();
  state.updateNames([], ['a']);
  respond(state, makeResponse('n1', ['a']));
  t.equal(handler.updates[0].resources.length, 0);
});

t.test('kept bytes are no view of the response', async t => {
  const handler = makeHandler();
  const state = new DeltaState(typeUrl, handler, 'wildcard');
  state.takeRequest();
  const response = makeResponse('n1', ['a']);
  respond(state, response);
  (response.resources[0].resource!.value as Buffer).fill(0);
  t.equal(handler.updates[0].resources[0].bytes.toString(), 'a');
});
