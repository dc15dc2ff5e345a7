// A list that grows at the end and is cut at the front, addressed by positions that never change.

export class Deque<T> {
  #items: T[] = [];
  #head = 0;
  #first = 0;

  /** Position of the oldest item kept. */
  get first(): number {
    return this.#first;
  }

  /** Position after the newest item. */
  get end(): number {
    return this.#first + this.#items.length - this.#head;
  }

  at(position: number): T | undefined {
    return position < this.#first ? undefined : this.#items[this.#head + position - this.#first];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.#head >= this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined as T;
    this.#head++;
    this.#first++;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
