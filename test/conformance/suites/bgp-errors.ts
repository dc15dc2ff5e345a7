// Suite `bgp-error-behaviour`: a speaker between a peer in another AS, which sends what is wrong or unusual, and an observer
// in its own AS. The answer is what the speaker does: the observer has the new routes, the old ones are gone, or the
// session ends with a NOTIFICATION.
import { FakeHost } from '../../../src/kernel/mod.ts';
import { VirtualClock } from '../../../src/lib/clock.ts';
import { address, parseInterfaceAddress, prefix, type Address } from '../../../src/lib/ip/mod.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { expect } from '../../../src/lib/result.ts';
import {
  encodeAttributes,
  encodeKeepalive,
  encodeOpen,
  encodeUpdates,
  messageTypeAt,
} from '../../../src/bgp/packet/mod.ts';
import { openFor } from '../../../src/bgp/fsm/mod.ts';
import { FakeNetwork, Speaker, type NeighbourConfig, type Wire } from '../../../src/bgp/speaker/mod.ts';
import type { Case } from '../types.ts';

type Input = { readonly kind: 'update' | 'open' | 'established'; readonly message: string };
export type Outcome = { readonly outcome: string };

const own = address('10.9.255.254');
const sender = address('10.9.0.1');
const observer = address('10.9.0.2');
/** Announced beforehand; the cases announce it again, with another prefix beside it. */
const [before, beside] = [prefix('20.0.1.0/24'), prefix('20.0.2.0/24')];
const goodUpdate = encodeUpdates(
  {
    family: 4,
    attributes: encodeAttributes(
      { origin: 0, asPath: [{ type: 'sequence', asns: [65001] }], nextHop: sender },
      { as4: true, nextHop: 'attribute' },
    ),
    announced: [{ prefix: before, pathId: 0 }],
  },
  { addPath: false, limit: 4096 },
);
/** The prefixes of most cases, as they stand at the end of the message. */
const bothPrefixes = '1814000118140002';
const acceptAll = { name: 'accept', rules: [], otherwise: 'accept' } as const;
const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));

const neighbour = (name: string, of: Address, as: number): NeighbourConfig => ({
  name,
  kind: 'static',
  address: of,
  port: 179,
  as,
  localAs: 64512,
  passive: true,
  families: [4, 6],
  holdTimeS: 90,
  gracefulRestartTimeS: 120,
  addPath: { receive: false, send: false },
  rrClient: false,
  nextHopMode: 'auto',
  allowLocalAs: 0,
  importPolicy: acceptAll,
  exportPolicy: acceptAll,
});

/** The far end of a session, by hand. */
class Peer {
  readonly heard: { readonly type: number; readonly code: string }[] = [];
  closed = false;
  #wire: Wire | undefined;

  dial(network: FakeNetwork, from: Address): void {
    network.transport(from).dial(
      { remote: own, port: 179 },
      (wire) => {
        this.#wire = wire;
        wire.open({
          data: (bytes) => this.#hear(bytes),
          closed: () => {
            this.closed = true;
          },
          drained: () => undefined,
        });
      },
      () => undefined,
    );
  }

  #hear(bytes: Uint8Array): void {
    for (let at = 0; at + 19 <= bytes.length; ) {
      this.heard.push({ type: messageTypeAt(bytes, at), code: `${bytes[at + 19]}/${bytes[at + 20]}` });
      at += (bytes[at + 16]! << 8) | bytes[at + 17]!;
    }
  }

  send(...messages: readonly Uint8Array[]): void {
    this.#wire?.write(messages);
  }

  establish(as: number, routerId: number): void {
    const options = { localAsn: as, routerId, holdTimeS: 90, passive: false, families: [4, 6] as const };
    this.send(encodeOpen(openFor({ ...options, extendedMessage: false }, false)), encodeKeepalive());
  }

  get notification(): string | undefined {
    return this.heard.find((m) => m.type === 3)?.code;
  }
}

export async function answer({ kind, message }: Input): Promise<Outcome> {
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock);
  const kernel = new FakeHost().kernel();
  const eth = expect(await kernel.links.create({ kind: 'dummy', name: 'eth0', up: true }), 'link').index;
  const at = { ...expect(parseInterfaceAddress(`${own}/16`), 'address'), linkIndex: eth };
  await kernel.addresses.apply([{ op: 'add', address: at }]);
  const speaker = new Speaker(
    {
      name: 'dut',
      as: 64512,
      routerId: own,
      listen: { port: 179, addresses: [own] },
      addresses: { 4: at },
      neighbours: [neighbour('sender', sender, 65001), neighbour('observer', observer, 64512)],
      ranges: [],
      origins: [],
      learn: { kernel: false, connected: false, excludedInterfaces: [] },
      kernel: { install: false, policies: { 4: acceptAll, 6: acceptAll }, staticRoutes: [] },
    },
    { transport: network.transport(own), clock, logger: silentLogger, kernel, random: () => 0.5 },
  );
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) {
      clock.advance(10);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  expect(await speaker.start(), 'start');
  const [from, to] = [new Peer(), new Peer()];
  try {
    from.dial(network, sender);
    to.dial(network, observer);
    await settle();
    to.establish(64512, 0x0a090002);
    if (kind === 'open') {
      from.send(bytesOf(message));
      await settle();
      if (from.notification !== undefined) return { outcome: `reset ${from.notification}` };
      return { outcome: from.heard.some((m) => m.type === 4) ? 'accepted' : 'closed' };
    }
    from.establish(65001, 0x0a090001);
    await settle();
    from.send(...goodUpdate);
    await settle();
    from.send(bytesOf(message));
    await settle();
    if (from.notification !== undefined) return { outcome: `reset ${from.notification}` };
    if (from.closed) return { outcome: 'closed' };
    if (kind === 'established') return { outcome: 'session up' };
    const told = [...speaker.announced('observer')].map((r) => r.prefix);
    if (!told.includes(before)) return { outcome: 'treat-as-withdraw' };
    const isHalf = message.endsWith(bothPrefixes) && !told.includes(beside);
    return { outcome: isHalf ? 'the other prefix is not announced' : 'accepted' };
  } finally {
    await speaker.stop('end');
    await kernel.close();
  }
}

/** The RFC's word where the case has one; where the standard leaves it open, as BIRD was seen to do it. */
export function judgeOutcome(item: Case, given: unknown): readonly string[] {
  const { kind, rfcExpectation, observed } = item.input as unknown as {
    readonly kind: string;
    readonly rfcExpectation: string;
    readonly observed: Readonly<Record<string, Outcome>>;
  };
  const { outcome } = given as Outcome;
  const wanted = expectedBy(rfcExpectation) ?? plain(observed['bird-2.0.12']?.outcome ?? '');
  const isRight = wanted === 'up' ? outcome === 'accepted' || outcome === 'session up' : outcome === wanted;
  return isRight ? [] : [`${kind}: want ${wanted}, got ${outcome}`];
}

function expectedBy(text: string): string | undefined {
  const code = /(?:^|reset |FSM error |\d{4} )(\d\/\d+)$/.exec(text)?.[1];
  if (code !== undefined) return `reset ${code}`;
  if (/treat-as-withdraw|not advertised/.test(text)) return 'treat-as-withdraw';
  if (/attribute-discard|keep first|ignore|valid|^ok$|resend/.test(text)) return 'up';
  return undefined;
}

/** `accepted (OPEN+KEEPALIVE)`, `NOTIFICATION 2/1`, in the words of the answers. */
const plain = (text: string): string =>
  text.startsWith('accepted') || text === 'session up' ? 'up' : text.replace('NOTIFICATION', 'reset');
