/** What logs and metrics know of a stream's route. */
import type { StreamInfo } from '../telemetry/stream-info.ts';
import type { RouteMatchView, WorkerServices } from './filter.ts';
import type { HeaderMap } from './header-map.ts';

export function noteRoute(
  info: StreamInfo,
  route: RouteMatchView | null,
  headers: HeaderMap,
  clusters: WorkerServices['clusters'],
): void {
  info.route = route?.route ?? null;
  info.routeName = route?.route.name ?? '';
  info.virtualHostName = route?.virtualHostName ?? '';
  info.virtualHostMetadata = route?.virtualHost?.metadata ?? null;
  // Known even of a request that no filter lets through to the router.
  const clusterName = route?.clusterNameOf(headers) ?? '';
  info.cluster = clusterName === '' ? null : clusters.find(clusterName);
}
