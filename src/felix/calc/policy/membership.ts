// Which addresses are in which active sets, from the labels of all endpoints and network sets of the cluster and from the
// endpoints of services. A set costs nothing before a rule on this node uses it.
import type { SetDefinition, SetId } from '../../../policy/mod.ts';
import { LabelIndex, type LabelIndexWork, type Labels } from '../../../selector/mod.ts';
import { membersOf, serviceMembers, type Addressed, type ServicePart } from './facts.ts';
import { MemberSet } from './member-set.ts';
import type { PolicyChange } from './types.ts';

type ActiveSet = {
  readonly definition: SetDefinition;
  readonly members: MemberSet;
  users: number;
  /** Whether it was handed out. */
  isTold: boolean;
};
type Item = Addressed;

export class Membership {
  readonly #items = new Map<string, Item>();
  readonly #sets = new Map<SetId, ActiveSet>();
  /** Sets that share a selector, by its text: matching is done once for them. */
  readonly #bySelector = new Map<string, Set<ActiveSet>>();
  readonly #index = new LabelIndex<string, string>((selector, item, isMatch) =>
    this.#matched(selector, item, isMatch),
  );
  readonly #parts = new Map<string, ServicePart>();
  readonly #partsOf = new Map<string, Set<string>>();
  readonly #setsOf = new Map<string, Set<ActiveSet>>();
  /** Sets to look at in the next flush. */
  readonly #touched = new Set<ActiveSet>();

  get sets(): ReadonlyMap<SetId, { readonly definition: SetDefinition; readonly members: MemberSet }> {
    return this.#sets;
  }

  get indexWork(): LabelIndexWork {
    return this.#index.work;
  }

  get itemCount(): number {
    return this.#items.size;
  }

  setProfileLabels(name: string, labels: Labels | undefined): void {
    this.#index.setParent(name, labels);
  }

  setItem(id: string, item: Item | undefined): void {
    const before = this.#items.get(id);
    if (item === undefined) {
      if (before === undefined) return;
      this.#index.deleteItem(id);
      this.#items.delete(id);
      return;
    }
    this.#items.set(id, item);
    // What it brought to the sets it stays in; what starts or stops to match is told by the index, with the new addresses.
    if (before !== undefined && !sameAddresses(before, item))
      for (const selector of this.#index.selectorsOf(id))
        for (const set of this.#bySelector.get(selector) ?? [])
          this.#replace(set, membersOf(set.definition, before), membersOf(set.definition, item));
    this.#index.setItem(id, item.labels, item.profiles);
  }

  setServicePart(id: string, part: ServicePart | undefined): void {
    const before = this.#parts.get(id);
    if (before?.service === part?.service && part !== undefined && before !== undefined) {
      this.#parts.set(id, part);
      for (const set of this.#setsOf.get(part.service) ?? [])
        this.#replace(set, partMembers(set, before), partMembers(set, part));
      return;
    }
    if (before !== undefined) {
      this.#parts.delete(id);
      dropFrom(this.#partsOf, before.service, id);
      for (const set of this.#setsOf.get(before.service) ?? [])
        this.#replace(set, partMembers(set, before), []);
    }
    if (part === undefined) return;
    this.#parts.set(id, part);
    addTo(this.#partsOf, part.service, id);
    for (const set of this.#setsOf.get(part.service) ?? []) this.#replace(set, [], partMembers(set, part));
  }

  /** A rule that is enforced uses the set. */
  use(definition: SetDefinition): void {
    const known = this.#sets.get(definition.id);
    if (known !== undefined) {
      known.users++;
      return;
    }
    const set: ActiveSet = { definition, members: new MemberSet(), users: 1, isTold: false };
    this.#sets.set(definition.id, set);
    this.#touched.add(set);
    if (definition.kind === 'service') {
      const service = `${definition.namespace}/${definition.name}`;
      addTo(this.#setsOf, service, set);
      for (const id of this.#partsOf.get(service) ?? []) {
        const part = this.#parts.get(id);
        if (part !== undefined) this.#replace(set, [], partMembers(set, part));
      }
      return;
    }
    const { text } = definition.selector;
    const isShared = this.#bySelector.has(text);
    addTo(this.#bySelector, text, set);
    // The index tells of matches of a new selector; for one it knows they are asked for.
    if (!isShared) return this.#index.setSelector(text, definition.selector);
    for (const id of this.#index.itemsOf(text)) this.#contribute(set, id, true);
  }

  /** A rule that used the set is no longer enforced. The set stays until the next flush: it may be wanted again. */
  release(id: SetId): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    set.users--;
    if (set.users === 0) this.#touched.add(set);
  }

  /** What changed since the last call: sets to be made or changed before their users are told, and sets without users. */
  flush(): { readonly changes: readonly PolicyChange[]; readonly removals: readonly PolicyChange[] } {
    const changes: PolicyChange[] = [];
    const removals: PolicyChange[] = [];
    for (const set of this.#touched) {
      const { definition, members } = set;
      if (set.users === 0) {
        this.#forget(set);
        if (set.isTold) removals.push({ type: 'set-removed', id: definition.id });
        continue;
      }
      const { added, removed } = members.flush();
      if (!set.isTold) {
        set.isTold = true;
        changes.push({ type: 'set', set: definition, members: [...members.members()] });
      } else if (added.length > 0 || removed.length > 0) {
        changes.push({ type: 'set-members', id: definition.id, added, removed });
      }
    }
    this.#touched.clear();
    return { changes, removals };
  }

  #matched(selector: string, itemId: string, isMatch: boolean): void {
    for (const set of this.#bySelector.get(selector) ?? []) this.#contribute(set, itemId, isMatch);
  }

  #contribute(set: ActiveSet, itemId: string, isMember: boolean): void {
    const item = this.#items.get(itemId);
    if (item === undefined) return;
    const members = membersOf(set.definition, item);
    this.#replace(set, isMember ? [] : members, isMember ? members : []);
  }

  /** Adds before it removes, so that what is in both never goes. */
  #replace(set: ActiveSet, before: readonly string[], after: readonly string[]): void {
    if (before.length === 0 && after.length === 0) return;
    for (const member of after) set.members.add(member);
    for (const member of before) set.members.remove(member);
    this.#touched.add(set);
  }

  #forget(set: ActiveSet): void {
    const { definition } = set;
    this.#sets.delete(definition.id);
    if (definition.kind === 'service')
      return dropFrom(this.#setsOf, `${definition.namespace}/${definition.name}`, set);
    const { text } = definition.selector;
    dropFrom(this.#bySelector, text, set);
    if (!this.#bySelector.has(text)) this.#index.deleteSelector(text);
  }
}

const partMembers = (set: ActiveSet, part: ServicePart): readonly string[] =>
  serviceMembers(part, set.definition.kind === 'service' && set.definition.withPorts);

const sameAddresses = (a: Item, b: Item): boolean =>
  a.prefixes.length === b.prefixes.length &&
  a.prefixes.every((prefix, i) => prefix === b.prefixes[i]) &&
  (a.ports === b.ports || JSON.stringify(a.ports) === JSON.stringify(b.ports));

function addTo<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const values = map.get(key) ?? new Set<V>();
  map.set(key, values.add(value));
}

function dropFrom<K, V>(map: Map<K, Set<V>>, key: K, value: V): void {
  const values = map.get(key);
  values?.delete(value);
  if (values?.size === 0) map.delete(key);
}
