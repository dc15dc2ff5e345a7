// A BGP peer that only observes and announces what it is told: it keeps what it hears as plain data. Works over TCP and over
// the network in memory, so that different engines can be put the same questions.
import {
  familyOf,
  prefix as toPrefix,
  type Address,
  type Family,
  type Prefix,
} from '../../../src/lib/ip/mod.ts';
import {
  announcedParts,
  attributeBytes,
  decodeAttributes,
  decodeNotification,
  decodeOpen,
  decodeRouteRefresh,
  encodeAttributes,
  encodeEndOfRib,
  encodeKeepalive,
  encodeOpen,
  encodeRouteRefresh,
  encodeUpdates,
  forEachAnnounced,
  forEachWithdrawn,
  frameLength,
  messageTypeAt,
  parseUpdate,
  partFamily,
  prefixFromWords,
  type Attributes,
  type DecodeContext,
  type Nlri,
} from '../../../src/bgp/packet/mod.ts';
import type { Transport, Wire } from '../../../src/bgp/speaker/mod.ts';

export type ProbeOptions = {
  readonly name: string;
  readonly transport: Transport;
  readonly address: Address;
  readonly remote: Address;
  readonly port: number;
  readonly as: number;
  readonly remoteAs: number;
  readonly routerId: number;
  /** Both ways; the other side has to want it too. */
  readonly addPath: boolean;
  /** Only announces: what it is told is not looked at. */
  readonly deaf?: boolean;
  /** Offers graceful restart with this time: the other side waits for its `endOfRib`. */
  readonly restartTimeS?: number;
};

/** What is heard of a prefix: one entry per path. */
export type Heard = ReadonlyMap<string, readonly Attributes[]>;

type Path = { readonly prefix: Prefix; readonly attributes: Attributes };

const unicast = (family: Family) => ({ afi: family === 4 ? 1 : 2, safi: 1 });

export class ProbePeer {
  readonly options: ProbeOptions;
  readonly family: Family;
  state: 'down' | 'dialling' | 'opening' | 'up' = 'down';
  lastProblem = '';
  #wire: Wire | undefined;
  #carry = new Uint8Array(0);
  #paths = new Map<string, Path>();
  #refreshed: Map<string, Path> | undefined;
  refreshes = 0;
  updates = 0;
  #addPath = false;
  #told = new Map<string, string>();

  constructor(options: ProbeOptions) {
    this.options = options;
    this.family = familyOf(options.address);
  }

  dial(): void {
    if (this.state !== 'down') return;
    this.state = 'dialling';
    const { transport, remote, port, address } = this.options;
    transport.dial(
      { remote, port, source: address },
      (wire) => this.#connected(wire),
      (reason) => this.#down(reason.kind),
    );
  }

  close(): void {
    this.#wire?.close();
    this.#down('closed here');
  }

  /** Makes what is announced equal to this; the next hop must be in the attributes. */
  announce(routes: readonly { readonly prefix: string; readonly attributes: Attributes }[]): void {
    const next = new Map<string, string>();
    const { family } = this;
    for (const { prefix, attributes } of routes) {
      const text = JSON.stringify(attributes);
      next.set(prefix, text);
      if (this.#told.get(prefix) === text) continue;
      const bytes = encodeAttributes(attributes, {
        as4: true,
        nextHop: family === 4 ? 'attribute' : 'mp-reach',
      });
      this.#send(
        encodeUpdates(
          { family, attributes: bytes, announced: [this.#nlri(prefix)] },
          { addPath: this.#addPath, limit: 4096 },
        ),
      );
    }
    const withdrawn = [...this.#told.keys()].filter((p) => !next.has(p)).map((p) => this.#nlri(p));
    this.#told = next;
    this.#send(encodeUpdates({ family, withdrawn }, { addPath: this.#addPath, limit: 4096 }));
  }

  /** Many prefixes with the same attributes, beside what `announce` says. */
  announceMany(prefixes: readonly string[], attributes: Attributes): void {
    const { family } = this;
    const bytes = encodeAttributes(attributes, {
      as4: true,
      nextHop: family === 4 ? 'attribute' : 'mp-reach',
    });
    this.#send(
      encodeUpdates(
        { family, attributes: bytes, announced: prefixes.map((p) => this.#nlri(p)) },
        { addPath: this.#addPath, limit: 4096 },
      ),
    );
  }

  withdrawMany(prefixes: readonly string[]): void {
    const { family } = this;
    this.#send(
      encodeUpdates(
        { family, withdrawn: prefixes.map((p) => this.#nlri(p)) },
        { addPath: this.#addPath, limit: 4096 },
      ),
    );
  }

  /** Everything has been said. */
  endOfRib(): void {
    this.#send([encodeEndOfRib(this.family)]);
  }

  keepalive(): void {
    if (this.state === 'up') this.#send([encodeKeepalive()]);
  }

  /** Asks for everything; `refreshes` rises and `heard` is whole when the other side has said all (RFC 7313). */
  refresh(): void {
    this.#send([encodeRouteRefresh({ ...unicast(this.family), subtype: 'request' })]);
  }

  heard(): Heard {
    const byPrefix = new Map<string, Attributes[]>();
    for (const { prefix, attributes } of this.#paths.values()) {
      const list = byPrefix.get(prefix);
      if (list === undefined) byPrefix.set(prefix, [attributes]);
      else list.push(attributes);
    }
    return byPrefix;
  }

  #nlri = (text: string): Nlri => ({ prefix: toPrefix(text), pathId: 1 });

  #send(chunks: readonly Uint8Array[]): void {
    if (chunks.length > 0) this.#wire?.write(chunks);
  }

  #down(why: string): void {
    this.state = 'down';
    this.lastProblem = why;
    this.#wire = undefined;
    this.#carry = new Uint8Array(0);
    this.#paths.clear();
    this.#refreshed = undefined;
    this.#told.clear();
  }

  #connected(wire: Wire): void {
    this.#wire = wire;
    this.state = 'opening';
    const { as, routerId, addPath, restartTimeS } = this.options;
    const { family } = this;
    wire.open({
      data: (bytes) => this.#data(bytes),
      closed: (detail) => this.#down(detail ?? 'closed by the peer'),
      drained: () => undefined,
    });
    this.#send([
      encodeOpen({
        version: 4,
        asn: Math.min(as, 65535),
        holdTimeS: 90,
        routerId,
        capabilities: [
          { type: 'multiprotocol', ...unicast(family) },
          { type: 'route-refresh' },
          { type: 'enhanced-route-refresh' },
          { type: 'four-octet-as', asn: as },
          ...(addPath
            ? [{ type: 'add-path' as const, families: [{ ...unicast(family), mode: 'both' as const }] }]
            : []),
          ...(restartTimeS === undefined
            ? []
            : [
                {
                  type: 'graceful-restart' as const,
                  restarting: false,
                  notification: false,
                  restartTimeS,
                  families: [{ ...unicast(family), forwardingPreserved: true }],
                },
              ]),
        ],
      }),
    ]);
  }

  #data(chunk: Uint8Array): void {
    const bytes = new Uint8Array(this.#carry.length + chunk.length);
    bytes.set(this.#carry);
    bytes.set(chunk, this.#carry.length);
    let at = 0;
    for (;;) {
      const length = frameLength(bytes, at, bytes.length, 65535);
      if (length < 0) return this.#down(`bad header ${length}`);
      if (length === 0 || at + length > bytes.length) break;
      this.#message(bytes, at, at + length);
      at += length;
      if (this.#wire === undefined) return;
    }
    this.#carry = bytes.slice(at);
  }

  #message(bytes: Uint8Array, start: number, end: number): void {
    const type = messageTypeAt(bytes, start);
    if (type === 1) {
      const open = decodeOpen(bytes, start, end);
      if (!open.ok) return this.#down('bad OPEN');
      this.#addPath = this.options.addPath && open.value.capabilities.some((c) => c.type === 'add-path');
      this.#send([encodeKeepalive()]);
    } else if (type === 4) this.state = 'up';
    else if (type === 3) {
      const note = decodeNotification(bytes, start, end);
      this.#wire?.close();
      this.#down(`NOTIFICATION ${note.code}/${note.subcode}`);
    } else if (type === 5) this.#refreshMarker(bytes, start);
    else if (type === 2 && this.options.deaf !== true) this.#update(bytes, start, end);
  }

  #refreshMarker(bytes: Uint8Array, start: number): void {
    const { subtype } = decodeRouteRefresh(bytes, start);
    if (subtype === 'request') this.#sayAgain();
    if (subtype === 'begin') this.#refreshed = new Map();
    if (subtype === 'end' && this.#refreshed !== undefined) {
      this.#paths = this.#refreshed;
      this.#refreshed = undefined;
      this.refreshes++;
    }
  }

  /** After a change of its import policy the other side asks for everything. */
  #sayAgain(): void {
    const routes = [...this.#told].map(([prefix, text]) => ({
      prefix,
      attributes: JSON.parse(text) as Attributes,
    }));
    const marker = (subtype: 'begin' | 'end') => encodeRouteRefresh({ ...unicast(this.family), subtype });
    this.#send([marker('begin')]);
    this.#told.clear();
    this.announce(routes);
    this.#send([marker('end')]);
  }

  #update(bytes: Uint8Array, start: number, end: number): void {
    this.updates++;
    const addPath = this.#addPath;
    const { as, remoteAs } = this.options;
    const context: DecodeContext = {
      as4: true,
      ebgp: as !== remoteAs,
      ipv4: this.family === 4,
      ipv6: this.family === 6,
      addPath4: addPath && this.family === 4,
      addPath6: addPath && this.family === 6,
    };
    const view = parseUpdate(bytes, start, end, context);
    if (view.verdict === 'reset') return this.#down('bad UPDATE');
    const tables = this.#refreshed === undefined ? [this.#paths] : [this.#paths, this.#refreshed];
    forEachWithdrawn(view, (family, w0, w1, w2, w3, length, id) => {
      for (const table of tables) table.delete(`${prefixFromWords(family, w0, w1, w2, w3, length)} ${id}`);
    });
    for (const part of announcedParts(view)) {
      const attributes = decodeAttributes(attributeBytes(view, part).slice());
      if (partFamily(view, part) !== this.family) continue;
      forEachAnnounced(view, part, (family, w0, w1, w2, w3, length, id) => {
        const prefix = prefixFromWords(family, w0, w1, w2, w3, length);
        for (const table of tables) table.set(`${prefix} ${id}`, { prefix, attributes });
      });
    }
  }
}
