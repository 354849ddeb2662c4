/**
 * One of istiod's debug pages (`syncz`, `config_dump?proxyID=...`), asked over discovery. It goes over a stream of its own: istiod
 * ends the stream of a page that it refuses.
 *
 * Source: DebugGen in istio.io/istio pilot/pkg/xds.
 */
import { type StatusObject, status } from '@grpc/grpc-js';
import { encodeMessage, decodeMessage } from '../../protos/messages.ts';
import { describeIstiodFailure } from '../failure-text.ts';
import { deltaVariant } from './discovery-variant.ts';
import type { IstiodChannel } from './istiod-channel.ts';

const debugType = 'istio.io/debug';
const timeoutMs = 30_000;

/** Why istiod gave no page: a gRPC code and what it said. */
export class DebugRefusal extends Error {
  readonly code: number;

  constructor(code: number, details: string) {
    super(details);
    this.code = code;
  }
}

/** Resolves to the page's text. Rejects with a DebugRefusal. */
export async function requestDebugPage(openChannel: () => IstiodChannel, nodeId: string, page: string): Promise<Buffer> {
  const channel = openChannel();
  try {
    const stream = channel.openStream(deltaVariant.path);
    const answer = new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new DebugRefusal(status.DEADLINE_EXCEEDED, 'istiod does not answer')), timeoutMs);
      stream.on('error', () => {});
      stream.on('status', ({ code, details }: StatusObject) => {
        clearTimeout(timer);
        reject(new DebugRefusal(code, describeIstiodFailure(details)));
      });
      stream.on('data', (bytes: Buffer) => {
        const response = decodeMessage('envoy.service.discovery.v3.DeltaDiscoveryResponse', bytes);
        if (response.type_url !== debugType) return;
        clearTimeout(timer);
        resolve(Buffer.concat(response.resources.map(({ resource }) => Buffer.from(resource?.value ?? []))));
      });
    });
    stream.write(
      encodeMessage('envoy.service.discovery.v3.DeltaDiscoveryRequest', {
        type_url: debugType,
        node: { id: nodeId },
        resource_names_subscribe: [page],
      }),
    );
    return await answer.finally(() => stream.cancel());
  } finally {
    channel.close();
  }
}
