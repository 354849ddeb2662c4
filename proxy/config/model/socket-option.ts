/** `envoy.config.core.v3.SocketOption` after compilation. */
export interface SocketOptionModel {
  /** Numbers of the kernel: level and option. */
  readonly level: number;
  readonly name: number;
  /** An int, or base64 of the bytes. */
  readonly value: number | string;
  /** When it is set. */
  readonly state: 'prebind' | 'bound' | 'listening';
}
