// The maps of one compiled program. What a flush changes is gathered, and settled as a whole: a packet that is under way
// must not meet some lookups of before and some of after, so
//
//  - where the chain of lookups stays as it is, elements are written in the order in which lookups are asked (`rank`, see
//    transactions.ts), and what goes, goes last;
//  - where the chain becomes another one, or intervals make room for others, maps in which something changes are made anew
//    beside the old ones, under another name, and the chain changes over to all of them at once.
import type { Family } from '../../../../lib/ip/mod.ts';
import type { NftRow } from '../../nftables.ts';
import { lookups, type Lookup } from './elements.ts';
import { nftFamily, type RowCollector } from './rows.ts';

/** A lookup of classes, or of addresses without. */
export type MapName = Lookup | `any-${Lookup}`;
type Written = { readonly fields: readonly string[] /** undefined: it goes. */; readonly verdict?: string };
export type MapElement = Required<Written>;

const keyTypes: Readonly<Record<Lookup, readonly string[]>> = {
  port: ['inet_proto', 'inet_service'],
  range: ['inet_proto', 'inet_service'],
  icmp: ['inet_proto', 'inet_service'],
  proto: ['inet_proto'],
  class: [],
};
const hasIntervals = (lookup: Lookup): boolean => lookup === 'range' || lookup === 'icmp';

const isAny = (name: MapName): boolean => name.startsWith('any-');
const lookupOf = (name: MapName): Lookup => name.replace('any-', '') as Lookup;
/** Those of classes are asked first. */
const rankOf = (name: MapName): number =>
  1 + lookups.indexOf(lookupOf(name)) + (isAny(name) ? lookups.length : 0);

export class ProgramMaps {
  readonly #base: string;
  readonly #family: Family;
  readonly #rows: RowCollector;
  /** Those that there are. */
  #names: ReadonlySet<MapName> = new Set();
  /** How often each was made anew. */
  readonly #renewals = new Map<MapName, number>();
  readonly #written = new Map<MapName, Map<string, Written>>();

  constructor(key: string, family: Family, rows: RowCollector) {
    this.#base = `p-${key}`;
    this.#family = family;
    this.#rows = rows;
  }

  put(name: MapName, fields: readonly string[], verdict: string): void {
    this.#write(name, { fields, verdict });
  }

  drop(name: MapName, fields: readonly string[]): void {
    this.#write(name, { fields });
  }

  #write(name: MapName, written: Written): void {
    let ofMap = this.#written.get(name);
    if (ofMap === undefined) this.#written.set(name, (ofMap = new Map()));
    ofMap.set(written.fields.join(' . '), written);
  }

  /** As rules call it. */
  nameOf(name: MapName): string {
    const renewals = this.#renewals.get(name) ?? 0;
    return `${this.#base}-${name}${renewals === 0 ? '' : `.${renewals}`}`;
  }

  /** Gives what was gathered to the rows. `isOther`: the chain asks otherwise than before. */
  settle(
    wanted: ReadonlySet<MapName>,
    isOther: boolean,
    elements: (name: MapName) => Iterable<MapElement>,
  ): void {
    const kept = [...wanted].filter((name) => this.#names.has(name));
    const changesOver = isOther || kept.some((name) => this.#movesIntervals(name));
    for (const name of kept) if (changesOver && this.#written.has(name)) this.#renew(name, elements);
    for (const name of this.#names)
      if (!wanted.has(name)) {
        this.#pass(name);
        this.#rows.drop(this.#setKey(name));
      }
    for (const name of wanted) {
      if (!this.#names.has(name)) this.#rows.put(this.#setKey(name), this.#set(name));
      this.#pass(name);
    }
    this.#names = new Set(wanted);
    this.#written.clear();
  }

  remove(): void {
    this.settle(new Set(), false, () => []);
  }

  /** Intervals that come where others go. */
  #movesIntervals(name: MapName): boolean {
    if (!hasIntervals(lookupOf(name))) return false;
    const written = [...(this.#written.get(name)?.values() ?? [])];
    return (
      written.some(({ verdict }) => verdict === undefined) &&
      written.some(({ verdict }) => verdict !== undefined)
    );
  }

  #renew(name: MapName, elements: (name: MapName) => Iterable<MapElement>): void {
    const all = [...elements(name)];
    for (const { fields } of [...(this.#written.get(name)?.values() ?? []), ...all])
      this.#rows.drop(this.#elementKey(name, fields));
    this.#written.delete(name);
    this.#rows.drop(this.#setKey(name));
    this.#renewals.set(name, (this.#renewals.get(name) ?? 0) + 1);
    this.#rows.put(this.#setKey(name), this.#set(name));
    for (const { fields, verdict } of all) this.#putRow(name, fields, verdict);
  }

  #pass(name: MapName): void {
    for (const { fields, verdict } of this.#written.get(name)?.values() ?? [])
      if (verdict === undefined) this.#rows.drop(this.#elementKey(name, fields));
      else this.#putRow(name, fields, verdict);
  }

  #putRow(name: MapName, fields: readonly string[], verdict: string): void {
    this.#rows.put(this.#elementKey(name, fields), {
      kind: 'element',
      family: nftFamily(this.#family),
      set: this.nameOf(name),
      element: { key: fields.length === 1 ? (fields[0] as string) : fields, data: verdict },
      rank: rankOf(name),
    });
  }

  #set(name: MapName): NftRow {
    const lookup = lookupOf(name);
    return {
      kind: 'set',
      family: nftFamily(this.#family),
      set: {
        name: this.nameOf(name),
        key: [...(isAny(name) ? [] : ['mark']), ...keyTypes[lookup]],
        data: ['verdict'],
        ...(hasIntervals(lookup) ? { interval: true } : {}),
      },
    };
  }

  #setKey(name: MapName): string {
    return `${nftFamily(this.#family)} set ${this.nameOf(name)}`;
  }
  #elementKey(name: MapName, fields: readonly string[]): string {
    return `${nftFamily(this.#family)} element ${this.nameOf(name)} ${fields.join(' . ')}`;
  }
}
