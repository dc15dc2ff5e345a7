// What a node remembers of WireGuard on its disk, beyond its restart: its private keys, so that others need not learn new ones,
// and for a node whose own traffic is encrypted all that it takes to be reached before it can ask the datastore. Others send
// what is encrypted for the key that they know; who has lost device and key could not read a single answer, the API server's
// included.
//
//   agent starts ─► device gone? ─► as remembered ─► datastore reached ─► rows of the calculation, which say what is true now
//                                        └─ not reached ─► nodes' addresses in clear text ─► as remembered ─► …
//
// The ways take turns, as what is remembered may be old: others may have stopped to encrypt.
import type { Clock, Timer } from '../../../lib/clock.ts';
import { hostPrefix, type Address, type Family } from '../../../lib/ip/mod.ts';
import type { Logger } from '../../../lib/log.ts';
import { ok, type Result } from '../../../lib/result.ts';
import type { Kernel, Outcome, PolicyRule, WireGuardKey } from '../../../kernel/mod.ts';
import { LinkMirror } from '../links.ts';
import { type KernelRouteRow, resolveRoute } from '../routes.ts';
import type { SysctlRow } from '../sysctls.ts';
import type { WireGuardRow } from './types.ts';

/** One text, that nobody but root may read. */
export type TunnelMemory = {
  read(): string | undefined;
  /** undefined: there is nothing to remember. */
  write(text: string | undefined): void;
};

type DeviceRow = Extract<WireGuardRow, { readonly type: 'device' }>;
type PeerRow = Extract<WireGuardRow, { readonly type: 'peer' }>;
export type RememberedTunnels = {
  readonly version: 1;
  readonly encryptsHosts: boolean;
  readonly devices: readonly (DeviceRow & { readonly privateKey: WireGuardKey })[];
  readonly peers: readonly PeerRow[];
  readonly rules: readonly PolicyRule[];
  readonly routes: readonly KernelRouteRow[];
  readonly settings: readonly SysctlRow[];
};

/** undefined: nothing, or nothing that can be read. */
export function parseRemembered(text: string | undefined): RememberedTunnels | undefined {
  if (text === undefined) return undefined;
  try {
    const found = JSON.parse(text) as Partial<RememberedTunnels> | null;
    const lists = [found?.devices, found?.peers, found?.rules, found?.routes, found?.settings];
    return found?.version === 1 && lists.every(Array.isArray) ? (found as RememberedTunnels) : undefined;
  } catch {
    return undefined;
  }
}

const takeTurnsMs = 20_000;

export type TunnelBootstrapOptions = {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly remembered: RememberedTunnels;
};

/** For the time in which the datastore is not reached. */
export class TunnelBootstrap {
  readonly #options: TunnelBootstrapOptions;
  #timer: Timer | undefined;
  #isEncrypted = true;
  #isStopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: TunnelBootstrapOptions) {
    this.#options = options;
  }

  /** Devices that are there are left as they are. */
  async start(): Promise<void> {
    const { kernel, logger, remembered } = this.#options;
    if (!remembered.encryptsHosts) return;
    const restored = await restore(kernel, remembered);
    if (restored.ok) logger.info('Tunnels stand as they are remembered, until the datastore is reached');
    else logger.warn('Tunnels cannot be made as they are remembered', { error: restored.error });
    this.#takeTurns();
  }

  /** The datastore is reached: by the way that is open now. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  #takeTurns(): void {
    this.#timer = this.#options.clock.after(takeTurnsMs, () => {
      this.#running = this.#turn().then(() => {
        if (!this.#isStopped) this.#takeTurns();
      });
    });
  }

  async #turn(): Promise<void> {
    const { kernel, logger, remembered } = this.#options;
    this.#isEncrypted = !this.#isEncrypted;
    logger.warn('The datastore is not reached: traffic of this node to other nodes is tried the other way', {
      encrypted: this.#isEncrypted,
    });
    const nodes = new Set(remembered.peers.map(({ endpoint }) => hostPrefix(endpoint.address)));
    const own = remembered.routes.filter(({ dst }) => nodes.has(dst));
    const done = await setRoutes(kernel, own, this.#isEncrypted);
    if (!done.ok) logger.warn('The routes to other nodes cannot be changed', { error: done.error });
  }
}

async function restore(kernel: Kernel, remembered: RememberedTunnels): Promise<Result<void>> {
  for (const device of remembered.devices) {
    const made = await restoreDevice(kernel, device, remembered.peers);
    if (!made.ok) return made;
  }
  for (const { path, value } of remembered.settings) await kernel.sysctls.write(path, value);
  const routed = await setRoutes(kernel, remembered.routes, true);
  if (!routed.ok) return routed;
  const listed = await kernel.rules.list();
  if (!listed.ok) return listed;
  const missing = remembered.rules.filter(
    (rule) => !listed.value.some((one) => one.family === rule.family && one.priority === rule.priority),
  );
  return firstOf(await kernel.rules.apply(missing.map((rule) => ({ op: 'add' as const, rule }))));
}

async function restoreDevice(
  kernel: Kernel,
  device: RememberedTunnels['devices'][number],
  peers: readonly PeerRow[],
): Promise<Result<void>> {
  const { name, family, mtu, port, mark, privateKey, address } = device;
  const present = await kernel.links.get(name);
  if (!present.ok) return present;
  if (present.value !== undefined) return ok(undefined);
  const created = await kernel.wireguard.create(name, mtu);
  if (!created.ok) return created;
  const own = peers.filter((peer) => peer.device === name);
  const configured = await kernel.wireguard.configure(name, {
    privateKey,
    port,
    mark,
    peers: own.map(({ publicKey, endpoint, keepaliveSeconds, allowed }) => ({
      op: 'put' as const,
      publicKey,
      endpoint,
      keepaliveSeconds,
      allowed,
    })),
  });
  if (!configured.ok) return configured;
  const link = await kernel.links.get(name);
  if (!link.ok || link.value === undefined) return link.ok ? ok(undefined) : link;
  const { index } = link.value;
  const up = await kernel.links.change(index, { up: true });
  if (!up.ok || address === undefined) return up;
  return firstOf(await kernel.addresses.apply([{ op: 'add', address: addressOn(index, family, address) }]));
}

const addressOn = (linkIndex: number, family: Family, address: Address) => ({
  address,
  length: family === 4 ? 32 : 128,
  linkIndex,
  scope: 'global' as const,
  ...(family === 6 ? { noDad: true } : {}),
});

async function setRoutes(
  kernel: Kernel,
  rows: readonly KernelRouteRow[],
  present: boolean,
): Promise<Result<void>> {
  const listed = await kernel.links.list();
  if (!listed.ok) return listed;
  const links = new LinkMirror();
  links.load(listed.value);
  const routes = rows.flatMap((row) => resolveRoute(row, links) ?? []);
  return firstOf(
    await kernel.routes.apply(
      routes.map((route) => {
        if (present) return { op: 'replace' as const, route };
        const { dst, table, priority, protocol, type } = route;
        return { op: 'delete' as const, key: { dst, table, priority }, protocol, type };
      }),
    ),
  );
}

const firstOf = (outcomes: readonly Outcome[]): Result<void> =>
  outcomes.find((outcome) => !outcome.ok) ?? ok(undefined);
