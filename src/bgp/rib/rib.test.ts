// The table against the slow model over random histories: best paths with their reasons, what forwarding was told, and what
// every peer has heard, read back from the messages themselves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { address, prefixFamily, type Family, type Prefix } from '../../lib/ip/mod.ts';
import {
  announcedParts,
  attributeBytes,
  decodeAttributes,
  encodeAttributes,
  encodeNlri,
  forEachAnnounced,
  forEachWithdrawn,
  parseUpdate,
  prefixFromWords,
  type Attributes,
} from '../packet/mod.ts';
import { createRib, type LocalRoute, type PeerId, type Rib, type RibPeerConfig } from './mod.ts';
import { localAttributes, RibModel } from './model.ts';
import { attributesFor, configOf, hops, kinds, op, prefixes, routerId, type Op } from './scenario.test.ts';

type Heard = Map<string, Attributes>;

class Pair {
  readonly rib: Rib;
  readonly model = new RibModel(routerId);
  readonly ids: PeerId[] = [];
  readonly heard = new Map<PeerId, Heard>();
  readonly endOfRib = new Map<PeerId, Set<Family>>();
  readonly forwarding = new Map<Prefix, string>();
  readonly paused = new Set<number>();
  pauseNext = new Set<number>();
  #time = 0;

  constructor() {
    for (const hop of [...hops[4], ...hops[6]]) this.model.hops.set(hop, { reachable: true, metric: 0 });
    this.rib = createRib({
      routerId,
      batchSize: 2,
      sweepAfter: 0,
      now: () => this.#time++,
      resolveNextHop: (a) => this.model.hops.get(a) ?? { reachable: true },
    });
    for (let i = 0; i < kinds.length; i++) this.add(i);
  }

  add(index: number): void {
    const config = configOf(index, 0, 0);
    const id = this.rib.addPeer(config);
    this.ids[index] = id;
    this.model.peers.set(id, { config, up: false });
  }

  apply(step: Op): void {
    if (step.op === 'flush') this.flush(step.full ? 1000 : step.slices);
    else if (step.op === 'hop') {
      const hop = hops[step.family][step.hop % hops[step.family].length] ?? routerId;
      const state = {
        reachable: step.reachable,
        metric: step.metric,
        interfaceName: step.eth1 ? 'eth1' : 'eth0',
      };
      this.model.hops.set(hop, state);
      this.rib.setNextHops([{ address: hop, state }]);
    } else this.applyToPeer(step, step.peer);
  }

  applyToPeer(step: Exclude<Op, { op: 'flush' | 'hop' }>, index: number): void {
    const id = this.ids[index] ?? -1;
    const peer = this.model.peers.get(id);
    if (peer === undefined) return;
    const isLocal = peer.config.source !== 'bgp';
    switch (step.op) {
      case 'update':
        if (isLocal) this.announceLocal(id, step);
        else if (peer.up) this.announce(id, peer.config, step);
        break;
      case 'withdraw':
        for (const at of step.at)
          this.withdraw(id, peer.config, prefixes[at] ?? prefixes[0]!, step.pathId, isLocal);
        break;
      case 'up':
        if (isLocal) break;
        peer.config = configOf(index, step.importPolicy, step.exportPolicy);
        for (const route of this.model.routes.values()) if (route.peer === id && peer.up) route.stale = true;
        peer.up = true;
        this.paused.delete(index);
        this.heard.set(id, new Map());
        this.endOfRib.set(id, new Set());
        this.rib.peerUp(id, peer.config);
        break;
      case 'change':
        if (isLocal) break;
        peer.config = configOf(index, step.importPolicy, step.exportPolicy, step.client);
        this.rib.changePeer(id, peer.config);
        break;
      case 'down':
      case 'replace':
        if (isLocal) break;
        peer.up = false;
        this.paused.delete(index);
        this.heard.delete(id);
        if (step.op === 'down' && step.stale)
          for (const r of this.model.routes.values()) r.stale ||= r.peer === id;
        else this.model.forget((r) => r.peer === id);
        if (step.op === 'down') this.rib.peerDown(id, { stale: step.stale ? [4, 6] : [] });
        else {
          this.rib.removePeer(id);
          this.model.peers.delete(id);
          this.add(index);
        }
        break;
      case 'sweep':
        for (const family of [4, 6] as const) this.rib.sweepStale(id, family);
        this.model.forget((r) => r.peer === id && r.stale);
        break;
      case 'pause':
        if (peer.up) this.pauseNext.add(index);
        break;
      case 'resume':
        this.resume(index);
        break;
      case 'refresh':
        if (peer.up) for (const family of [4, 6] as const) this.rib.refresh(id, family);
        break;
      default:
        step satisfies never;
    }
  }

  announceLocal(id: PeerId, step: Op & { op: 'update' }): void {
    for (const at of step.at) {
      const route: LocalRoute = {
        prefix: prefixes[at] ?? prefixes[0]!,
        metric: step.attributes.med === 5 ? 512 : 1024,
        interfaceName: `cali${step.attributes.origin}`,
        ...(step.attributes.hop === 2 ? { gateway: at < 5 ? address('10.0.0.9') : address('fd00::9') } : {}),
        ...(step.attributes.community === undefined ? {} : { communities: ['1:2'] }),
      };
      this.rib.announceLocal(id, route);
      this.model.announce(id, route.prefix, 0, localAttributes(route), route);
    }
  }

  announce(id: PeerId, config: RibPeerConfig, step: Op & { op: 'update' }): void {
    for (const family of [4, 6] as const) {
      const list = step.at
        .map((at) => prefixes[at] ?? prefixes[0]!)
        .filter((p) => prefixFamily(p) === family);
      if (list.length === 0) continue;
      const addPath = config.families?.[0]?.addPathReceive === true;
      const pathId = addPath ? step.pathId : 0;
      const attributes = attributesFor(step.attributes, family, config);
      this.rib.update(id, {
        family,
        attributes: encodeAttributes(attributes, {
          as4: true,
          nextHop: family === 4 ? 'attribute' : 'mp-reach',
        }),
        nlri: encodeNlri(
          list.map((p) => ({ prefix: p, pathId })),
          addPath,
        ),
      });
      for (const p of list) this.model.announce(id, p, pathId, attributes);
    }
  }

  withdraw(id: PeerId, config: RibPeerConfig, p: Prefix, pathId: number, isLocal: boolean): void {
    const addPath = config.families?.[0]?.addPathReceive === true;
    const identifier = addPath ? pathId : 0;
    if (isLocal) this.rib.withdrawLocal(id, p);
    else this.rib.withdraw(id, prefixFamily(p), encodeNlri([{ prefix: p, pathId: identifier }], addPath));
    this.model.withdraw(id, p, identifier);
  }

  resume(index: number): void {
    this.pauseNext.delete(index);
    if (!this.paused.delete(index)) return;
    this.rib.resume(this.ids[index] ?? -1);
  }

  flush(budget: number): boolean {
    const report = this.rib.flush(budget, (id, messages) => {
      for (const bytes of messages) this.hear(id, bytes);
      const index = this.ids.indexOf(id);
      if (!this.pauseNext.has(index)) return true;
      this.pauseNext.delete(index);
      this.paused.add(index);
      return false;
    });
    this.takeForwarding();
    return report.done;
  }

  takeForwarding(): void {
    for (const { prefix: p, best, paths } of this.rib.takeBestChanges()) {
      if (best === undefined) this.forwarding.delete(p);
      else
        this.forwarding.set(p, describe(paths.map((v) => [v.peer, v.pathId, v.attributes, v.interfaceName])));
    }
  }

  hear(id: PeerId, bytes: Uint8Array): void {
    const heard = this.heard.get(id);
    const config = this.model.peers.get(id)?.config;
    assert.ok(heard && config, 'only sessions that are up are written to');
    const addPath = config.families?.[0]?.addPathSend === true;
    for (let at = 0; at < bytes.length; ) {
      const length = (bytes[at + 16]! << 8) | bytes[at + 17]!;
      const view = parseUpdate(bytes, at, at + length, {
        as4: config.fourOctetAs !== false,
        ebgp: config.type === 'ebgp',
        ipv4: true,
        ipv6: true,
        addPath4: addPath,
        addPath6: addPath,
      });
      at += length;
      assert.equal(view.verdict, 'ok', JSON.stringify(view.problems));
      if (view.endOfRib !== 0) this.endOfRib.get(id)?.add(view.endOfRib);
      forEachWithdrawn(view, (family, w0, w1, w2, w3, bits, pathId) =>
        heard.delete(`${prefixFromWords(family, w0, w1, w2, w3, bits)} ${pathId}`),
      );
      for (const part of announcedParts(view)) {
        const attributes = decodeAttributes(attributeBytes(view, part).slice());
        forEachAnnounced(view, part, (family, w0, w1, w2, w3, bits, pathId) =>
          heard.set(`${prefixFromWords(family, w0, w1, w2, w3, bits)} ${pathId}`, attributes),
        );
      }
    }
  }

  /** Lets everything settle and compares. */
  settle(): void {
    this.pauseNext.clear();
    for (const index of this.paused) this.resume(index);
    for (let i = 0; !this.flush(50); i++) assert.ok(i < 1000, 'flush comes to an end');
    for (const family of [4, 6] as const) {
      this.compareSelection(family);
      for (const [index, id] of this.ids.entries()) this.compareHeard(index, id, family);
    }
    this.compareForwarding();
  }

  compareSelection(family: Family): void {
    const want = this.model
      .prefixes(family)
      .flatMap((p) =>
        this.model
          .candidates(p)
          .map((c) => [
            p,
            c.route.peer,
            c.route.pathId,
            c.why,
            c.why === 'eligible' ? (c.lostAt ?? 'best') : '',
            c.route.stale,
          ]),
      );
    const got = [...this.rib.paths(family)].map((v) => [
      v.prefix,
      v.peer,
      v.pathId,
      v.ineligible ?? 'eligible',
      v.ineligible === undefined ? (v.lostAt ?? 'best') : '',
      v.stale,
    ]);
    assert.deepEqual(sorted(got), sorted(want));
  }

  compareHeard(index: number, id: PeerId, family: Family): void {
    const want = [...this.model.announcedTo(id, family)].flatMap(([p, list]) =>
      list.map((a) => [p, plain(a)]),
    );
    const got = [...(this.heard.get(id) ?? [])]
      .map(([key, a]) => [key.split(' ')[0], plain(a)])
      .filter(([p]) => prefixFamily(p as Prefix) === family);
    assert.deepEqual(sorted(got), sorted(want), `heard by peer ${index}`);
    const announced = [...this.rib.announced(id, family)].map((r) => [r.prefix, plain(r.attributes)]);
    if (kinds[index]?.fourOctetAs !== false) assert.deepEqual(sorted(announced), sorted(want), 'announced()');
    if (this.model.peers.get(id)?.up) assert.ok(this.endOfRib.get(id)?.has(family), 'End-of-RIB was sent');
  }

  compareForwarding(): void {
    const want = new Map<Prefix, string>();
    for (const family of [4, 6] as const) {
      for (const p of this.model.prefixes(family)) {
        const list = this.model.multipath(p);
        if (list.length === 0) continue;
        const views = list.map((c) => [
          c.route.peer,
          c.route.pathId,
          c.attributes,
          c.route.local
            ? c.route.local.interfaceName
            : this.model.hops.get(c.attributes.nextHop ?? routerId)?.interfaceName,
        ]);
        want.set(p, describe(views));
      }
    }
    assert.deepEqual(sorted([...this.forwarding]), sorted([...want]));
    // Handed out again, it is the same.
    this.forwarding.clear();
    this.rib.repeatBestChanges();
    this.takeForwarding();
    assert.deepEqual(sorted([...this.forwarding]), sorted([...want]));
  }
}

const plain = (a: Attributes): unknown =>
  Object.fromEntries(Object.entries(a).sort(([x], [y]) => (x < y ? -1 : 1)));
const text = (value: unknown): string =>
  JSON.stringify(value, (_key, v: unknown) =>
    typeof v === 'object' && v !== null && !Array.isArray(v) ? plain(v as Attributes) : v,
  );
const sorted = (list: readonly unknown[]): string[] => list.map(text).sort();
/** The best path first, the others in any order. */
const describe = (views: readonly unknown[]): string => text([views[0], ...sorted(views.slice(1))]);

test('random histories: selection, forwarding and every peer agree with the model', () => {
  fc.assert(
    fc.property(fc.array(op, { minLength: 5, maxLength: 80 }), fc.nat(kinds.length), (ops, upAtStart) => {
      const pair = new Pair();
      for (let i = 0; i < upAtStart; i++)
        pair.applyToPeer({ op: 'up', peer: i, importPolicy: 0, exportPolicy: i % 3 }, i);
      for (const step of ops) pair.apply(step);
      pair.settle();
      // Once more after everything has gone: nothing may be left.
      for (const [index] of kinds.entries())
        pair.applyToPeer({ op: 'down', peer: index, stale: false }, index);
      for (const p of prefixes)
        for (const i of [0, 1]) pair.withdraw(pair.ids[i] ?? -1, configOf(i, 0, 0), p, 0, true);
      pair.settle();
      const { prefixes: left, paths, attributeSets, nextHops, groups } = pair.rib.counts();
      assert.deepEqual([left, paths, attributeSets, nextHops, groups], [{ 4: 0, 6: 0 }, 0, 0, 0, 0]);
    }),
    { numRuns: Number(process.env['RIB_RUNS'] ?? 1000) },
  );
});
