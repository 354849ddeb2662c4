/** Listener filters: they see a connection before its filter chain is known, and look at its first bytes. */
import type { ListenerFilterPredicate } from '../config/model/listener.ts';
import type { ConnectionRecord } from '../network/connection-record.ts';

/** `close` and `refuse` end the connection; only the first counts as an error of the listener. */
export const ListenerFilterStatus = { continue: 0, needData: 1, close: 2, refuse: 3 } as const;
export type ListenerFilterStatus = (typeof ListenerFilterStatus)[keyof typeof ListenerFilterStatus];

/** One filter on one connection. `needData` from either hook asks for `onData` with everything received so far. */
export interface ListenerFilter {
  onAccept(socket: ListenerSocket): ListenerFilterStatus;
  onData?(bytes: Buffer): ListenerFilterStatus;
}

/** What a filter may see and change. */
export interface ListenerSocket {
  readonly info: ConnectionRecord;
  /** The descriptor, for socket options. */
  readonly fd: number;
  /** The listener accepts for foreign addresses: its local address is the destination. */
  readonly transparent: boolean;
  /** Takes this many of the bytes received: nobody else sees them. */
  consume(bytes: number): void;
}

/** Made once per listener; makes one filter per connection. */
export type ListenerFilterFactory = () => ListenerFilter;

/** A predicate over the destination port, compiled. */
export function compilePredicate(predicate: ListenerFilterPredicate | null): (port: number) => boolean {
  if (predicate === null) return () => false;
  switch (predicate.kind) {
    case 'any':
      return () => true;
    case 'destination-port-range':
      return port => port >= predicate.start && port < predicate.end;
    case 'not': {
      const rule = compilePredicate(predicate.rule);
      return port => !rule(port);
    }
    case 'and': {
      const rules = predicate.rules.map(compilePredicate);
      return port => rules.every(rule => rule(port));
    }
    case 'or': {
      const rules = predicate.rules.map(compilePredicate);
      return port => rules.some(rule => rule(port));
    }
  }
}
