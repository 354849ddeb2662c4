/** etcd, API server, controllers and scheduler. */
import { join } from 'node:path';
import { pki } from './certificates.ts';
import { tryRun, waitFor } from './command.ts';
import { kubeconfig, nodeIp, serviceCidr, state } from './layout.ts';
import { startProcess } from './process.ts';

const etcdUrl = 'http://127.0.0.1:2379';

export async function startControlPlane(): Promise<void> {
  const urls = [
    '--listen-client-urls',
    etcdUrl,
    '--advertise-client-urls',
    etcdUrl,
    '--listen-peer-urls',
    'http://127.0.0.1:2380',
  ];
  startProcess('etcd', 'etcd', ['--data-dir', join(state, 'etcd'), '--unsafe-no-fsync', ...urls]);
  const file = (name: string): string => join(pki, name);
  startProcess('apiserver', 'kube-apiserver', [
    `--etcd-servers=${etcdUrl}`,
    `--advertise-address=${nodeIp}`,
    '--secure-port=6443',
    '--allow-privileged',
    `--tls-cert-file=${file('apiserver.crt')}`,
    `--tls-private-key-file=${file('apiserver.key')}`,
    `--client-ca-file=${file('ca.crt')}`,
    `--kubelet-client-certificate=${file('admin.crt')}`,
    `--kubelet-client-key=${file('admin.key')}`,
    `--kubelet-certificate-authority=${file('ca.crt')}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--service-account-key-file=${file('sa.pub')}`,
    `--service-account-signing-key-file=${file('sa.key')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-cluster-ip-range=${serviceCidr}`,
    '--authorization-mode=Node,RBAC',
  ]);
  await waitFor('the API server', () => tryRun('kubectl', ['get', '--raw', '/readyz']).code === 0, 60_000);
  startProcess('controllers', 'kube-controller-manager', [
    `--kubeconfig=${kubeconfig}`,
    `--service-account-private-key-file=${file('sa.key')}`,
    `--root-ca-file=${file('ca.crt')}`,
    '--use-service-account-credentials',
    '--leader-elect=false',
  ]);
  startProcess('scheduler', 'kube-scheduler', [`--kubeconfig=${kubeconfig}`, '--leader-elect=false']);
}
