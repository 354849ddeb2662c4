/** Where statistics differ from Envoy's on purpose, or because the two cannot see the same. */

export interface StatsDifference {
  readonly pattern: RegExp;
  readonly reason: string;
  /** Both must have the name; only the value may differ. */
  readonly valueOnly?: boolean;
}

export const statsDifferences: readonly StatsDifference[] = [
  { pattern: /^server\.|^filesystem\.|^runtime\./, reason: 'the process itself differs', valueOnly: true },
  { pattern: /^(http|listener)\.admin\./, reason: 'the admin API is not a listener of the data path here' },
  { pattern: /^http\.async-client\./, reason: 'no client of its own sends mirrored requests here' },
  { pattern: /^(cluster_manager\.cds|listener_manager\.lds)\./, reason: 'shown without dynamic resources, too' },
  { pattern: /\.ssl\.sigalgs\./, reason: 'Node.js does not tell which signature the peer made' },
  { pattern: /\.ssl\.ciphers\./, reason: 'OpenSSL and BoringSSL choose different ciphers of TLS 1.3' },
  { pattern: /_cx_rx_bytes_buffered$/, reason: 'nothing waits in a read buffer between two events', valueOnly: true },
  {
    pattern: /^cluster\.mirrored\.upstream_cx_tx_bytes_total$/,
    reason: 'a mirrored request has no x-forwarded-for entry of this proxy',
    valueOnly: true,
  },
  {
    pattern: /_cx_(tx|rx)_bytes_total$/,
    reason: 'x-envoy-upstream-service-time has as many digits as the time needs',
    valueOnly: true,
  },
];
