/**
 * The cloud that this machine belongs to: what istiod is told of it, and where it is.
 *
 * Differs from pilot-agent, which tries the metadata addresses of every cloud at each start: here the machine's firmware names its
 * maker, and only that cloud is asked, for a second at most. CLOUD_PLATFORM (aws, azure, gcp, none) decides it beforehand.
 *
 * Source: istio.io/istio pkg/bootstrap/platform.
 */
import { readFileSync } from 'node:fs';
import { AgentLogger } from '../../log.ts';
import type { StringMap } from '../downward-api.ts';
import type { Environment } from '../environment.ts';
import type { Locality } from '../node-metadata.ts';

const log = new AgentLogger('default');

export type Platform = { readonly metadata: StringMap; readonly locality: Locality };

const firmware = '/sys/class/dmi/id';
const clouds = ['aws', 'azure', 'gcp'] as const;
type Cloud = (typeof clouds)[number];

/** Null outside the known clouds. Never rejects: what a cloud does not tell is left out. */
export async function discoverPlatform(environment: Environment, resolvConf = '/etc/resolv.conf'): Promise<Platform | null> {
  const named = environment.cloudPlatform.toLowerCase();
  if (named === 'none') return null;
  const cloud = clouds.find(candidate => candidate === named) ?? recognizeCloud(environment);
  if (cloud === null) return null;
  log.info(`platform is ${cloud}`);
  switch (cloud) {
    case 'aws':
      return (await import('./aws.ts')).describeAws(environment.instanceIp.includes(':'));
    case 'azure':
      return (await import('./azure.ts')).describeAzure();
    case 'gcp':
      return (await import('./gcp.ts')).describeGcp(environment, readText(resolvConf));
  }
}

function recognizeCloud({ gcpMetadata }: Environment): Cloud | null {
  if (gcpMetadata !== '') return 'gcp';
  const maker = readText(`${firmware}/sys_vendor`);
  if (maker.includes('Amazon EC2')) return 'aws';
  if (maker.includes('Microsoft Corporation')) return 'azure';
  return readText(`${firmware}/product_name`).includes('Google Compute Engine') ? 'gcp' : null;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Without the keys that have no value. */
export function dropEmpty(values: Readonly<Record<string, string | null | undefined>>): StringMap {
  return Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => (entry[1] ?? '') !== ''));
}
