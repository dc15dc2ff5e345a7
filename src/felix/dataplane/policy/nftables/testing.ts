// For tests: a calculation graph, and the rows that policy asks for.
import { CalculationGraph, type CalcUpdate } from '../../../calc/mod.ts';
import { isSameRow, nftKey, type NftRow } from '../../nftables.ts';
import { policySettings } from '../inputs/mod.ts';
import { NftPolicy } from './nft-policy.ts';

/** A graph and the rows that policy asks for. */
export class PolicyNode {
  readonly graph = new CalculationGraph({ nodeName: 'n1', policy: true });
  readonly rows = new Map<string, NftRow>();
  writes = 0;
  #policy: NftPolicy | undefined;

  set(kind: string, name: string, spec: object, labels: object = {}): void {
    const namespaced = kind === 'WorkloadEndpoint' || kind === 'NetworkPolicy';
    const metadata = { name, labels, ...(namespaced ? { namespace: 'default' } : {}) };
    const apiVersion = kind === 'Namespace' ? 'v1' : 'projectcalico.org/v3';
    this.graph.update({
      type: 'set',
      kind,
      object: { apiVersion, kind, metadata, spec },
    } as unknown as CalcUpdate);
  }

  remove(kind: string, name: string): void {
    const namespaced = kind === 'WorkloadEndpoint' || kind === 'NetworkPolicy';
    const of = { name, ...(namespaced ? { namespace: 'default' } : {}) };
    this.graph.update({ type: 'delete', kind, name: of } as unknown as CalcUpdate);
  }

  endpoint(name: string, address: string): void {
    this.set(
      'WorkloadEndpoint',
      name,
      {
        node: 'n1',
        orchestrator: 'k8s',
        interfaceName: `cali${name}`,
        ipNetworks: [`${address}/32`],
        profiles: ['kns.default'],
        ports: [{ name: 'http', protocol: 'TCP', port: 80 }],
      },
      { app: name },
    );
  }

  flush(): void {
    const { config, policy, encapsulation } = this.graph.flush();
    if (config !== undefined) {
      const settings = policySettings(config, 'nftables');
      if (this.#policy !== undefined) this.#policy.configure(settings);
      this.#policy ??= new NftPolicy(
        {
          put: (row) => {
            const key = nftKey(row);
            const before = this.rows.get(key);
            if (before === undefined || !isSameRow(before, row)) this.writes++;
            this.rows.set(key, row);
            return key;
          },
          drop: (key) => {
            if (this.rows.delete(key)) this.writes++;
          },
        },
        settings,
      );
    }
    if (encapsulation !== undefined) this.#policy?.setTunnels(encapsulation);
    this.#policy?.take(policy);
  }

  get policy(): NftPolicy {
    if (this.#policy === undefined) throw new Error('nothing was flushed');
    return this.#policy;
  }

  /** Programs by their plans: what they are called tells where they come from, as do how often a map was made anew and
   *  what was written before what. */
  texts(): readonly string[] {
    const names = this.policy.programNames();
    const named = (text: string): string =>
      text.replace(/[0-9a-f]{12}(?:x\d+)?/g, (id) => names.get(id) ?? id);
    const timeless = (text: string): string =>
      named(text)
        .replace(/(-(?:port|range|icmp|proto|class))\.\d+/g, '$1')
        .replace(/,"rank":\d+/g, '');
    return [...this.rows].map(([key, row]) => timeless(`${key} ${JSON.stringify(row)}`)).toSorted();
  }
}

export function started(): PolicyNode {
  const node = new PolicyNode();
  node.set('Namespace', 'default', {});
  node.endpoint('a', '10.0.0.1');
  node.endpoint('b', '10.0.0.2');
  node.flush();
  return node;
}

/** All kinds of things that rows are made of. */
export const rule = (i: number): object => ({
  action: (['Allow', 'Deny', 'Pass', 'Log'] as const)[i % 4],
  protocol: 'TCP',
  source: {
    selector: i % 3 === 0 ? `app == "a" && x${i} != "1"` : 'app == "b"',
    ...(i % 5 === 0 ? { nets: ['10.0.0.0/8', `192.168.${i % 250}.0/24`] } : {}),
    ...(i % 7 === 0 ? { ports: [i % 60_000, '100:200'] } : {}),
  },
  destination: { ports: i % 2 === 0 ? ['http', 8080] : [i % 65_000] },
});
