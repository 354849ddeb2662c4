/**
 * Tickets that every worker can open, and that are renewed whenever they are used. A TLS 1.3 client uses a ticket once, and
 * Node sends none with a resumed session, so that every second connection of an Envoy would be a full handshake: its ticket
 * callback lets us ask for the renewal. It is private; without it the tickets are Node's own.
 */
import { randomBytes } from 'node:crypto';
import type { SecureContext } from 'node:tls';

const partBytes = 16;
/** OpenSSL's answers: the key is unknown; it is good (for encryption); it is good, and a new ticket shall follow. */
const unknownKey = 0;
const good = 1;
const goodAndRenew = 2;

type TicketAnswer = (number | Buffer)[];

interface NativeContext {
  readonly constructor: {
    readonly kTicketKeyReturnIndex?: number;
    readonly kTicketKeyHMACIndex?: number;
    readonly kTicketKeyAESIndex?: number;
    readonly kTicketKeyNameIndex?: number;
    readonly kTicketKeyIVIndex?: number;
  };
  enableTicketKeyCallback?(): void;
  onticketkeycallback?: (name: Buffer, iv: Buffer, encrypts: boolean) => TicketAnswer;
}

/** `keys` are 48 bytes as Node's option `ticketKeys` takes them: name, MAC key, cipher key. False if this Node cannot. */
export function renewUsedTickets(context: SecureContext, keys: Buffer): boolean {
  const native = (context as unknown as { readonly context: NativeContext }).context;
  const {
    kTicketKeyReturnIndex: result,
    kTicketKeyHMACIndex: mac,
    kTicketKeyAESIndex: cipher,
    kTicketKeyNameIndex: name,
    kTicketKeyIVIndex: vector,
  } = native.constructor;
  if (native.enableTicketKeyCallback === undefined || result === undefined || mac === undefined) return false;
  if (cipher === undefined || name === undefined || vector === undefined) return false;
  const [ownName, macKey, cipherKey] = [0, 1, 2].map(part => keys.subarray(part * partBytes, (part + 1) * partBytes));
  native.onticketkeycallback = (offered, _vector, encrypts) => {
    const answer: TicketAnswer = [];
    answer[mac] = macKey;
    answer[cipher] = cipherKey;
    answer[name] = ownName;
    answer[vector] = encrypts ? randomBytes(partBytes) : Buffer.alloc(0);
    answer[result] = encrypts ? good : ownName.equals(offered) ? goodAndRenew : unknownKey;
    return answer;
  };
  native.enableTicketKeyCallback();
  return true;
}
