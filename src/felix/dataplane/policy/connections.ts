// Cuts established connections that a change of policy no longer allows (PolicyChangeConnections=Cut). What the kernel tracks
// passes without being judged again (FX-057); so after a change has reached the kernel, connections of the workloads it is
// about are judged by src/policy, as if they began now, and those that would be denied are forgotten. Their next packet is a
// new one and meets the rules.
import { isSingleAddress, prefixAddress, type Address } from '../../../lib/ip/mod.ts';
import type { Logger } from '../../../lib/log.ts';
import type { Connection, Kernel } from '../../../kernel/mod.ts';
import {
  decide,
  MemorySets,
  parseMember,
  type Direction,
  type Packet,
  type PolicyProgram,
  type SetId,
} from '../../../policy/mod.ts';
import { policyKey, type EndpointPolicy, type PolicyChange } from '../../calc/mod.ts';
import { planOf, policiesOf, PolicyMirror, programOf, type MirrorChanges } from './inputs/mod.ts';

export type ConnectionCutterOptions = {
  readonly kernel: Kernel;
  readonly logger: Logger;
  /** Resolves when what was told so far is in the kernel. */
  readonly settled: () => Promise<void>;
};

const directions: readonly Direction[] = ['ingress', 'egress'];

export class ConnectionCutter {
  readonly #options: ConnectionCutterOptions;
  readonly #mirror = new PolicyMirror();
  /** Endpoints whose connections are to be judged. */
  readonly #stale = new Set<string>();
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: ConnectionCutterOptions) {
    this.#options = options;
  }

  /** The first call tells everything: connections that were denied while nobody watched over them are cut, too. */
  take(changes: readonly PolicyChange[]): void {
    if (changes.length === 0) return;
    const changed = this.#mirror.take(changes);
    for (const key of this.#affected(changed)) this.#stale.add(key);
    if (this.#stale.size > 0) this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  /** For tests. */
  async idle(): Promise<void> {
    await this.#running;
  }

  *#affected({ endpoints, policies, profiles, members }: MirrorChanges): Generator<string> {
    const sets = new Set<SetId>(members.map(({ id }) => id));
    const usesSet = ({ sets: used }: { readonly sets: readonly { readonly id: SetId }[] }): boolean =>
      used.some(({ id }) => sets.has(id));
    const touched = new Set(policies);
    for (const policy of this.#mirror.policies.values())
      if (usesSet(policy)) touched.add(policyKey(policy.id));
    const touchedProfiles = new Set(profiles);
    for (const profile of this.#mirror.profiles.values())
      if (usesSet(profile)) touchedProfiles.add(profile.name);
    for (const [key, endpoint] of this.#mirror.endpoints) {
      if (endpoint.type !== 'workload') continue;
      const isTouched =
        endpoints.has(key) ||
        endpoint.profiles.some((name) => touchedProfiles.has(name)) ||
        directions.some((direction) =>
          policiesOf(planOf(endpoint, 'normal', direction)).some((policy) => touched.has(policy)),
        );
      if (isTouched) yield key;
    }
  }

  async #run(): Promise<void> {
    while (this.#stale.size > 0 && !this.#isStopped) {
      await this.#options.settled();
      const keys = [...this.#stale];
      this.#stale.clear();
      const judge = new Judge(this.#mirror, keys);
      if (judge.addresses.length === 0) continue;
      const { kernel, logger } = this.#options;
      const cut = await kernel.conntrack.deleteByAddress(judge.addresses, (one) => judge.denies(one));
      if (!cut.ok) logger.warn('Cannot cut connections that policy no longer allows', { error: cut.error });
      else if (cut.value > 0)
        logger.info('Connections that policy no longer allows are cut', { count: cut.value });
    }
    // In the same step as the last look: what comes later begins anew.
    this.#running = undefined;
  }
}

/** Judges connections of some endpoints by what policy says now. */
class Judge {
  readonly addresses: readonly Address[];
  readonly #mirror: PolicyMirror;
  readonly #byAddress = new Map<Address, EndpointPolicy>();
  readonly #programs = new Map<string, PolicyProgram>();
  readonly #sets = new MemorySets();

  constructor(mirror: PolicyMirror, keys: readonly string[]) {
    this.#mirror = mirror;
    for (const key of keys) {
      const endpoint = mirror.endpoints.get(key);
      for (const one of endpoint?.addresses ?? [])
        if (endpoint !== undefined && isSingleAddress(one)) this.#byAddress.set(prefixAddress(one), endpoint);
    }
    this.addresses = [...this.#byAddress.keys()];
  }

  denies({ protocol, original, reply, icmpType, icmpCode }: Connection): boolean {
    // After translation the destination is who answers.
    const packet: Packet = {
      source: original.source,
      destination: reply.source,
      protocol,
      ...(original.sourcePort === undefined ? {} : { sourcePort: original.sourcePort }),
      ...(reply.sourcePort === undefined ? {} : { destinationPort: reply.sourcePort }),
      ...(icmpType === undefined ? {} : { icmpType }),
      ...(icmpCode === undefined ? {} : { icmpCode }),
    };
    return (
      this.#deniedAt(packet.source, 'egress', packet) || this.#deniedAt(packet.destination, 'ingress', packet)
    );
  }

  #deniedAt(address: Address, direction: Direction, packet: Packet): boolean {
    const endpoint = this.#byAddress.get(address);
    if (endpoint === undefined) return false;
    return decide(this.#programOf(endpoint, direction), this.#sets, packet).action === 'deny';
  }

  #programOf(endpoint: EndpointPolicy, direction: Direction): PolicyProgram {
    const plan = planOf(endpoint, 'normal', direction);
    const known = this.#programs.get(plan.key);
    if (known !== undefined) return known;
    const program = programOf(plan, this.#mirror);
    this.#programs.set(plan.key, program);
    for (const key of policiesOf(plan)) this.#load(this.#mirror.policies.get(key)?.sets ?? []);
    for (const name of plan.profiles) this.#load(this.#mirror.profiles.get(name)?.sets ?? []);
    return program;
  }

  #load(sets: readonly { readonly id: SetId }[]): void {
    for (const { id } of sets) {
      const members = this.#mirror.sets.get(id)?.members;
      if (members === undefined || this.#sets.has(id)) continue;
      this.#sets.set(
        id,
        [...members].flatMap((text) => {
          const parsed = parseMember(text);
          return parsed.ok ? [parsed.value] : [];
        }),
      );
    }
  }
}
