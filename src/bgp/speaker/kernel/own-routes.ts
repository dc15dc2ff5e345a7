// Our routes as the kernel has them, by destination, with what is asked of all of them kept counted: how many there are,
// and whether one leaves by a link.
import type { Prefix } from '../../../lib/ip/mod.ts';
import type { Route } from '../../../kernel/mod.ts';

const none: readonly Route[] = [];

export class OwnRoutes {
  readonly #routes = new Map<Prefix, readonly Route[]>();
  readonly #byLink = new Map<number, number>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** One per metric. */
  to(dst: Prefix): readonly Route[] {
    return this.#routes.get(dst) ?? none;
  }

  has(dst: Prefix): boolean {
    return this.#routes.has(dst);
  }

  destinations(): IterableIterator<Prefix> {
    return this.#routes.keys();
  }

  usesLink(linkIndex: number): boolean {
    return (this.#byLink.get(linkIndex) ?? 0) > 0;
  }

  add(route: Route): void {
    const others = this.to(route.dst).filter((r) => r.priority !== route.priority);
    this.#set(route.dst, [...others, route]);
  }

  remove(dst: Prefix, priority: number): void {
    const left = this.to(dst).filter((r) => r.priority !== priority);
    if (left.length < this.to(dst).length) this.#set(dst, left);
  }

  #set(dst: Prefix, routes: readonly Route[]): void {
    for (const route of this.to(dst)) this.#account(route, -1);
    for (const route of routes) this.#account(route, 1);
    if (routes.length > 0) this.#routes.set(dst, routes);
    else this.#routes.delete(dst);
  }

  #account(route: Route, sign: 1 | -1): void {
    this.#count += sign;
    for (const { linkIndex } of route.nextHops) {
      if (linkIndex === undefined) continue;
      this.#byLink.set(linkIndex, (this.#byLink.get(linkIndex) ?? 0) + sign);
    }
  }
}
