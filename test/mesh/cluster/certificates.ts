/** The cluster's own authority and the certificates of its components, made with openssl. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './command.ts';
import { nodeIp, nodeName, state } from './layout.ts';

export const pki = join(state, 'pki');

function issue(name: string, subject: string, subjectAltName: string): void {
  if (existsSync(join(pki, `${name}.crt`))) return;
  const openssl = (...args: string[]): void => void run('openssl', args, { cwd: pki });
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`, '-subj', subject, '-out', `${name}.csr`);
  writeFileSync(join(pki, `${name}.ext`), `subjectAltName=${subjectAltName}\nextendedKeyUsage=serverAuth,clientAuth\n`);
  const signing = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '3650', '-extfile', `${name}.ext`];
  openssl('x509', '-req', '-in', `${name}.csr`, ...signing, '-out', `${name}.crt`);
}

function writeKubeconfig(user: 'admin' | 'node'): void {
  writeFileSync(
    join(state, `${user}.kubeconfig`),
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'mesh', cluster: { server: `https://${nodeIp}:6443`, 'certificate-authority': join(pki, 'ca.crt') } }],
      users: [{ name: user, user: { 'client-certificate': join(pki, `${user}.crt`), 'client-key': join(pki, `${user}.key`) } }],
      contexts: [{ name: 'mesh', context: { cluster: 'mesh', user } }],
      'current-context': 'mesh',
    }),
  );
}

/** Makes what is not there yet. */
export function makeCertificates(): void {
  mkdirSync(pki, { recursive: true });
  if (!existsSync(join(pki, 'ca.key'))) {
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'ca.key', '-subj', '/CN=mesh-ca'];
    run('openssl', [...request, '-days', '3650', '-out', 'ca.crt'], { cwd: pki });
  }
  const names = 'DNS:kubernetes.default.svc,DNS:localhost';
  issue('apiserver', '/CN=kube-apiserver', `IP:127.0.0.1,IP:${nodeIp},IP:10.96.0.1,${names}`);
  issue('admin', '/O=system:masters/CN=admin', 'DNS:admin');
  issue('node', `/O=system:nodes/CN=system:node:${nodeName}`, `DNS:${nodeName},IP:${nodeIp}`);
  if (!existsSync(join(pki, 'sa.key'))) {
    run('openssl', ['genrsa', '-out', 'sa.key', '2048'], { cwd: pki });
    run('openssl', ['rsa', '-in', 'sa.key', '-pubout', '-out', 'sa.pub'], { cwd: pki });
  }
  writeKubeconfig('admin');
  writeKubeconfig('node');
}
