/** The cluster's name service: CoreDNS on the node's address, behind the service that pods are told of. */
import { Resolver } from 'node:dns/promises';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from './command.ts';
import { apply } from './kubectl.ts';
import { dnsIp, kubeconfig, nodeIp, state } from './layout.ts';
import { startProcess } from './process.ts';

/** Names outside of the cluster, as in /etc/hosts; read again every second. */
const externalNames = join(state, 'external-names');

/**
 * Gives the cluster's name service names of the outside, instead of those that it had. Resolves when it answers with them: a sidecar
 * that asked too early asks again a minute later. Throws an Error if it does not.
 */
export async function setExternalNames(addresses: Readonly<Record<string, readonly string[]>>): Promise<void> {
  writeExternalNames(addresses);
  const resolver = new Resolver();
  resolver.setServers([nodeIp]);
  for (const [name, all] of Object.entries(addresses)) {
    const isKnown = async () => (await resolver.resolve4(name)).toSorted().join() === all.toSorted().join();
    await waitFor(`the name service knows ${name}`, isKnown);
  }
}

function writeExternalNames(addresses: Readonly<Record<string, readonly string[]>>): void {
  const lines = Object.entries(addresses).flatMap(([name, all]) => all.map(address => `${address} ${name}\n`));
  writeFileSync(externalNames, lines.join(''));
}

export function startDns(): void {
  const corefile = join(state, 'Corefile');
  writeExternalNames({});
  const hosts = `  hosts ${externalNames} {\n    ttl 5\n    reload 1s\n    fallthrough\n  }\n`;
  const kubernetes = `  kubernetes cluster.local in-addr.arpa {\n    kubeconfig ${kubeconfig}\n  }\n`;
  writeFileSync(corefile, `.:53 {\n  bind ${nodeIp}\n${hosts}${kubernetes}  cache 5\n}\n`);
  startProcess('coredns', 'coredns', ['-conf', corefile]);
  const ports = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'dns-tcp', port: 53, protocol: 'TCP' },
  ];
  apply([
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: 'kube-system' },
      spec: { clusterIP: dnsIp, ports },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'kube-dns-1', namespace: 'kube-system', labels: { 'kubernetes.io/service-name': 'kube-dns' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [nodeIp], conditions: { ready: true } }],
      ports,
    },
  ]);
}
