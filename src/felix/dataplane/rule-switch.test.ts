// Which back end has the rules, and how one gives way to the other, on the fake kernel and fake tools.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../lib/result.ts';
import { FakeHost, type Kernel } from '../../kernel/mod.ts';
import { CalculationGraph, type CalcUpdate, type PolicyUpdate } from '../calc/mod.ts';
import { Dataplane } from './dataplane.ts';
import { FakeTools } from './iptables/fake.ts';
import { globalPolicy, pod, set } from './iptables/testing.ts';

class Node {
  readonly host: FakeHost;
  readonly tools: FakeTools;
  readonly kernel: Kernel;
  readonly graph: CalculationGraph;
  readonly dataplane: Dataplane;
  onTransaction: () => void = () => undefined;

  constructor(
    host = new FakeHost(),
    tools = new FakeTools(),
    environment: Readonly<Record<string, string>> = {},
  ) {
    this.host = host;
    this.tools = tools;
    const kernel = host.kernel();
    const { nftables } = kernel;
    const apply: typeof nftables.apply = (commands) => {
      this.onTransaction();
      return nftables.apply(commands);
    };
    this.kernel = { ...kernel, nftables: { ...nftables, apply } };
    this.graph = new CalculationGraph({ nodeName: 'n1', policy: true, environment });
    this.dataplane = new Dataplane({
      kernel: this.kernel,
      policy: true,
      commands: tools,
      everything: () => this.graph.everything(),
    });
  }

  async start(): Promise<void> {
    this.update(
      set('IPPool', { name: 'p' }, { cidr: '10.244.0.0/16', natOutgoing: true }),
      pod('web', '10.244.1.2/32', { app: 'web' }),
      globalPolicy('closed', { selector: 'all()', types: ['Ingress'] }),
    );
    expect(await this.dataplane.start(), 'start');
    await this.dataplane.idle();
  }

  update(...updates: readonly (CalcUpdate | PolicyUpdate)[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  async hasNft(): Promise<boolean> {
    return expect(await this.kernel.nftables.tables(), 'tables').some(({ name }) => name === 'calico');
  }

  hasIptables(variant: 'nft' | 'legacy'): boolean {
    return this.tools.chain(variant, 4, 'filter', 'cali-tw-caliweb') !== undefined;
  }

  choice(): string {
    const choice = this.dataplane.backEnd;
    return choice?.backEnd === 'iptables' ? choice.variant : (choice?.backEnd ?? 'none');
  }
}

test('FX-153: the choice follows NFTablesMode and IptablesBackend, else kube-proxy and what is in use', async () => {
  const kubeProxy = (variant: string) => (tools: FakeTools) =>
    tools.foreign(variant, 4, 'nat', ':KUBE-SERVICES - [0:0]');
  const kubelet = (variant: string) => (tools: FakeTools) =>
    tools.foreign(variant, 4, 'mangle', ':KUBE-IPTABLES-HINT - [0:0]');
  const nothing = (): void => undefined;
  for (const [environment, prepare, expected] of [
    [{}, nothing, 'nftables'],
    [{}, kubeProxy('legacy'), 'legacy'],
    [{ NFTablesMode: 'Enabled' }, kubeProxy('legacy'), 'nftables'],
    [{ NFTablesMode: 'Disabled' }, nothing, 'nft'],
    [{ NFTablesMode: 'Disabled' }, kubelet('legacy'), 'legacy'],
    [{ NFTablesMode: 'Disabled', IptablesBackend: 'nft' }, kubelet('legacy'), 'nft'],
    [{ IptablesBackend: 'nft' }, kubeProxy('legacy'), 'nft'],
  ] as const) {
    const node = new Node(new FakeHost(), new FakeTools(), environment);
    prepare(node.tools);
    await node.start();
    assert.equal(node.choice(), expected, JSON.stringify(environment));
    await node.dataplane.stop();
  }
});

test('kube-proxy in nftables mode means nftables', async () => {
  const node = new Node();
  const table = { family: 'ip', name: 'kube-proxy' } as const;
  expect(await node.kernel.nftables.apply([{ op: 'add-table', table }]), 'kube-proxy');
  node.tools.foreign('legacy', 4, 'nat', ':KUBE-SERVICES - [0:0]');
  await node.start();
  assert.equal(node.choice(), 'nftables');
  await node.dataplane.stop();
});

test('where nothing of iptables is in use no program is run', async () => {
  const node = new Node();
  await node.start();
  assert.deepEqual(node.tools.calls, []);
  await node.dataplane.stop();
});

test('what the other back end left goes when the new one stands, in both directions', async () => {
  const host = new FakeHost();
  const tools = new FakeTools();
  const first = new Node(host, tools);
  await first.start();
  assert.deepEqual([await first.hasNft(), first.hasIptables('legacy')], [true, false]);
  await first.dataplane.stop();

  const second = new Node(host, tools, { NFTablesMode: 'Disabled', IptablesBackend: 'legacy' });
  const standing: boolean[] = [];
  second.onTransaction = () => standing.push(second.hasIptables('legacy'));
  await second.start();
  assert.deepEqual([await second.hasNft(), second.hasIptables('legacy')], [false, true]);
  assert.ok(standing.length > 0 && standing.every(Boolean), 'nftables is touched when iptables stands');
  await second.dataplane.stop();

  const third = new Node(host, tools, { NFTablesMode: 'Disabled', IptablesBackend: 'nft' });
  await third.start();
  assert.deepEqual([third.hasIptables('legacy'), third.hasIptables('nft')], [false, true]);
  assert.equal(tools.chain('legacy', 4, 'filter', 'FORWARD')?.length, 0);
  await third.dataplane.stop();

  const fourth = new Node(host, tools);
  expect(
    await fourth.kernel.nftables.apply([{ op: 'add-table', table: { family: 'ip', name: 'filter' } }]),
    'table',
  );
  await fourth.start();
  assert.deepEqual([await fourth.hasNft(), fourth.hasIptables('nft')], [true, false]);
  assert.equal(tools.sets.size, 0);
  await fourth.dataplane.stop();
});

test('FX-153: another NFTablesMode changes the back end while the agent runs', async () => {
  const node = new Node();
  await node.start();
  const configure = async (spec: object): Promise<void> => {
    node.update(set('FelixConfiguration', { name: 'default' }, spec));
    await node.dataplane.idle();
  };
  await configure({ nftablesMode: 'Disabled', iptablesBackend: 'Legacy' });
  assert.equal(node.choice(), 'legacy');
  assert.deepEqual([await node.hasNft(), node.hasIptables('legacy')], [false, true]);
  node.update(pod('db', '10.244.1.3/32'));
  await node.dataplane.idle();
  assert.ok(node.tools.chain('legacy', 4, 'filter', 'cali-tw-calidb'));
  await configure({ nftablesMode: 'Enabled' });
  assert.deepEqual(
    [node.choice(), await node.hasNft(), node.hasIptables('legacy')],
    ['nftables', true, false],
  );
  await configure({ nftablesMode: 'Disabled', iptablesBackend: 'Legacy' });
  assert.deepEqual([await node.hasNft(), node.hasIptables('legacy')], [false, true]);
  await node.dataplane.stop();
});
