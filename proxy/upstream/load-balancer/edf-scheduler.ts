/**
 * Earliest deadline first: weighted picks without randomness. An entry's deadline grows by the inverse of its weight with each
 * pick; the earliest is picked, equal ones in order of insertion.
 */
interface Entry<T> {
  deadline: number;
  order: number;
  readonly item: T;
}

export class EdfScheduler<T> {
  readonly #heap: Entry<T>[] = [];
  #time = 0;
  #order = 0;

  get isEmpty(): boolean {
    return this.#heap.length === 0;
  }

  /** `weight` must be positive. */
  add(weight: number, item: T): void {
    this.#heap.push({ deadline: this.#time + 1 / weight, order: this.#order++, item });
    this.#siftUp(this.#heap.length - 1);
  }

  /** Picks one item and puts it back with its weight of now. */
  pick(weigh: (item: T) => number): T | null {
    const top = this.#heap[0];
    if (top === undefined) return null;
    this.#time = top.deadline;
    top.deadline = this.#time + 1 / weigh(top.item);
    top.order = this.#order++;
    this.#siftDown(0);
    return top.item;
  }

  #precedes(a: Entry<T>, b: Entry<T>): boolean {
    return a.deadline < b.deadline || (a.deadline === b.deadline && a.order < b.order);
  }

  #siftUp(from: number): void {
    const heap = this.#heap;
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#precedes(heap[index], heap[parent])) return;
      [heap[index], heap[parent]] = [heap[parent], heap[index]];
      index = parent;
    }
  }

  #siftDown(from: number): void {
    const heap = this.#heap;
    let index = from;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      let smallest = index;
      if (left < heap.length && this.#precedes(heap[left], heap[smallest])) smallest = left;
      if (right < heap.length && this.#precedes(heap[right], heap[smallest])) smallest = right;
      if (smallest === index) return;
      [heap[index], heap[smallest]] = [heap[smallest], heap[index]];
      index = smallest;
    }
  }
}
