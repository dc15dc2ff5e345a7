// A cluster as policy sees it: endpoints with their labels, policies and sets, all at one moment. Made from resources by
// build.ts; nothing in it changes.
import type { Address, Prefix } from '../../lib/ip/mod.ts';
import type { WorkloadEndpoint } from '../../model/mod.ts';
import type { LabelLookup, Labels } from '../../selector/mod.ts';
import type { CompiledPolicy } from '../compile/policy.ts';
import type { CompiledProfile } from '../compile/profile.ts';
import type { CompiledTier } from '../compile/tier.ts';
import type { FailsafePorts } from '../steps.ts';
import type { PortMember, SetLookup } from '../types.ts';

export type EndpointPort = { readonly name: string; readonly protocol: number; readonly port: number };

/** What policies select and rules are about. */
export type Endpoint = {
  readonly kind: 'workload' | 'host';
  readonly name: string;
  /** Workloads have one. */
  readonly namespace?: string;
  /** The pod, where it is one: the name by which people know the endpoint. */
  readonly pod?: string;
  readonly node: string;
  /** Of a host endpoint: empty when its addresses find the interface, `*` for all. */
  readonly interfaceName: string;
  readonly addresses: readonly Address[];
  readonly ports: readonly EndpointPort[];
  readonly profiles: readonly string[];
  /** Effective labels: own ones, then those of the profiles in order (RS-008). */
  readonly label: LabelLookup;
  /** Foreign addresses it asks to send from. */
  readonly foreignSources: readonly Prefix[];
  readonly limits?: NonNullable<WorkloadEndpoint['spec']['qosControls']>;
};

/** Networks under labels. */
export type LabelledNets = { readonly label: LabelLookup; readonly nets: readonly Prefix[] };

/** Where a service leads. Addresses may stand here without a port. */
export type ServiceEndpoints = {
  readonly addresses: readonly Address[];
  readonly ports: readonly PortMember[];
};

export type WorldNode = {
  readonly name: string;
  readonly labels: Labels;
  readonly addresses: readonly Address[];
  readonly interfaces: readonly { readonly name: string; readonly addresses: readonly Address[] }[];
};

/** What the agent of a node is configured to do (FX-153, FX-154). */
export type NodeSettings = {
  readonly failsafe: FailsafePorts;
  readonly endpointToHost: 'drop' | 'accept' | 'return';
  /** Whether workloads may send from the foreign addresses they ask for. */
  readonly allowsForeignSources: boolean;
  readonly allowsVxlanFromWorkloads: boolean;
  readonly allowsIpipFromWorkloads: boolean;
  readonly vxlanPort: number;
  readonly dropsInvalidConnections: boolean;
};

export type World = {
  readonly workloads: readonly Endpoint[];
  readonly hostEndpoints: readonly Endpoint[];
  readonly networkSets: readonly LabelledNets[];
  readonly nodes: ReadonlyMap<string, WorldNode>;
  readonly tiers: readonly CompiledTier[];
  readonly policies: readonly CompiledPolicy[];
  readonly profiles: ReadonlyMap<string, CompiledProfile>;
  /** Endpoints of services under `<namespace>/<name>`; absent: there is no such service. */
  readonly services: ReadonlyMap<string, ServiceEndpoints>;
  /** Members of all sets that rules use. */
  readonly sets: SetLookup;
  readonly settings: (node: string) => NodeSettings;
  /** Addresses of pods whose endpoint cannot be made out; nothing passes there. */
  readonly closed: ReadonlyMap<Address, string>;
  /** What could not be made out, and whose it is: `gnp:web`, `Pod shop/web`. */
  readonly problems: readonly { readonly subject: string; readonly problem: string }[];
};
