/** `istio.stats` on TCP; the message is that of the HTTP filter. */
import { defineNetworkFilter } from '../../../../config/compile/extension.ts';
import { compileIstioStats, istioStatsFields } from '../../http/istio-stats/config.ts';

export const istioStatsNetworkFilter = defineNetworkFilter({
  kind: 'istio.stats',
  message: 'stats.PluginConfig',
  compile: compileIstioStats,
  fields: istioStatsFields,
});
