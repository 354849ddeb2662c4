/** Amazon EC2. */
import { metadataOrigin, readMetadata } from './metadata-server.ts';
import { dropEmpty, type Platform } from './platform.ts';

const originV6 = 'http://[fd00:ec2::254]';
/** A token is asked for first; servers of the first version have none and need none. */
const tokenLifeSeconds = '60';

export async function describeAws(isV6: boolean, origin = isV6 ? originV6 : metadataOrigin): Promise<Platform> {
  const lifetime = { 'X-aws-ec2-metadata-token-ttl-seconds': tokenLifeSeconds };
  const token = await readMetadata(`${origin}/latest/api/token`, lifetime, 'PUT');
  const headers: Record<string, string> = token === null ? {} : { 'X-aws-ec2-metadata-token': token };
  const read = (path: string): Promise<string | null> => readMetadata(`${origin}/latest/meta-data/${path}`, headers);
  const paths = ['placement/region', 'placement/availability-zone', 'instance-id'] as const;
  const [region, zone, id] = await Promise.all(paths.map(read));
  return {
    metadata: dropEmpty({ aws_region: region, aws_availability_zone: zone, aws_instance_id: id }),
    locality: dropEmpty({ region, zone }),
  };
}
