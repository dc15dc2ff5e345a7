// A back end on fake tools, fed by a calculation graph, for tests of this module.
import { VirtualClock } from '../../../lib/clock.ts';
import { CalculationGraph, type CalcUpdate, type PolicyUpdate } from '../../calc/mod.ts';
import { IptablesBackEnd } from './back-end.ts';
import { FakeTools } from './fake.ts';

export const set = (kind: string, metadata: object, spec?: object): PolicyUpdate | CalcUpdate =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata, ...(spec === undefined ? {} : { spec }) },
  }) as unknown as CalcUpdate;
export const gone = (kind: string, name: string, namespace?: string): PolicyUpdate | CalcUpdate =>
  ({
    type: 'delete',
    kind,
    name: { name, ...(namespace === undefined ? {} : { namespace }) },
  }) as unknown as CalcUpdate;

export const pod = (name: string, address: string, labels: Readonly<Record<string, string>> = {}) =>
  set(
    'WorkloadEndpoint',
    { name, namespace: 'shop', labels },
    { node: 'n1', interfaceName: `cali${name}`, ipNetworks: [address], profiles: ['kns.shop'] },
  );
export const globalPolicy = (name: string, spec: object) => set('GlobalNetworkPolicy', { name }, spec);

export class IptablesBench {
  readonly tools: FakeTools;
  readonly clock = new VirtualClock();
  readonly graph: CalculationGraph;
  readonly backEnd: IptablesBackEnd;

  constructor(tools = new FakeTools(), environment: Readonly<Record<string, string>> = {}) {
    this.tools = tools;
    this.graph = new CalculationGraph({ nodeName: 'n1', policy: true, environment });
    const delta = this.graph.flush();
    this.backEnd = new IptablesBackEnd({
      runner: tools,
      variant: 'nft',
      config: this.graph.config,
      clock: this.clock,
    });
    this.backEnd.apply(delta);
  }

  /** Everything in one flush. */
  async update(...updates: readonly (PolicyUpdate | CalcUpdate)[]): Promise<void> {
    for (const update of updates) this.graph.update(update);
    this.backEnd.apply(this.graph.flush());
    await this.backEnd.reconciler.idle();
  }

  async start(...updates: readonly (PolicyUpdate | CalcUpdate)[]): Promise<void> {
    await this.update(...updates);
    this.backEnd.reconciler.start();
    await this.backEnd.reconciler.idle();
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      this.clock.advance(100);
      await this.backEnd.reconciler.idle();
    }
  }

  /** Rules without comments; undefined when there is no such chain. */
  chain(name: string, table = 'filter', family = 4): readonly string[] | undefined {
    return this.tools.chain('nft', family, table, name)?.map(bare);
  }

  /** Names of our chains. */
  chains(table = 'filter', family = 4): readonly string[] {
    const all = [...(this.tools.tables('nft', family).get(table)?.keys() ?? [])];
    return all.filter((name) => name.startsWith('cali')).toSorted();
  }

  /** The lines of restores since the last call, without comments and frames. */
  written(): readonly string[] {
    const calls = this.tools.calls.splice(0).filter(({ input }) => input !== '');
    return calls.flatMap(({ input }) =>
      input
        .split('\n')
        .filter((text) => /^(-|:|create|add|del|destroy|swap)/.test(text))
        .map(bare),
    );
  }
}

export const bare = (rule: string): string => rule.replace(/-m comment --comment "[^"]*" ?/g, '').trim();
