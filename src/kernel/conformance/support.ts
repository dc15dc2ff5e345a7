// What the parts of the conformance suite share: their machine, and short ways to say things.
import assert from 'node:assert/strict';
import { address, parseInterfaceAddress, prefix } from '../../lib/ip/mod.ts';
import { expect, type Result } from '../../lib/result.ts';
import type {
  Kernel,
  KernelError,
  Link,
  LinkAddress,
  NextHop,
  Outcome,
  Route,
  RouteChange,
} from '../types.ts';

export interface ConformanceMachine {
  createNamedNamespace(name: string): Promise<Result<string, KernelError>>;
  deleteNamedNamespace(name: string): Promise<Outcome>;
  openKernel(options: { netns: string }): Promise<Result<Kernel, KernelError>>;
}

export type ConformanceHost = {
  readonly a: Kernel;
  readonly b: Kernel;
  readonly pathOfA: string;
  readonly pathOfB: string;
};

export type Host = () => ConformanceHost;

export const value = <T>(result: Result<T, KernelError>): T => expect(result, 'kernel');
export const codes = (outcomes: readonly Outcome[]): string[] =>
  outcomes.map((o) => (o.ok ? 'ok' : o.error.code));

export async function veth({ a, pathOfB }: ConformanceHost, up = true): Promise<Link> {
  return value(
    await a.links.create({ kind: 'veth', name: 'cali1', up, peer: { name: 'eth0', netns: pathOfB } }),
  );
}

/** A veth whose both ends are up, with an address on the one in `a`. */
export async function wired(host: ConformanceHost, text = '10.0.0.1/24'): Promise<Link> {
  const link = await veth(host);
  const peer = value(await host.b.links.get('eth0')) as Link;
  assert.ok((await host.b.links.change(peer.index, { up: true })).ok);
  assert.deepEqual(codes(await host.a.addresses.apply([{ op: 'add', address: on(link, text) }])), ['ok']);
  return link;
}

export function on(link: Link, text: string, extra: Partial<LinkAddress> = {}): LinkAddress {
  const parsed = parseInterfaceAddress(text);
  assert.ok(parsed.ok);
  return { ...parsed.value, linkIndex: link.index, ...extra };
}

export const route = (dst: string, nextHops: readonly NextHop[], extra: Partial<Route> = {}): Route => ({
  dst: prefix(dst),
  type: 'unicast',
  table: 254,
  protocol: 80,
  scope: 'global',
  priority: 0,
  nextHops,
  ...extra,
});
export const add = (r: Route): RouteChange => ({ op: 'add', route: r });
export const via = (gateway: string, extra: Partial<NextHop> = {}): NextHop => ({
  gateway: address(gateway),
  ...extra,
});
export const gone = (dst: string, extra: Partial<Route> = {}): RouteChange => ({
  op: 'delete',
  key: { dst: prefix(dst), table: 254, priority: 0, ...extra },
});

/** Routes of everyone but the kernel itself. */
export async function added(kernel: Kernel): Promise<Route[]> {
  return value(await kernel.routes.list()).filter((r) => r.protocol !== 2 && r.protocol !== 3);
}
export const destinations = async (kernel: Kernel): Promise<string[]> =>
  (await added(kernel)).map((r) => r.dst).sort();
