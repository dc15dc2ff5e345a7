// Members of address sets: which addresses a definition means in a world.
import { hostPrefix } from '../../lib/ip/mod.ts';
import { matchesLookup } from '../../selector/mod.ts';
import { MemorySets, type SetMember } from '../sets.ts';
import type { Address } from '../../lib/ip/mod.ts';
import type { SetDefinition, SetId, SetLookup } from '../types.ts';
import type { ServiceEndpoints, World } from './types.ts';

type Peers = Pick<World, 'workloads' | 'hostEndpoints' | 'networkSets' | 'services'>;

const nowhere: ServiceEndpoints = { addresses: [], ports: [] };

/** All members of the set, in no order, some perhaps twice. */
export function membersOf(definition: SetDefinition, peers: Peers): readonly SetMember[] {
  if (definition.kind === 'service') {
    const { addresses, ports } = peers.services.get(`${definition.namespace}/${definition.name}`) ?? nowhere;
    return definition.withPorts ? ports : addresses.map(hostPrefix);
  }
  const { selector } = definition;
  const endpoints = [...peers.workloads, ...peers.hostEndpoints].filter(({ label }) =>
    matchesLookup(selector, label),
  );
  if (definition.kind === 'selector') {
    const sets = peers.networkSets.filter(({ label }) => matchesLookup(selector, label));
    return [
      ...endpoints.flatMap(({ addresses }) => addresses.map(hostPrefix)),
      ...sets.flatMap(({ nets }) => nets),
    ];
  }
  return endpoints.flatMap(({ addresses, ports }) =>
    ports
      .filter(
        ({ name, protocol }) =>
          name === definition.port && (definition.protocol === undefined || protocol === definition.protocol),
      )
      .flatMap(({ protocol, port }) => addresses.map((address) => ({ address, protocol, port }))),
  );
}

/** Sets whose members are made out when somebody asks for them first. */
export class LazySets implements SetLookup {
  readonly #definitions: ReadonlyMap<SetId, SetDefinition>;
  readonly #peers: Peers;
  readonly #known = new MemorySets();

  constructor(definitions: ReadonlyMap<SetId, SetDefinition>, peers: Peers) {
    this.#definitions = definitions;
    this.#peers = peers;
  }

  hasAddress(id: SetId, address: Address): boolean | undefined {
    return this.#filled(id).hasAddress(id, address);
  }

  hasPort(id: SetId, address: Address, protocol: number, port: number): boolean | undefined {
    return this.#filled(id).hasPort(id, address, protocol, port);
  }

  #filled(id: SetId): MemorySets {
    const definition = this.#definitions.get(id);
    if (definition !== undefined && !this.#known.has(id))
      this.#known.set(id, membersOf(definition, this.#peers));
    return this.#known;
  }
}
