import t from 'tap';
import { encodeMessage } from '../../../../protos/messages.ts';
import { discoveryTypeUrls } from '../../../../proxy/xds/discovery-types.ts';
import { finish, type Gradual } from '../../../../proxy/xds/gradual.ts';
import { SotwState } from '../../../../proxy/xds/sotw-state.ts';
import { accepted, type DiscoveryUpdate, type UpdateOutcome } from '../../../../proxy/xds/subscription.ts';

const typeUrl = discoveryTypeUrls.cluster;

function makeHandler(error: string | null = null) {
  const updates: DiscoveryUpdate[] = [];
  return {
    updates,
    error,
    onConnectionFailure: () => {},
    *onUpdate(update: DiscoveryUpdate): Gradual<UpdateOutcome> {
      yield;
      updates.push(update);
      return this.error === null ? accepted : { rejected: new Set(), error: this.error };
    },
  };
}

const respond = (state: SotwState, response: never) => finish(state.onResponse(response));

function makeResponse(version: string, names: readonly string[]) {
  const resources = names.map(name => ({ type_url: typeUrl, value: encodeMessage('envoy.config.cluster.v3.Cluster', { name }) }));
  return { type_url: typeUrl, version_info: version, nonce: `n-${version}`, resources } as never;
}

t.test('names are read from the resources; absence from a wildcard response is a removal', async t => {
  const handler = makeHandler();
  const state = new SotwState(typeUrl, handler, 'wildcard');
  state.takeRequest();
  respond(state, makeResponse('1', ['a', 'b']));
  respond(state, makeResponse('2', ['b']));
  t.strictSame(
    handler.updates.map(({ resources, removed }) => [resources.map(({ name }) => name), removed]),
    [
      [['a', 'b'], []],
      [['b'], ['a']],
    ],
  );
});

t.test('an ACK tells the new version, a NACK the last accepted one', async t => {
  const handler = makeHandler();
  const state = new SotwState(typeUrl, handler, 'wildcard');
  state.takeRequest();
  t.match(respond(state, makeResponse('1', ['a'])), { version_info: '1', response_nonce: 'n-1' });
  handler.error = 'bad';
  const answer = respond(state, makeResponse('2', ['a']));
  t.match(answer, { version_info: '1', response_nonce: 'n-2', error_detail: { message: 'bad' } });
});

t.test('a new stream begins with the accepted version and without a nonce', async t => {
  const state = new SotwState(typeUrl, makeHandler(), ['a']);
  state.takeRequest();
  respond(state, makeResponse('1', ['a']));
  state.onStreamOpened();
  t.match(state.takeRequest(), { version_info: '1', response_nonce: '', resource_names: ['a'] });
});

t.test('changed names send the whole list', async t => {
  const state = new SotwState(typeUrl, makeHandler(), ['a']);
  state.takeRequest();
  t.equal(state.takeRequest(), null);
  state.updateNames(['b'], []);
  t.strictSame(state.takeRequest()?.resource_names, ['a', 'b']);
});

t.test('absence from a response of named resources is no removal', async t => {
  const handler = makeHandler();
  const state = new SotwState(typeUrl, handler, ['a', 'b']);
  state.takeRequest();
  respond(state, makeResponse('1', ['a', 'b']));
  respond(state, makeResponse('2', ['a']));
  t.strictSame(handler.updates[1].removed, []);
});

t.test('bytes that are no message are refused', async t => {
  const state = new SotwState(typeUrl, makeHandler(), 'wildcard');
  state.takeRequest();
  const answer = respond(state, {
    ...(makeResponse('1', []) as object),
    resources: [{ type_url: typeUrl, value: Buffer.from([0x0a, 0xff, 0x01]) }],
  } as never);
  t.match(answer.error_detail?.message, /malformed resource/);
});
