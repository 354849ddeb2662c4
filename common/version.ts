/** The Istio release whose data plane this is: reported to istiod, istioctl and in metrics. */
export const istioVersion = '1.31.1';
/** The Envoy release whose behaviour and API the proxy follows. */
export const envoyVersion = '1.40.0';
