// Which atoms there are: sources come with the first program that asks and go with the last, and while they are there they
// keep the classes of addresses true to the members of sets.
import { prefixFamily, type Family, type Prefix } from '../../../../lib/ip/mod.ts';
import type { PortMember, SetId } from '../../../../policy/mod.ts';
import { atomHash, AtomSource, type Atom } from './atoms.ts';
import type { AddressClasses } from './classes.ts';
import type { Members } from './members.ts';
import type { Program } from './program.ts';

export type SourceWish =
  | { readonly kind: 'addresses'; readonly set: SetId }
  | { readonly kind: 'ports'; readonly set: SetId }
  | { readonly kind: 'nets'; readonly nets: readonly Prefix[] };

type State = { readonly source: AtomSource; readonly wish: SourceWish };

export const sourceName = (wish: SourceWish): string =>
  wish.kind === 'nets' ? `nets ${wish.nets.join(' ')}` : `${wish.kind} ${wish.set}`;

export class Sources {
  readonly #family: Family;
  readonly #classes: AddressClasses;
  readonly #members: Members;
  readonly #states = new Map<string, State>();
  /** Atoms of ports that lost their last address, with their keys. */
  readonly #idle = new Map<Atom, string>();
  #nextAtom = 1;
  #atoms = 0;

  constructor(family: Family, classes: AddressClasses, members: Members) {
    this.#family = family;
    this.#classes = classes;
    this.#members = members;
  }

  get atomCount(): number {
    return this.#atoms;
  }

  /** The source, with its members brought among the classes when nobody asked before. */
  acquire(wish: SourceWish, user: Program): AtomSource {
    const name = sourceName(wish);
    let state = this.#states.get(name);
    if (state === undefined) {
      const source = new AtomSource(name, wish.kind === 'nets' ? undefined : wish.set);
      state = { source, wish };
      this.#states.set(name, state);
      this.#fill(state);
    }
    state.source.users.add(user);
    return state.source;
  }

  release(source: AtomSource, user: Program): void {
    const state = this.#states.get(source.name);
    if (state === undefined || !source.users.delete(user) || source.users.size > 0) return;
    this.#empty(state);
    this.#states.delete(source.name);
  }

  /** The atom of a source that is not of ports. */
  atomOf(source: AtomSource): Atom {
    return this.#atom(source, '');
  }

  changeNet(id: SetId, net: Prefix, added: boolean): void {
    if (prefixFamily(net) !== this.#family) return;
    const state = this.#states.get(`addresses ${id}`);
    if (state === undefined) return;
    const atom = this.#atom(state.source, '');
    if (added) this.#classes.add(net, atom);
    else this.#classes.remove(net, atom);
  }

  changePort(id: SetId, member: PortMember, added: boolean): void {
    const state = this.#states.get(`ports ${id}`);
    if (state === undefined || prefixFamily(`${member.address}/0` as Prefix) !== this.#family) return;
    const key = `${member.protocol}:${member.port}`;
    const atom = this.#atom(state.source, key, { protocol: member.protocol, number: member.port });
    if (added) {
      atom.addresses++;
      this.#classes.addHost(member.address, atom);
      return;
    }
    this.#classes.removeHost(member.address, atom);
    if (--atom.addresses === 0) this.#idle.set(atom, key);
  }

  /** Lets go of ports that no address has any more. Not before all is told: one that comes back is the same atom. */
  settle(): void {
    for (const [atom, key] of this.#idle) {
      if (atom.addresses > 0 || atom.source.atoms.get(key) !== atom) continue;
      atom.source.atoms.delete(key);
      this.#atoms--;
    }
    this.#idle.clear();
  }

  #fill({ wish }: State): void {
    if (wish.kind === 'addresses')
      for (const net of this.#members.netsOf(wish.set, this.#family)) this.changeNet(wish.set, net, true);
    else if (wish.kind === 'ports')
      for (const member of this.#members.portsOf(wish.set, this.#family))
        this.changePort(wish.set, member, true);
    else this.#changeNets(wish.nets, sourceName(wish), true);
  }

  #empty(state: State): void {
    const { wish } = state;
    if (wish.kind === 'addresses')
      for (const net of this.#members.netsOf(wish.set, this.#family)) this.changeNet(wish.set, net, false);
    else if (wish.kind === 'ports')
      for (const member of this.#members.portsOf(wish.set, this.#family))
        this.changePort(wish.set, member, false);
    else this.#changeNets(wish.nets, state.source.name, false);
    this.#atoms -= state.source.atoms.size;
    state.source.atoms.clear();
  }

  #changeNets(nets: readonly Prefix[], name: string, added: boolean): void {
    const atom = this.#atom((this.#states.get(name) as State).source, '');
    for (const net of nets)
      if (added) this.#classes.add(net, atom);
      else this.#classes.remove(net, atom);
  }

  #atom(source: AtomSource, key: string, port?: Atom['port']): Atom {
    const known = source.atoms.get(key);
    if (known !== undefined) return known;
    const atom: Atom = {
      id: this.#nextAtom++,
      source,
      ...(port === undefined ? {} : { port }),
      hash: atomHash(`${source.name} ${key}`),
      classes: new Set(),
      addresses: 0,
    };
    source.atoms.set(key, atom);
    this.#atoms++;
    return atom;
  }
}
