/**
 * Headers that a message holds once: Envoy keeps a slot for each and joins the values of repeated ones with ',' as they arrive,
 * so that routing, filters and the peer see one value. Which they are is the union of Envoy's built-in list and of what its
 * extensions register. Others stay as they are repeated.
 *
 * Source: Envoy's `INLINE_REQ_HEADERS`, `INLINE_RESP_HEADERS` and `RegisterCustomInlineHeader`.
 */

const both =
  'cache-control connection content-encoding content-type keep-alive proxy-connection proxy-status transfer-encoding upgrade via ' +
  'x-envoy-attempt-count x-envoy-decorator-operation x-request-id';

export const inlineRequestHeaders: ReadonlySet<string> = new Set(
  (
    `${both} accept accept-encoding access-control-request-headers access-control-request-method ` +
    'access-control-request-private-network authorization cdn-loop expect grpc-accept-encoding grpc-timeout if-match ' +
    'if-modified-since if-none-match if-range if-unmodified-since origin pragma referer te user-agent x-client-trace-id ' +
    'x-envoy-downstream-service-cluster x-envoy-downstream-service-node x-envoy-expected-rq-timeout-ms x-envoy-external-address ' +
    'x-envoy-force-trace x-envoy-hedge-on-per-try-timeout x-envoy-ip-tags x-envoy-is-timeout-retry x-envoy-max-retries ' +
    'x-envoy-original-host x-envoy-original-path x-envoy-retriable-header-names x-envoy-retriable-status-codes ' +
    'x-envoy-retry-grpc-on x-envoy-retry-on x-envoy-upstream-alt-stat-name x-envoy-upstream-rq-per-try-timeout-ms ' +
    'x-envoy-upstream-rq-timeout-alt-response x-envoy-upstream-rq-timeout-ms x-envoy-upstream-stream-duration-ms ' +
    'x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto'
  ).split(' '),
);

export const inlineResponseHeaders: ReadonlySet<string> = new Set(
  (
    `${both} access-control-allow-credentials access-control-allow-headers access-control-allow-methods ` +
    'access-control-allow-origin access-control-allow-private-network access-control-expose-headers access-control-max-age age ' +
    'date etag expires grpc-message grpc-status last-modified location server vary x-envoy-degraded ' +
    'x-envoy-immediate-health-check-fail x-envoy-ratelimited x-envoy-upstream-canary x-envoy-upstream-healthchecked-cluster ' +
    'x-envoy-upstream-service-time'
  ).split(' '),
);
