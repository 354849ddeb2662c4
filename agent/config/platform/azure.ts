/** Microsoft Azure. */
import { metadataOrigin, readMetadata } from './metadata-server.ts';
import { dropEmpty, type Platform } from './platform.ts';

const apiVersion = '2019-08-15';

type Compute = {
  readonly name?: string;
  readonly location?: string;
  readonly zone?: string;
  readonly vmId?: string;
  readonly tagsList?: readonly { readonly name: string; readonly value: string }[];
};

export async function describeAzure(origin = metadataOrigin): Promise<Platform> {
  const text = await readMetadata(`${origin}/metadata/instance?api-version=${apiVersion}`, { Metadata: 'True' });
  const { name, location, zone, vmId, tagsList = [] } = readCompute(text ?? '{}');
  const tags = Object.fromEntries(tagsList.map(tag => [`azure_${tag.name}`, tag.value]));
  return {
    metadata: { ...dropEmpty({ azure_name: name, azure_location: location, azure_vmId: vmId }), ...tags },
    locality: dropEmpty({ region: location, zone }),
  };
}

function readCompute(text: string): Compute {
  try {
    return (JSON.parse(text) as { compute?: Compute }).compute ?? {};
  } catch {
    return {};
  }
}
