/**
 * What COMPLIANCE_POLICY allows in the agent's own TLS; that of the proxy is istiod's to say.
 *
 * Source: EnforceGoCompliance in istio.io/istio pkg/model.
 */
import type { SecureContextOptions } from 'node:tls';
import { AgentLogger } from '../log.ts';

const log = new AgentLogger('default');

/** Of TLS 1.2, in OpenSSL's names. */
const fipsCiphers = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
] as const;
const tls13Ciphers = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'] as const;

/** An unknown policy restricts nothing and is warned about, as in Istio. */
export function restrictTls(policy: string): SecureContextOptions {
  switch (policy) {
    case '':
      return {};
    case 'fips-140-2':
      return { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: fipsCiphers.join(':'), ecdhCurve: 'P-256' };
    case 'fips-140-3':
      return { minVersion: 'TLSv1.2', ciphers: [...tls13Ciphers, ...fipsCiphers].join(':'), ecdhCurve: 'P-256:P-384' };
    case 'pqc':
      return { minVersion: 'TLSv1.3', ciphers: tls13Ciphers.join(':'), ecdhCurve: 'X25519MLKEM768' };
    default:
      log.warn(`unknown compliance policy: "${policy}"`);
      return {};
  }
}
