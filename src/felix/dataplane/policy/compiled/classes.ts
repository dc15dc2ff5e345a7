// The class of every address of a family: a row of @hosts for each single address that an atom knows, rows of @nets for the
// networks, and a number for each class in use. Changes gather until `settle`, which says what became different.
import {
  addressToBigInt,
  isSingleAddress,
  prefixAddress,
  type Address,
  type Family,
  type Prefix,
} from '../../../../lib/ip/mod.ts';
import type { NftRow } from '../../nftables.ts';
import { AtomSets, type Atom, type AtomSet } from './atoms.ts';
import { intervalText, Networks, type Range } from './networks.ts';
import { addressType, classText, nftFamily, type RowCollector } from './rows.ts';
import type { CompiledStats } from './types.ts';

type Host = {
  readonly address: Address;
  at: bigint | undefined;
  explicit: AtomSet;
  /** The class that its row tells. */
  row: AtomSet | undefined;
};

export type ClassChanges = {
  readonly born: readonly AtomSet[];
  /** They keep their numbers until `bury`. */
  readonly died: readonly AtomSet[];
  /** Of those that live on: classes that came to hosts or networks, or went from them. */
  readonly moved: readonly AtomSet[];
};

export class AddressClasses {
  readonly sets = new AtomSets();
  readonly #family: Family;
  readonly #rows: RowCollector;
  readonly #hosts = new Map<Address, Host>();
  readonly #networks: Networks;
  readonly #dirtyHosts = new Set<Host>();
  readonly #numbers = new Map<number, AtomSet>();
  #hostRows = 0;
  #intervalRows = 0;
  #hasHostMap = false;
  #hasNetMap = false;

  constructor(family: Family, rows: RowCollector) {
    this.#family = family;
    this.#rows = rows;
    this.#networks = new Networks(family, this.sets);
  }

  get counts(): Pick<CompiledStats, 'classes' | 'hosts' | 'nets' | 'atomSets'> {
    return {
      classes: this.#numbers.size,
      hosts: this.#hostRows,
      nets: this.#networks.size,
      atomSets: this.sets.size,
    };
  }

  add(net: Prefix, atom: Atom): void {
    if (!isSingleAddress(net)) this.#networks.add(net, atom);
    else this.addHost(prefixAddress(net), atom);
  }

  remove(net: Prefix, atom: Atom): void {
    if (!isSingleAddress(net)) this.#networks.remove(net, atom);
    else this.removeHost(prefixAddress(net), atom);
  }

  addHost(address: Address, atom: Atom): void {
    let host = this.#hosts.get(address);
    if (host === undefined) {
      host = { address, at: undefined, explicit: this.sets.retain(this.sets.empty), row: undefined };
      this.#hosts.set(address, host);
    }
    this.#setExplicit(host, this.sets.with(host.explicit, atom));
  }

  removeHost(address: Address, atom: Atom): void {
    const host = this.#hosts.get(address);
    if (host !== undefined) this.#setExplicit(host, this.sets.without(host.explicit, atom));
  }

  #setExplicit(host: Host, explicit: AtomSet): void {
    const before = host.explicit;
    host.explicit = this.sets.retain(explicit);
    this.sets.release(before);
    this.#dirtyHosts.add(host);
  }

  settle(): ClassChanges {
    const touched = new Map<AtomSet, { readonly hosts: boolean; readonly intervals: boolean }>();
    const count = (set: AtomSet, what: 'hosts' | 'intervals', by: 1 | -1): void => {
      if (!touched.has(set)) touched.set(set, { hosts: set.hosts > 0, intervals: set.intervals > 0 });
      set[what] += by;
      if (by > 0) this.sets.retain(set);
    };
    const { removed, added, ranges } = this.#networks.settle();
    for (const { atoms } of removed) count(atoms, 'intervals', -1);
    for (const { atoms } of added) count(atoms, 'intervals', 1);
    this.#markHosts(ranges);
    const changed: { readonly host: Host; readonly now: AtomSet | undefined }[] = [];
    const unions = new Map<AtomSet, Map<AtomSet, AtomSet>>();
    for (const host of this.#dirtyHosts) {
      const now = this.#classOf(host, unions);
      if (now === host.row) continue;
      if (now !== undefined) count(now, 'hosts', 1);
      if (host.row !== undefined) count(host.row, 'hosts', -1);
      if (host.row === undefined) this.#hostRows++;
      if (now === undefined) this.#hostRows--;
      changed.push({ host, now });
    }
    const changes = this.#liveAndDead(touched);

    for (const interval of removed)
      this.#rows.drop(this.#elementKey('nets', intervalText(interval, this.#family)));
    for (const interval of added) this.#put('nets', intervalText(interval, this.#family), interval.atoms);
    this.#intervalRows += added.length - removed.length;
    for (const { host, now } of changed) {
      if (now !== undefined) this.#put('hosts', host.address, now);
      else this.#rows.drop(this.#elementKey('hosts', host.address));
      if (host.row !== undefined) this.sets.release(host.row);
      host.row = now;
    }
    for (const { atoms } of removed) this.sets.release(atoms);
    for (const host of this.#dirtyHosts)
      if (host.explicit === this.sets.empty && host.row === undefined) {
        this.#hosts.delete(host.address);
        this.sets.release(host.explicit);
      }
    this.#dirtyHosts.clear();
    this.#declareMaps();
    for (const byNet of unions.values()) for (const set of byNet.values()) this.sets.sweep(set);
    return changes;
  }

  /** Lets go of classes that died, once nothing in the rows names them. */
  bury(died: readonly AtomSet[]): void {
    for (const set of died) {
      set.number = undefined;
      this.sets.release(set);
    }
  }

  #markHosts(ranges: readonly Range[]): void {
    if (ranges.length === 0) return;
    for (const host of this.#hosts.values()) {
      const at = (host.at ??= addressToBigInt(host.address));
      let low = 0;
      let high = ranges.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((ranges[middle] as Range).last < at) low = middle + 1;
        else high = middle;
      }
      const range = ranges[low];
      if (range !== undefined && range.first <= at) this.#dirtyHosts.add(host);
    }
  }

  #classOf(host: Host, unions: Map<AtomSet, Map<AtomSet, AtomSet>>): AtomSet | undefined {
    if (host.explicit === this.sets.empty) return undefined;
    if (this.#networks.size === 0) return host.explicit;
    const around = this.#networks.around((host.at ??= addressToBigInt(host.address)));
    if (around === this.sets.empty) return host.explicit;
    let byNet = unions.get(around);
    if (byNet === undefined) unions.set(around, (byNet = new Map()));
    let union = byNet.get(host.explicit);
    if (union === undefined) byNet.set(host.explicit, (union = this.sets.union(host.explicit, around)));
    return union;
  }

  #liveAndDead(
    touched: ReadonlyMap<AtomSet, { readonly hosts: boolean; readonly intervals: boolean }>,
  ): ClassChanges {
    const born: AtomSet[] = [];
    const died: AtomSet[] = [];
    const moved: AtomSet[] = [];
    for (const [set, before] of touched) {
      const lives = set.hosts > 0 || set.intervals > 0;
      if (lives && set.number === undefined) born.push(set);
      else if (!lives && set.number !== undefined) died.push(set);
      else if (before.hosts !== set.hosts > 0 || before.intervals !== set.intervals > 0) moved.push(set);
    }
    for (const set of born) {
      let number = set.hash;
      while (this.#numbers.has(number)) number = (number + 1) >>> 0;
      this.#numbers.set(number, set);
      set.number = number;
      this.sets.retain(set);
      for (const atom of set.atoms) atom.classes.add(set);
    }
    for (const set of died) {
      this.#numbers.delete(set.number as number);
      for (const atom of set.atoms) atom.classes.delete(set);
    }
    return { born, died, moved };
  }

  #elementKey(map: 'hosts' | 'nets', key: string): string {
    return `${nftFamily(this.#family)} element ${map} ${key}`;
  }

  /** The class stands twice: the kernel module says why (docs/kernel.md, keys that begin in a map). */
  #put(map: 'hosts' | 'nets', key: string, set: AtomSet): void {
    const text = classText(set.number as number);
    this.#rows.put(this.#elementKey(map, key), {
      kind: 'element',
      family: nftFamily(this.#family),
      set: map,
      element: { key, data: [text, text] },
    });
  }

  #declareMaps(): void {
    this.#hasHostMap = this.#declare('hosts', this.#hostRows > 0, this.#hasHostMap);
    this.#hasNetMap = this.#declare('nets', this.#intervalRows > 0, this.#hasNetMap);
  }

  #declare(name: 'hosts' | 'nets', wanted: boolean, present: boolean): boolean {
    const family = nftFamily(this.#family);
    const row: NftRow = {
      kind: 'set',
      family,
      set: {
        name,
        key: [addressType(this.#family)],
        data: ['mark', 'mark'],
        ...(name === 'nets' ? { interval: true } : {}),
      },
    };
    if (wanted && !present) this.#rows.put(`${family} set ${name}`, row);
    if (!wanted && present) this.#rows.drop(`${family} set ${name}`);
    return wanted;
  }
}
