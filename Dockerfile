# The sidecar image: agent, proxy and init step.
#
# BASE is what it runs on (Debian or a relative); the packages below are installed where the base lacks them.
# BUILD_BASE compiles it and needs Node and npm. Neither has to come from a registry: `npm run mesh -- image` makes both.
ARG BASE=docker.io/library/debian:bookworm-slim
ARG BUILD_BASE=docker.io/library/node:26-bookworm

FROM ${BUILD_BASE} AS build
WORKDIR /build
COPY . .
# Bundled into dist/ is everything but the native module and the Node binary, which the lock file pins like the rest.
RUN npm ci --no-audit --no-fund \
 && program=/out/usr/local/lib/node-sidecar \
 && mkdir -p "$program/node_modules/node/bin" /out/usr/local/bin \
 && cp -r bin dist package.json LICENSE "$program/" \
 && find "$program/dist" -name '*.map' -delete \
 && cp node_modules/node/bin/node "$program/node_modules/node/bin/" \
 && cp node_modules/node/package.json "$program/node_modules/node/" \
 && cp -r node_modules/koffi "$program/node_modules/" \
 && if [ -d node_modules/@koromix ]; then cp -r node_modules/@koromix "$program/node_modules/"; fi \
 && ln -s ../lib/node-sidecar/bin/pilot-agent /out/usr/local/bin/pilot-agent \
 && ln -s ../lib/node-sidecar/bin/sidecar-proxy /out/usr/local/bin/sidecar-proxy \
 && ln -s ../lib/node-sidecar/bin/sidecar-proxy /out/usr/local/bin/envoy

FROM ${BASE}
RUN missing=""; \
    for pair in iptables:iptables nft:nftables ip:iproute2 update-ca-certificates:ca-certificates; do \
      command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"; \
    done; \
    for library in libstdc++6 libatomic1; do dpkg -s "$library" >/dev/null 2>&1 || missing="$missing $library"; done; \
    if [ -n "$missing" ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing && rm -rf /var/lib/apt/lists/*; fi; \
    getent group 1337 >/dev/null || groupadd -g 1337 istio-proxy; \
    getent passwd 1337 >/dev/null || useradd -u 1337 -g 1337 -d / -s /usr/sbin/nologin -M istio-proxy; \
    mkdir -p /etc/istio/proxy /etc/istio/pod /var/lib/istio/data \
      /var/run/secrets/istio /var/run/secrets/tokens /var/run/secrets/workload-spiffe-uds /var/run/secrets/workload-spiffe-credentials \
      /var/run/secrets/credential-uds; \
    chown -R 1337:1337 /etc/istio /var/lib/istio
COPY --from=build /out/ /
ENV ISTIO_META_ISTIO_PROXY_SHA=istio-proxy:node-sidecar
RUN pilot-agent istio-iptables --help >/dev/null
USER 1337
RUN pilot-agent version >/dev/null && envoy --version >/dev/null
WORKDIR /
ENTRYPOINT ["/usr/local/bin/pilot-agent"]
