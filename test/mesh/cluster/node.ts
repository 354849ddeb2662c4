/** The one node: bridge, containerd, kubelet, kube-proxy. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pki } from './certificates.ts';
import { run, tryRun, waitFor } from './command.ts';
import { hasImage, importPause } from './images.ts';
import { bridge, containerdSocket, dnsIp, images, kubeconfig, nodeIp, nodeName, podCidr, state } from './layout.ts';
import { startProcess } from './process.ts';

export function createBridge(): void {
  if (tryRun('ip', ['link', 'show', bridge]).code !== 0) {
    run('ip', ['link', 'add', bridge, 'type', 'bridge']);
    run('ip', ['addr', 'add', `${nodeIp}/24`, 'dev', bridge]);
    run('ip', ['link', 'set', bridge, 'up']);
  }
  run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
}

function writeCni(): void {
  mkdirSync(join(state, 'cni'), { recursive: true });
  const ipam = { type: 'host-local', ranges: [[{ subnet: podCidr }]], routes: [{ dst: '0.0.0.0/0' }] };
  writeFileSync(
    join(state, 'cni', '10-mesh.conflist'),
    JSON.stringify({
      cniVersion: '1.0.0',
      name: 'lab',
      plugins: [
        { type: 'bridge', bridge, isGateway: true, hairpinMode: true, ipam },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    }),
  );
}

export async function startContainerd(): Promise<void> {
  writeCni();
  const config = join(state, 'containerd.toml');
  // restrict_oom_score_adj: a machine without CAP_SYS_RESOURCE may not lower a container's oom score.
  writeFileSync(
    config,
    `version = 3
root = "${state}/containerd/root"
state = "${state}/containerd/state"
[grpc]
address = "${containerdSocket}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${images.pause}"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "${state}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "/usr/sbin/runc"
`,
  );
  startProcess('containerd', 'containerd', ['-c', config]);
  await waitFor('containerd', () => tryRun('ctr', ['-a', containerdSocket, 'version']).code === 0);
  if (!hasImage(images.pause)) importPause();
}

export async function startNode(): Promise<void> {
  const kubeletConfig = {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    failCgroupV1: false,
    failSwapOn: false,
    cgroupDriver: 'cgroupfs',
    enforceNodeAllocatable: [],
    containerRuntimeEndpoint: `unix://${containerdSocket}`,
    authentication: { x509: { clientCAFile: join(pki, 'ca.crt') } },
    authorization: { mode: 'AlwaysAllow' },
    tlsCertFile: join(pki, 'node.crt'),
    tlsPrivateKeyFile: join(pki, 'node.key'),
    clusterDNS: [dnsIp],
    clusterDomain: 'cluster.local',
    evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    imageGCHighThresholdPercent: 100,
    maxPods: 200,
    podLogsDir: join(state, 'pod-logs'),
  };
  writeFileSync(join(state, 'kubelet.json'), JSON.stringify(kubeletConfig));
  startProcess('kubelet', 'kubelet', [
    `--config=${join(state, 'kubelet.json')}`,
    `--kubeconfig=${join(state, 'node.kubeconfig')}`,
    `--hostname-override=${nodeName}`,
    `--node-ip=${nodeIp}`,
    `--root-dir=${join(state, 'kubelet')}`,
  ]);
  const proxyConfig = {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clusterCIDR: '10.244.0.0/16',
    hostnameOverride: nodeName,
    clientConnection: { kubeconfig },
    conntrack: { maxPerCore: 0 },
  };
  writeFileSync(join(state, 'kube-proxy.json'), JSON.stringify(proxyConfig));
  startProcess('kube-proxy', 'kube-proxy', [`--config=${join(state, 'kube-proxy.json')}`]);
}

export async function waitForNode(): Promise<void> {
  await waitFor('the node', () => tryRun('kubectl', ['get', 'node', nodeName]).code === 0);
  run('kubectl', ['wait', '--for=condition=Ready', `node/${nodeName}`, '--timeout=90s']);
}
