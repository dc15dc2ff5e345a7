// Random choices that a seed repeats.
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to 1, without 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  of<T>(...choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  /** Each with its weight. */
  weighted<T>(...choices: readonly (readonly [weight: number, value: T])[]): T {
    let left = this.next() * choices.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of choices) {
      left -= weight;
      if (left < 0) return value;
    }
    return choices[choices.length - 1]?.[1] as T;
  }

  some<T>(choices: readonly T[], least: number, most: number): readonly T[] {
    const shuffled = choices.map((value) => ({ value, at: this.next() })).sort((a, b) => a.at - b.at);
    const count = Math.min(choices.length, least + this.below(most - least + 1));
    return shuffled.slice(0, count).map(({ value }) => value);
  }

  list<T>(least: number, most: number, make: () => T): readonly T[] {
    return Array.from({ length: least + this.below(most - least + 1) }, make);
  }

  /** Fields with their probability. */
  fields(
    choices: Readonly<Record<string, readonly [probability: number, make: () => unknown]>>,
  ): Record<string, unknown> {
    const fields: Record<string, unknown> = {};
    for (const [name, [probability, make]] of Object.entries(choices))
      if (this.chance(probability)) fields[name] = make();
    return fields;
  }
}
