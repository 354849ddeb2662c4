/** Google Cloud: by environment (GCP_METADATA) or by its metadata server; the zone is in the search domains of a node's DNS. */
import type { StringMap } from '../downward-api.ts';
import type { Environment } from '../environment.ts';
import { googleMetadataOrigin, readMetadata } from './metadata-server.ts';
import { dropEmpty, type Platform } from './platform.ts';

/** Metadata keys to paths of the metadata server. */
const properties = {
  gcp_project: 'project/project-id',
  gcp_project_number: 'project/numeric-project-id',
  gcp_location: 'instance/attributes/cluster-location',
  gcp_gke_cluster_name: 'instance/attributes/cluster-name',
  gcp_gce_instance: 'instance/name',
  gcp_gce_instance_id: 'instance/id',
  gcp_gce_instance_template: 'instance/attributes/instance-template',
  gcp_gce_instance_created_by: 'instance/attributes/created-by',
} as const;

type GcpSettings = Pick<Environment, 'gcpMetadata' | 'gcpQuotaProject' | 'gcpZone' | 'gceMetadataHost'>;

export async function describeGcp(settings: GcpSettings, resolvConf: string): Promise<Platform> {
  const origin = googleMetadataOrigin(settings.gceMetadataHost);
  const read = (path: string): Promise<string | null> =>
    readMetadata(`${origin}/computeMetadata/v1/${path}`, { 'Metadata-Flavor': 'Google' });
  const metadata = settings.gcpMetadata === '' ? await askServer(read) : readSettings(settings);
  const zone = settings.gcpZone || findZone(resolvConf) || lastSegment(await read('instance/zone'));
  const region = /^([^-]+-[^-]+)-[^-]+$/.exec(zone)?.[1];
  return { metadata: addClusterUrl(metadata), locality: region === undefined ? {} : { region, zone } };
}

/** `PROJECT_ID|PROJECT_NUMBER|CLUSTER_NAME|CLUSTER_ZONE`; anything else says only that this is Google's cloud. */
function readSettings({ gcpMetadata, gcpQuotaProject, gcpZone }: GcpSettings): StringMap {
  const parts = gcpMetadata.split('|');
  const [project, number, cluster, location] = parts.length === 4 ? parts : [];
  const named = { gcp_project: project, gcp_project_number: number, gcp_gke_cluster_name: cluster, gcp_location: location };
  return dropEmpty({ ...named, gcp_quota_project: gcpQuotaProject, gcp_zone: gcpZone });
}

async function askServer(read: (path: string) => Promise<string | null>): Promise<StringMap> {
  const values = await Promise.all(Object.entries(properties).map(async ([key, path]) => [key, await read(path)] as const));
  const metadata = dropEmpty(Object.fromEntries(values));
  if (metadata.gcp_project === undefined || metadata.gcp_location !== undefined) return metadata;
  return dropEmpty({ ...metadata, gcp_location: lastSegment(await read('instance/zone')) });
}

function addClusterUrl(metadata: StringMap): StringMap {
  const { gcp_project: project, gcp_location: location, gcp_gke_cluster_name: cluster } = metadata;
  if (project === undefined || location === undefined || cluster === undefined) return metadata;
  const path = `projects/${project}/locations/${location}/clusters/${cluster}`;
  return { ...metadata, gcp_gke_cluster_url: `https://container.googleapis.com/v1/${path}` };
}

/** `search ... us-central1-f.c.PROJECT.internal ...` */
function findZone(resolvConf: string): string {
  return /^search.* ([^-\s]+-[^-\s]+-[^-.\s]+)\.c\.[^.]+\.internal/m.exec(resolvConf)?.[1] ?? '';
}

/** `projects/123/zones/us-central1-f`. */
function lastSegment(path: string | null): string {
  return path?.slice(path.lastIndexOf('/') + 1).trim() ?? '';
}
