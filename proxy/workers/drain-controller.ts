/** Whether this worker's connections are to be wound down. */
import type { DrainState } from '../http/filter.ts';

export class DrainController implements DrainState {
  #all = false;
  #inbound = false;

  /** Begins a drain; it does not end. */
  begin(inboundOnly: boolean): void {
    if (inboundOnly) this.#inbound = true;
    else this.#all = true;
  }

  isDraining(direction: 'unspecified' | 'inbound' | 'outbound'): boolean {
    return this.#all || (this.#inbound && direction === 'inbound');
  }
}
