import t from 'tap';
import { once } from 'node:events';
import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { readEnvironment } from '../../../../agent/config/environment.ts';
import { buildProxyConfig } from '../../../../agent/config/proxy-config.ts';
import { rawMethod } from '../../../../agent/raw-service.ts';
import { IstiodDebugServer } from '../../../../agent/status/istiod-debug.ts';
import { requestDebugPage } from '../../../../agent/xds/debug-request.ts';
import { deltaVariant } from '../../../../agent/xds/discovery-variant.ts';
import { openIstiodChannel } from '../../../../agent/xds/istiod-channel.ts';
import { decodeMessage, encodeMessage } from '../../../../protos/messages.ts';

type Tap = { teardown(handler: () => void): void };

/** An istiod that has one page and refuses the others. */
async function startIstiod(t: Tap) {
  const server = new Server();
  const asked: { node: string | undefined; names: readonly string[] }[] = [];
  const serve = (stream: ServerDuplexStream<Buffer, Buffer>): void => {
    stream.on('error', () => {});
    stream.on('data', (bytes: Buffer) => {
      const request = decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', bytes);
      asked.push({ node: request.node?.id, names: request.resource_names_subscribe });
      if (request.resource_names_subscribe[0] !== 'syncz') {
        stream.emit('error', { code: status.PERMISSION_DENIED, details: 'the debug info is not available' });
        return;
      }
      const resource = { type_url: 'istio.io/debug', value: Buffer.from('[{"proxy":"p"}]') };
      stream.write(
        encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', {
          type_url: 'istio.io/debug',
          resources: [{ name: 'syncz', resource }],
        }),
      );
    });
  };
  server.addService({ Delta: rawMethod(deltaVariant.path, true) }, { Delta: serve });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  t.teardown(() => server.forceShutdown());
  const proxyConfig = buildProxyConfig({
    meshFile: '',
    environment: JSON.stringify({ discoveryAddress: `127.0.0.1:${port}`, controlPlaneAuthPolicy: 'NONE' }),
    annotations: {},
    serviceCluster: '',
    concurrency: 0,
    cpuLimit: 0,
  });
  const openChannel = () => openIstiodChannel(readEnvironment({}), proxyConfig);
  return {
    asked,
    fetchPage: (page: string) => requestDebugPage(openChannel, 'sidecar~1~p.n~d', page),
    stop: () => server.forceShutdown(),
  };
}

t.test('a page of istiod is asked as this node, and its text is the answer', async t => {
  const { asked, fetchPage } = await startIstiod(t);
  t.equal((await fetchPage('syncz')).toString(), '[{"proxy":"p"}]');
  t.strictSame(asked, [{ node: 'sidecar~1~p.n~d', names: ['syncz'] }]);
});

t.test('the port serves pages, tells why istiod refuses one, and what there is', async t => {
  const { fetchPage, stop } = await startIstiod(t);
  const server = new IstiodDebugServer({ host: '127.0.0.1', port: 0, fetchPage });
  t.teardown(() => server.close());
  const base = `http://127.0.0.1:${await server.port()}`;
  const read = async (path: string) => {
    const response = await fetch(`${base}${path}`);
    return [response.status, await response.text()];
  };
  t.strictSame(await read('/debug/syncz'), [200, '[{"proxy":"p"}]']);
  t.strictSame(await read('/debug/config_dump?proxyID=other.n'), [403, 'the debug info is not available\n']);
  t.match(await read('/elsewhere'), [404, /config_dump, edsz/]);
  stop();
  t.match(await read('/debug/syncz'), [503, /is istiod running/]);
});

t.test('a port in use is no failure', async t => {
  const first = new IstiodDebugServer({ host: '127.0.0.1', port: 0, fetchPage: async () => Buffer.from('first') });
  t.teardown(() => first.close());
  const port = await first.port();
  const second = new IstiodDebugServer({ host: '127.0.0.1', port, fetchPage: async () => Buffer.from('second') });
  t.teardown(() => second.close());
  await once(second.server, 'error');
  t.equal(await (await fetch(`http://127.0.0.1:${port}/debug/x`)).text(), 'first');
});
