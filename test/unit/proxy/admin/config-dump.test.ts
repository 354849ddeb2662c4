import t from 'tap';
import { encodeJson, makeCluster, makeHost, pushTimeMs, startFixture } from './fixture.ts';

const cluster = {
  name: 'outbound|80||svc',
  type: 'EDS',
  eds_cluster_config: { service_name: 'esvc', eds_config: { ads: {}, initial_fetch_timeout: '0.500s' } },
  circuit_breakers: { thresholds: [{ max_connections: 4294967295, track_remaining: true }] },
  metadata: { filter_metadata: { istio: { services: [{ host: 'a<b' }] } } },
};
const listener = {
  name: 'l',
  address: { socket_address: { address: '127.0.0.1', port_value: 1 } },
  filter_chains: [
    {
      filters: [
        {
          name: 'hcm',
          typed_config: {
            '@type': 'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
            stat_prefix: 'x',
            route_config: { name: 'inline' },
          },
        },
      ],
      transport_socket: {
        name: 'tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          common_tls_context: {
            tls_certificates: [{ certificate_chain: { inline_string: 'cert' }, private_key: { filename: '/key' } }],
          },
        },
      },
    },
  ],
};
const secret = {
  name: 'default',
  tls_certificate: {
    certificate_chain: { inline_bytes: Buffer.from('cert').toString('base64') },
    private_key: { inline_bytes: Buffer.from('key').toString('base64') },
  },
};
const version = (bytes: Uint8Array, versionInfo: string) => ({ bytes, versionInfo, lastUpdatedMs: pushTimeMs });

type Section = { '@type': string; [key: string]: unknown };
function sectionOf(body: string, type: string): Section {
  const { configs } = JSON.parse(body) as { configs: Section[] };
  return configs.find(section => section['@type'] === `type.googleapis.com/envoy.admin.v3.${type}`)!;
}

t.test('resources are echoed as they were received, private keys redacted', async t => {
  const { context, get } = await startFixture(t);
  const { resources } = context;
  resources.ensure('cluster', cluster.name).active = version(encodeJson('envoy.config.cluster.v3.Cluster', cluster), 'v7');
  resources.ensure('listener', 'l').active = version(encodeJson('envoy.config.listener.v3.Listener', listener), 'l7');
  resources.ensure('secret', 'default').active = version(
    encodeJson('envoy.extensions.transport_sockets.tls.v3.Secret', secret),
    's7',
  );
  resources.ensure('secret', 'ROOTCA');
  const { status, type, body } = await get('/config_dump');
  t.equal(status, 200);
  t.equal(type, 'application/json');
  t.match(body, /^\{\n "configs": \[\n {2}\{\n {3}"@type": "type.googleapis.com\/envoy.admin.v3.BootstrapConfigDump"/);
  t.match(body, '"host": "a\\u003cb"', 'angle brackets are escaped as protobuf escapes them');
  t.same(
    (JSON.parse(body) as { configs: Section[] }).configs.map(section => section['@type'].split('.').pop()),
    [
      'BootstrapConfigDump',
      'ClustersConfigDump',
      'ListenersConfigDump',
      'ScopedRoutesConfigDump',
      'RoutesConfigDump',
      'SecretsConfigDump',
    ],
  );
  t.same(sectionOf(body, 'ClustersConfigDump'), {
    '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump',
    version_info: 'v1',
    dynamic_active_clusters: [
      {
        version_info: 'v7',
        cluster: { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', ...cluster },
        last_updated: '2026-01-02T03:04:05.678Z',
      },
    ],
  });
  const listeners = sectionOf(body, 'ListenersConfigDump').dynamic_listeners as { active_state: { listener: typeof listener } }[];
  const tls = listeners[0].active_state.listener.filter_chains[0].transport_socket.typed_config.common_tls_context;
  t.same(tls.tls_certificates[0], { certificate_chain: { inline_string: 'cert' }, private_key: { filename: '[redacted]' } });
  t.match(sectionOf(body, 'RoutesConfigDump').static_route_configs, [
    { route_config: { '@type': 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration', name: 'inline' } },
  ]);
  const secrets = sectionOf(body, 'SecretsConfigDump');
  t.match(secrets.dynamic_active_secrets, [
    {
      name: 'default',
      version_info: 's7',
      secret: {
        tls_certificate: {
          certificate_chain: { inline_bytes: 'Y2VydA==' },
          private_key: { inline_bytes: Buffer.from('[redacted]').toString('base64') },
        },
      },
    },
  ]);
  t.match(secrets.dynamic_warming_secrets, [{ name: 'ROOTCA', version_info: 'uninitialized' }]);
});

t.test('a rejected resource is shown with its error, beside the version that serves', async t => {
  const { context, get } = await startFixture(t);
  const bytes = encodeJson('envoy.config.listener.v3.Listener', listener);
  const entry = context.resources.ensure('listener', 'l');
  entry.active = version(bytes, 'l7');
  entry.failure = { bytes, versionInfo: 'l8', lastAttemptMs: pushTimeMs, details: 'name: bad' };
  context.resources.ensure('cluster', 'new').failure = {
    bytes: null,
    versionInfo: 'v9',
    lastAttemptMs: pushTimeMs,
    details: 'why',
  };
  const { body } = await get('/config_dump');
  t.match(sectionOf(body, 'ListenersConfigDump').dynamic_listeners, [
    {
      name: 'l',
      active_state: { version_info: 'l7' },
      error_state: {
        failed_configuration: { '@type': 'type.googleapis.com/envoy.config.listener.v3.Listener', name: 'l' },
        last_update_attempt: '2026-01-02T03:04:05.678Z',
        details: 'name: bad',
        version_info: 'l8',
      },
    },
  ]);
  t.match(sectionOf(body, 'ClustersConfigDump').dynamic_warming_clusters, [{ error_state: { details: 'why' } }]);
});

t.test('an Any of unknown type shows its bytes', async t => {
  const { context, get } = await startFixture(t);
  const bytes = Buffer.concat([
    encodeJson('envoy.config.cluster.v3.Cluster', { name: 'c' }),
    // field 42 (filters)? an upstream config of an unknown type: tag 48, length-delimited
    encodeJson('envoy.config.cluster.v3.Cluster', {
      upstream_config: { name: 'u', typed_config: { '@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s' } },
    }),
  ]);
  const text = bytes.toString('latin1').replace('google.protobuf.Duration', 'gooble.protobuf.Duration');
  context.resources.ensure('cluster', 'c').active = version(Buffer.from(text, 'latin1'), 'v');
  const { body } = await get('/config_dump?resource=dynamic_active_clusters');
  const { configs } = JSON.parse(body) as { configs: { cluster: { upstream_config: { typed_config: object } } }[] };
  t.same(configs[0].cluster.upstream_config.typed_config, {
    '@type': 'type.googleapis.com/gooble.protobuf.Duration',
    value: 'CAE=',
  });
});

t.test('resource, mask and name_regex select', async t => {
  const { context, get } = await startFixture(t);
  for (const name of ['a', 'b']) {
    const bytes = encodeJson('envoy.config.cluster.v3.Cluster', { ...cluster, name });
    context.resources.ensure('cluster', name).active = version(bytes, 'v');
  }
  const one = await get('/config_dump?resource=dynamic_active_clusters&name_regex=b&mask=cluster.name,version_info');
  t.same(JSON.parse(one.body), {
    configs: [
      {
        '@type': 'type.googleapis.com/envoy.admin.v3.ClustersConfigDump.DynamicCluster',
        version_info: 'v',
        cluster: { '@type': 'type.googleapis.com/envoy.config.cluster.v3.Cluster', name: 'b' },
      },
    ],
  });
  const masked = await get('/config_dump?mask=bootstrap.node.id');
  t.same(JSON.parse(masked.body), {
    configs: [{ '@type': 'type.googleapis.com/envoy.admin.v3.BootstrapConfigDump', bootstrap: { node: { id: 'n' } } }],
  });
  t.match(await get('/config_dump?resource=foo'), { status: 404, body: 'foo not found in config dump' });
  t.match(await get('/config_dump?name_regex=('), {
    status: 400,
    body: 'INVALID_ARGUMENT: Error while parsing name_regex from (: missing ): (',
  });
  t.match(await get('/config_dump?mask=foo'), {
    status: 400,
    body: 'FieldMask foo could not be successfully applied to any configs.',
  });
});

t.test('include_eds adds the live hosts of every cluster', async t => {
  const { clusters, get } = await startFixture(t);
  const eds = { kind: 'eds', serviceName: 'esvc' } as const;
  const locality = { region: 'r', zone: 'z', subZone: '' };
  clusters.push(
    makeCluster({ name: 'svc', discovery: eds }, [
      makeHost(
        { address: { kind: 'socket', address: '10.0.0.1', port: 80 }, weight: 2, health: 'unhealthy', hostname: 'h1' },
        { locality, localityWeight: 3 },
      ),
      makeHost({ address: { kind: 'pipe', path: '/tmp/x' }, health: 'degraded' }, { locality, localityWeight: 3 }),
      makeHost({ address: { kind: 'socket', address: '::1', port: 80 } }, { priority: 1 }),
    ]),
  );
  const { body } = await get('/config_dump?include_eds');
  // As Envoy 1.40 answers for the same endpoints.
  t.same(sectionOf(body, 'EndpointsConfigDump').dynamic_endpoint_configs, [
    {
      endpoint_config: {
        '@type': 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
        cluster_name: 'esvc',
        endpoints: [
          {
            locality: { region: 'r', zone: 'z' },
            lb_endpoints: [
              {
                endpoint: {
                  address: { socket_address: { address: '10.0.0.1', port_value: 80 } },
                  health_check_config: {},
                  hostname: 'h1',
                },
                health_status: 'UNHEALTHY',
                load_balancing_weight: 2,
              },
              {
                endpoint: { address: { pipe: { path: '/tmp/x' } }, health_check_config: {} },
                health_status: 'DEGRADED',
                load_balancing_weight: 1,
              },
            ],
            load_balancing_weight: 3,
          },
          {
            locality: {},
            lb_endpoints: [
              {
                endpoint: { address: { socket_address: { address: '::1', port_value: 80 } }, health_check_config: {} },
                health_status: 'HEALTHY',
                load_balancing_weight: 1,
              },
            ],
            load_balancing_weight: 0,
            priority: 1,
          },
        ],
        policy: { overprovisioning_factor: 140 },
      },
    },
  ]);
});

t.test('a dump of a thousand clusters is written in more turns of the event loop than one of ten', async t => {
  const { context, get } = await startFixture(t);
  const dump = async (count: number): Promise<number> => {
    for (let i = 0; i < count; i++) {
      const name = `outbound|80||s${i}`;
      const bytes = encodeJson('envoy.config.cluster.v3.Cluster', { ...cluster, name });
      context.resources.ensure('cluster', name).active = version(bytes, 'v');
    }
    let turns = 0;
    let running = true;
    const turn = () => {
      turns++;
      if (running) setImmediate(turn);
    };
    setImmediate(turn);
    const { body } = await get('/config_dump');
    running = false;
    t.equal((sectionOf(body, 'ClustersConfigDump').dynamic_active_clusters as unknown[]).length, count);
    return turns;
  };
  const few = await dump(10);
  const many = await dump(1000);
  t.ok(many > few, `${few} turns for ten clusters, ${many} for a thousand`);
});
