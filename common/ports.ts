/** The ports of the sidecar, fixed by convention between the injection template, istiod and the tools around them. */
export const ports = {
  admin: 15000,
  outbound: 15001,
  iptablesProbe: 15002,
  agentDebug: 15004,
  inbound: 15006,
  hbone: 15008,
  agentStatus: 15020,
  health: 15021,
  dns: 15053,
  prometheus: 15090,
} as const;
