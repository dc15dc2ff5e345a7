// The same changes of policy with both back ends, and by hand with Calico's chains: for benchmarks. One calculation that
// knows the whole cluster feeds a data plane in a namespace of its own for each layout; a change is timed from the resource
// until the kernel has all of it. By hand means one iptables-restore, or one ipset, with nothing but the change in it, on
// the rules that the iptables back end has laid out: less than that no user of these tools can pay.
import { execFileSync } from 'node:child_process';
import { CalculationGraph, type CalcUpdate } from '../../src/felix/calc/mod.ts';
import { Dataplane, systemRunner } from '../../src/felix/dataplane/mod.ts';
import { createNamedNamespace, deleteNamedNamespace, openKernel } from '../../src/kernel/mod.ts';
import { expect } from '../../src/lib/result.ts';

export type Cluster = { readonly endpoints: number; readonly local: number; readonly applications: number };
type Change = 'one rule' | 'one member' | 'one policy for all local endpoints, made' | '…, deleted';
export type PeerTimes = { readonly layout: string; readonly change: string; readonly ms: readonly number[] };
type Acts = {
  readonly act: (i: number) => void;
  readonly undo?: (i: number) => void;
  readonly first?: () => void;
};
type Tool = 'legacy' | 'nft';
type Restore = 'iptables-legacy-restore' | 'iptables-nft-restore';

const nodeName = 'node1';

export class PeerBench {
  readonly #cluster: Cluster;
  readonly #graph = new CalculationGraph({
    nodeName,
    blackholeProtocol: 12,
    policy: true,
    environment: { Ipv6Support: 'false', IptablesPostWriteCheckIntervalSecs: '0' },
  });

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    const all = { action: 'Allow', source: {}, destination: {} };
    this.#set('Profile', 'open', { ingress: [all], egress: [all] });
    for (let i = 0; i < cluster.endpoints; i++) this.#endpoint(i, {});
    for (let i = 0; i < 10; i++)
      this.#policy(`base-${i}`, `app == 'app-${i}'`, [`app == 'app-${(i + 1) % cluster.applications}'`]);
    this.#rules(80);
    this.#policy('members', "pod == 'pod-1'", ["chosen == 'yes'"]);
    this.#graph.flush();
  }

  async *run(rounds: number): AsyncGenerator<PeerTimes> {
    yield* this.#layout('nftables', { nftablesMode: 'Enabled' }, rounds);
    yield* this.#layout(
      'iptables-legacy',
      { nftablesMode: 'Disabled', iptablesBackend: 'Legacy' },
      rounds,
      'legacy',
    );
    yield* this.#layout('iptables-nft', { nftablesMode: 'Disabled', iptablesBackend: 'NFT' }, rounds, 'nft');
  }

  async *#layout(layout: string, config: object, rounds: number, tool?: Tool): AsyncGenerator<PeerTimes> {
    const name = `pu${process.pid}-${layout}`;
    expect(await createNamedNamespace(name), name);
    const netns = `/run/netns/${name}`;
    const kernel = expect(await openKernel({ netns }), 'open the kernel');
    this.#set('FelixConfiguration', 'default', config);
    this.#graph.flush();
    const dataplane = new Dataplane({
      kernel,
      policy: true,
      commands: systemRunner({ netns }),
      everything: () => this.#graph.everything(),
    });
    try {
      dataplane.apply(this.#graph.everything());
      expect(await dataplane.start(), 'start');
      await settled(dataplane);
      for (const [change, act] of this.#changes())
        yield { layout, change, ms: await this.#timed(dataplane, rounds, act) };
      if (tool !== undefined) yield* byHand(layout, name, tool, rounds);
    } finally {
      await dataplane.stop();
      await kernel.close();
      await deleteNamedNamespace(name);
    }
  }

  /** Making and deleting take turns, and count apart. */
  #changes(): readonly (readonly [Change, Acts])[] {
    const { local } = this.#cluster;
    const all = { selector: 'has(pod)', peers: ["app == 'app-7'"] };
    return [
      ['one rule', { act: (i) => this.#rules(1000 + i) }],
      ['one member', { act: (i) => this.#endpoint(local + (i >> 1), i % 2 === 0 ? { chosen: 'yes' } : {}) }],
      [
        'one policy for all local endpoints, made',
        {
          act: (i) => this.#policy(`all-${i}`, all.selector, all.peers),
          undo: (i) => this.#remove(`all-${i}`),
        },
      ],
      [
        '…, deleted',
        {
          act: (i) => this.#remove(`all-${i}`),
          undo: (i) => this.#policy(`all-${i + 1}`, all.selector, all.peers),
          first: () => this.#policy('all-0', all.selector, all.peers),
        },
      ],
    ];
  }

  async #timed(dataplane: Dataplane, rounds: number, { act, undo, first }: Acts): Promise<readonly number[]> {
    const ms: number[] = [];
    const apply = async (): Promise<void> => {
      dataplane.apply(this.#graph.flush());
      await settled(dataplane);
    };
    first?.();
    await apply();
    for (let i = 0; i < rounds; i++) {
      const started = performance.now();
      act(i);
      await apply();
      ms.push(performance.now() - started);
      undo?.(i);
      if (undo !== undefined) await apply();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return ms;
  }

  #update(update: object): void {
    this.#graph.update(update as unknown as CalcUpdate);
  }

  #set(kind: string, name: string, spec: object, more: object = {}): void {
    const object = { apiVersion: 'projectcalico.org/v3', kind, metadata: { name, ...more }, spec };
    this.#update({ type: 'set', kind, object });
  }

  #remove(policy: string): void {
    this.#update({ type: 'delete', kind: 'GlobalNetworkPolicy', name: { name: policy } });
  }

  #rules(port: number): void {
    const peers = Array.from({ length: 10 }, (_, i) => `app == 'app-${i}'`);
    this.#policy('rules', "pod == 'pod-0'", peers, port);
  }

  #policy(name: string, selector: string, peers: readonly string[], port = 80): void {
    this.#set('GlobalNetworkPolicy', name, {
      selector,
      types: ['Ingress'],
      ingress: peers.map((peer) => ({
        action: 'Allow',
        protocol: 'TCP',
        source: { selector: peer },
        destination: { ports: [port] },
      })),
    });
  }

  #endpoint(i: number, more: Readonly<Record<string, string>>): void {
    const { local, applications } = this.#cluster;
    const isLocal = i < local;
    const network = isLocal
      ? `10.244.0.${i + 1}/32`
      : `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}/32`;
    const labels = { app: `app-${i % applications}`, ...(isLocal ? { pod: `pod-${i}` } : {}), ...more };
    this.#set(
      'WorkloadEndpoint',
      `n-k8s-pod--${i}-eth0`,
      {
        node: isLocal ? nodeName : `node-${i % 500}`,
        orchestrator: 'k8s',
        pod: `pod-${i}`,
        endpoint: 'eth0',
        containerID: `c${i}`,
        interfaceName: `cali${i}`,
        ipNetworks: [network],
        profiles: ['open'],
      },
      { namespace: 'bench', labels },
    );
  }
}

/** All rules are in the kernel. */
async function settled(dataplane: Dataplane): Promise<void> {
  for (;;) {
    await dataplane.idle();
    const { nftables, iptables } = dataplane.status();
    const { synced, counts } = iptables ?? nftables;
    if (synced && counts.pending === 0 && counts.errors === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function* byHand(layout: string, netns: string, tool: Tool, rounds: number): AsyncGenerator<PeerTimes> {
  const restore: Restore = `iptables-${tool}-restore`;
  const run = (command: string, args: readonly string[], input = ''): string =>
    execFileSync('nsenter', [`--net=/run/netns/${netns}`, '--', command, ...args], {
      input,
      encoding: 'utf8',
    });
  const timed = (
    act: (i: number) => void,
    undo: (i: number) => void = () => undefined,
  ): readonly number[] => {
    const ms: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const started = performance.now();
      act(i);
      ms.push(performance.now() - started);
      undo(i);
    }
    return ms;
  };
  const filter = (...lines: readonly string[]): void =>
    void run(restore, ['--noflush', '--wait', '10'], `*filter\n${lines.join('\n')}\nCOMMIT\n`);
  const saved = run(`iptables-${tool}-save`, ['-t', 'filter']).split('\n');
  const ruleOf = saved.find((line) => line.includes('-A cali-pi-') && line.includes('--dports'));
  const chain = /-A (\S+)/.exec(ruleOf ?? '')?.[1];
  const set = /--match-set (\S+)/.exec(ruleOf ?? '')?.[1];
  if (ruleOf === undefined || chain === undefined || set === undefined)
    throw new Error('no rule of a policy was found');
  const towards = saved.flatMap((line) => /^:(cali-tw-\S+)/.exec(line)?.[1] ?? []);
  const all = `${layout}, by hand`;
  const replaced = (port: number): string =>
    ruleOf.replace(`-A ${chain}`, `-R ${chain} 1`).replace(/--dports \S+/, `--dports ${port}`);
  yield { layout: all, change: 'one rule', ms: timed((i) => filter(replaced(1000 + i))) };
  yield {
    layout: all,
    change: 'one member',
    ms: timed((i) => void run('ipset', [i % 2 === 0 ? 'add' : 'del', set, '12.0.0.1'])),
  };
  const make = (i: number): void =>
    filter(
      `:hand-${i} - [0:0]`,
      `-A hand-${i} -p tcp -m set --match-set ${set} src -m multiport --dports 80 -j MARK --set-xmark 0x10000/0x10000`,
      ...towards.map((one) => `-I ${one} 3 -m comment --comment all-${i} -j hand-${i}`),
    );
  const unmake = (i: number): void =>
    filter(
      ...towards.map((one) => `-D ${one} -m comment --comment all-${i} -j hand-${i}`),
      `-F hand-${i}`,
      `-X hand-${i}`,
    );
  yield { layout: all, change: 'one policy for all local endpoints, made', ms: timed(make, unmake) };
  const deleted: number[] = [];
  for (let i = 0; i < rounds; i++) {
    make(i);
    const started = performance.now();
    unmake(i);
    deleted.push(performance.now() - started);
  }
  yield { layout: all, change: '…, deleted', ms: deleted };
}
