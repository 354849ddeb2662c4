/**
 * What the main thread has for the workers: messages to all of them leave in batches, whose texts lie in memory that the workers
 * share. A worker takes batches when it has time, so that it is only told that there is something, and not again until it looked.
 */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { shareTexts } from '../../common/shared-text.ts';
import type { MainToWorker, SharedMessage } from './messages.ts';

/** A batch's texts stay in memory until the last of them is replaced or read: large batches keep more of what nobody needs. */
const maxTextLength = 16_384;
const maxMessages = 64;

/** The worker's end. */
export interface InboxPort {
  readonly port: MessagePort;
  /** One element: 0 once the worker has seen that nothing is left, 1 from the next batch on. */
  readonly isTold: Int32Array<SharedArrayBuffer>;
}

interface Destination {
  readonly port: MessagePort;
  readonly isTold: Int32Array<SharedArrayBuffer>;
  readonly wake: () => void;
}

export class Outbox {
  readonly #destinations: Destination[] = [];
  #waiting: MainToWorker[] = [];
  #textLength = 0;

  /** Makes the way to one more worker; `wake` tells it to look. */
  connect(wake: () => void): InboxPort {
    const { port1, port2 } = new MessageChannel();
    const isTold = new Int32Array(new SharedArrayBuffer(4));
    this.#destinations.push({ port: port1, isTold, wake });
    return { port: port2, isTold };
  }

  /** To every worker, at the latest when this turn of the event loop ends. */
  broadcast(message: MainToWorker): void {
    if (this.#waiting.push(message) === 1) queueMicrotask(() => this.flush());
    this.#textLength += textOf(message)?.length ?? 0;
    if (this.#waiting.length >= maxMessages || this.#textLength >= maxTextLength) this.flush();
  }

  /** To one worker, behind everything before it. */
  post(worker: number, message: MainToWorker): void {
    this.flush();
    send(this.#destinations[worker], packTexts([message]));
  }

  flush(): void {
    if (this.#waiting.length === 0) return;
    const batch = packTexts(this.#waiting);
    this.#waiting = [];
    this.#textLength = 0;
    for (const destination of this.#destinations) send(destination, batch);
  }
}

function send({ port, isTold, wake }: Destination, batch: readonly SharedMessage[]): void {
  port.postMessage(batch);
  if (Atomics.exchange(isTold, 0, 1) === 0) wake();
}

const textFields: { readonly [T in MainToWorker['type']]?: string } = {
  cluster: 'model',
  hosts: 'hosts',
  'route-config': 'model',
  'extension-config': 'model',
  listener: 'model',
};

function textOf(message: MainToWorker): string | undefined {
  const field = textFields[message.type];
  return field === undefined ? undefined : (message as unknown as { readonly [field: string]: string | undefined })[field];
}

function packTexts(messages: readonly MainToWorker[]): SharedMessage[] {
  const texts = messages.flatMap(message => textOf(message) ?? []);
  if (texts.length === 0) return messages as SharedMessage[];
  const shared = shareTexts(texts).values();
  return messages.map(message => {
    if (textOf(message) === undefined) return message as SharedMessage;
    return { ...message, [textFields[message.type] as string]: shared.next().value } as SharedMessage;
  });
}
