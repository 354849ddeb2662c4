import t from 'tap';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readEnvironment } from '../../../../../agent/config/environment.ts';
import { describeAws } from '../../../../../agent/config/platform/aws.ts';
import { describeAzure } from '../../../../../agent/config/platform/azure.ts';
import { describeGcp } from '../../../../../agent/config/platform/gcp.ts';
import { discoverPlatform } from '../../../../../agent/config/platform/platform.ts';

type Tap = { teardown(handler: () => void): void };
type Pages = Readonly<Record<string, string>>;

/** A metadata server with these pages, for requests that have the header; a page is `METHOD path`. */
async function serveMetadata(t: Tap, pages: Pages, allows: (headers: IncomingHttpHeaders) => boolean): Promise<string> {
  const server = createServer((request, response) => {
    const page = pages[`${request.method} ${request.url}`];
    response.statusCode = page === undefined ? 404 : allows(request.headers) || request.method === 'PUT' ? 200 : 403;
    response.end(page);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

t.test('EC2 is asked with a token, or without one where there is none', async t => {
  const pages = {
    'GET /latest/meta-data/placement/region': 'eu-west-1',
    'GET /latest/meta-data/placement/availability-zone': 'eu-west-1b',
    'GET /latest/meta-data/instance-id': 'i-1',
  };
  const expected = {
    metadata: { aws_region: 'eu-west-1', aws_availability_zone: 'eu-west-1b', aws_instance_id: 'i-1' },
    locality: { region: 'eu-west-1', zone: 'eu-west-1b' },
  };
  const withToken = await serveMetadata(
    t,
    { ...pages, 'PUT /latest/api/token': 'secret' },
    headers => headers['x-aws-ec2-metadata-token'] === 'secret',
  );
  t.strictSame(await describeAws(false, withToken), expected);
  t.strictSame(await describeAws(false, await serveMetadata(t, pages, () => true)), expected);
});

t.test('Azure tells name, place and tags', async t => {
  const compute = { name: 'vm', location: 'westeurope', zone: '2', vmId: 'x', tagsList: [{ name: 'team', value: 'a' }] };
  const pages = { 'GET /metadata/instance?api-version=2019-08-15': JSON.stringify({ compute }) };
  t.strictSame(await describeAzure(await serveMetadata(t, pages, headers => headers.metadata === 'True')), {
    metadata: { azure_name: 'vm', azure_location: 'westeurope', azure_vmId: 'x', azure_team: 'a' },
    locality: { region: 'westeurope', zone: '2' },
  });
});

const gcp = readEnvironment({});

t.test("Google's metadata server tells project, cluster and instance, and the zone where DNS does not", async t => {
  const pages = {
    'GET /computeMetadata/v1/project/project-id': 'p',
    'GET /computeMetadata/v1/instance/attributes/cluster-name': 'c',
    'GET /computeMetadata/v1/instance/zone': 'projects/1/zones/us-central1-f',
  };
  const origin = await serveMetadata(t, pages, headers => headers['metadata-flavor'] === 'Google');
  const named = { ...gcp, gceMetadataHost: new URL(origin).host };
  t.strictSame(await describeGcp(named, ''), {
    metadata: {
      gcp_project: 'p',
      gcp_gke_cluster_name: 'c',
      gcp_location: 'us-central1-f',
      gcp_gke_cluster_url: 'https://container.googleapis.com/v1/projects/p/locations/us-central1-f/clusters/c',
    },
    locality: { region: 'us-central1', zone: 'us-central1-f' },
  });
});

t.test('GCP_METADATA and the search domains spare the metadata server', async t => {
  const environment = readEnvironment({
    GCP_METADATA: 'p|12|c|europe-west1',
    GCP_QUOTA_PROJECT: 'q',
    GCE_METADATA_HOST: '127.0.0.1:9',
  });
  const resolvConf = 'nameserver 10.0.0.1\nsearch n.svc.cluster.local europe-west1-b.c.test.internal google.internal\n';
  const { metadata, locality } = await describeGcp(environment, resolvConf);
  t.match(metadata, { gcp_project: 'p', gcp_project_number: '12', gcp_quota_project: 'q' });
  t.match(metadata.gcp_gke_cluster_url, '/projects/p/locations/europe-west1/clusters/c');
  t.strictSame(locality, { region: 'europe-west1', zone: 'europe-west1-b' });
});

t.test('a cloud that does not answer, or nonsense, is no platform data and no failure', async t => {
  const empty = { metadata: {}, locality: {} };
  const nowhere = 'http://127.0.0.1:9';
  t.strictSame(await describeAws(true, nowhere), empty);
  t.strictSame(await describeAzure(nowhere), empty);
  t.strictSame(await describeGcp({ ...gcp, gceMetadataHost: new URL(nowhere).host }, ''), empty);
  const pages = { 'GET /metadata/instance?api-version=2019-08-15': '<html>' };
  t.strictSame(await describeAzure(await serveMetadata(t, pages, () => true)), empty);
});

t.test('CLOUD_PLATFORM=none asks nobody', async t => {
  t.equal(await discoverPlatform(readEnvironment({ CLOUD_PLATFORM: 'none', GCP_METADATA: 'a|b|c|d' })), null);
});
