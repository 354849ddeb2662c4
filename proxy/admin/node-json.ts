/** This proxy's node as Envoy reports it: the bootstrap's, and what program it is. */
import { findType, type protos } from '../../protos/messages.ts';
import { type JsonObject, messageToJson } from '../../protos/json-writer.ts';
import { envoyVersion } from '../../common/version.ts';

const [major, minor, patch] = envoyVersion.split('.').map(Number);

/** As in `%VERSION%`: revision, release, state, build type, TLS library. */
export const versionText = `node-sidecar/${envoyVersion}/Clean/RELEASE/OpenSSL`;

/** `envoy.config.core.v3.Node` in .proto names. A zero is not printed. */
export function nodeToJson(node: protos.envoy.config.core.v3.Node | null, showZeros: boolean): JsonObject {
  const type = findType('envoy.config.core.v3.Node');
  const own = node === null || type === null ? {} : (messageToJson(type, node, { redact: true }) as JsonObject);
  return {
    ...(showZeros && { id: '', cluster: '' }),
    ...own,
    user_agent_name: 'envoy',
    user_agent_build_version: {
      version: { major_number: major, minor_number: minor, ...((showZeros || patch !== 0) && { patch }) },
      metadata: {
        'revision.sha': 'node-sidecar',
        'revision.status': 'Clean',
        'build.type': 'RELEASE',
        'ssl.version': `OpenSSL ${process.versions.openssl}`,
      },
    },
  };
}
