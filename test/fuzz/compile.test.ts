/**
 * Mutated pushes into compile: a model or a ConfigError, never another exception, and never a hang. `FUZZ_COUNT` and `FUZZ_SEED`
 * as in every fuzz test.
 */
import t from 'tap';
import { findType } from '../../protos/messages.ts';
import { compileCluster } from '../../proxy/config/compile/cluster.ts';
import { ConfigError } from '../../proxy/config/compile/config-error.ts';
import { compileLoadAssignment } from '../../proxy/config/compile/endpoints.ts';
import { compileListener } from '../../proxy/config/compile/listener.ts';
import { compileRouteConfig } from '../../proxy/config/compile/route.ts';
import { compileSecret } from '../../proxy/config/compile/secret.ts';
import { createCompileContext } from '../../proxy/extensions/compile-manifest.ts';
import { kinds, pods, readPush } from '../golden/pushes.ts';
import { fuzzPlan, Random } from '../support/random.ts';
import { mutateBytes, mutateMessage } from './protobuf-mutation.ts';

const context = createCompileContext();
const compilers = {
  cds: (bytes: Uint8Array) => compileCluster(bytes, context),
  eds: (bytes: Uint8Array) => compileLoadAssignment(bytes, context),
  lds: (bytes: Uint8Array) => compileListener(bytes, context),
  rds: (bytes: Uint8Array) => compileRouteConfig(bytes, context),
  sds: (bytes: Uint8Array) => compileSecret(bytes, context, 'key'),
};
const messages = {
  cds: 'envoy.config.cluster.v3.Cluster',
  eds: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  lds: 'envoy.config.listener.v3.Listener',
  rds: 'envoy.config.route.v3.RouteConfiguration',
  sds: 'envoy.extensions.transport_sockets.tls.v3.Secret',
} as const;

const secret = findType(messages.sds)!;
const secrets = [
  { name: 'a', tls_certificate: { certificate_chain: { inline_string: 'x' }, private_key: { inline_string: 'y' } } },
  { name: 'b', validation_context: { trusted_ca: { inline_string: 'x' }, match_subject_alt_names: [{ prefix: 'spiffe://' }] } },
].map(message => ({ kind: 'sds' as const, bytes: secret.encode(message).finish() }));

const corpus = [
  ...pods.flatMap(pod => kinds.flatMap(kind => readPush(pod, kind).map(({ bytes }) => ({ kind, bytes })))),
  ...secrets,
];

/** A single input that takes longer is a hang in the making. */
const slowMs = 2000;

t.test('a mutated resource compiles or is refused with a ConfigError', async t => {
  const { seed, count } = fuzzPlan(3000);
  t.comment(`seed ${seed}, ${count} inputs`);
  const random = new Random(seed);
  let accepted = 0;
  let refused = 0;
  for (let i = 0; i < count; i++) {
    const { kind, bytes } = random.pick(corpus);
    const input = random.chance(0.5) ? mutateBytes(bytes, random) : mutateMessage(messages[kind], bytes, random);
    const start = performance.now();
    try {
      compilers[kind](input);
      accepted++;
    } catch (error) {
      refused++;
      if (!(error instanceof ConfigError)) {
        t.fail(`seed ${seed}, input ${i}, ${kind}: ${(error as Error).stack}`, { input: Buffer.from(input).toString('base64') });
        return;
      }
    }
    const tookMs = performance.now() - start;
    if (tookMs > slowMs) t.fail(`seed ${seed}, input ${i}, ${kind}: ${Math.round(tookMs)} ms`);
  }
  t.comment(`${accepted} accepted, ${refused} refused`);
  t.ok(accepted > count / 20, 'some mutations leave a valid resource');
  t.ok(refused > count / 20, 'some mutations are found');
});
