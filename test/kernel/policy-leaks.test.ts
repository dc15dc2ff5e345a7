// Policies that are applied and deleted in a loop leave nothing behind: no set, chain or element in the kernel, no memory in
// Felix. POLICY_LOOP says how many (200, at night 10,000); the iptables back end, which writes with tools, gets a tenth.
import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { CalculationGraph, type CalcUpdate } from '../../src/felix/calc/mod.ts';
import { Dataplane, systemRunner } from '../../src/felix/dataplane/mod.ts';
import { expect } from '../../src/lib/result.ts';
import { TestNode, unable } from './support/felix-node.ts';
import { choosing, unableIptables } from './support/iptables.ts';

const loop = Number(process.env['POLICY_LOOP'] ?? '200');
/** Alive at once. */
const alive = 25;
/** Heap that may come to it between the middle and the end: caches that are bounded, compiled code. */
const slackBytes = 6 * 1024 * 1024;

type BackEnd = 'nftables' | 'iptables-legacy' | 'iptables-nft';
const backEnds: readonly {
  readonly name: BackEnd;
  readonly skip: string | false;
  readonly environment: Readonly<Record<string, string>>;
  readonly count: number;
}[] = [
  {
    name: 'nftables',
    skip: unable('nft') ?? false,
    environment: { NFTablesMode: 'Enabled' },
    count: loop,
  },
  ...(['legacy', 'nft'] as const).map((variant) => ({
    name: `iptables-${variant}` as const,
    skip: unableIptables(variant) ?? (false as const),
    environment: choosing(variant),
    count: Math.ceil(loop / 10),
  })),
];

for (const { name, skip, environment, count } of backEnds)
  test(`FX-005: ${count} policies applied and deleted in a loop leave no set, chain or memory behind: ${name}`, {
    skip,
    timeout: 3_600_000,
  }, async () => {
    await using node = await TestNode.make();
    const graph = new CalculationGraph({ nodeName: 'n1', policy: true, environment });
    const dataplane = new Dataplane({
      kernel: node.kernel,
      policy: true,
      commands: systemRunner({ netns: node.path('node') }),
      everything: () => graph.everything(),
    });
    const update = (kind: string, object: string, spec: object | undefined, labels: object = {}): void =>
      graph.update(
        (spec === undefined
          ? { type: 'delete', kind, name: { name: object } }
          : {
              type: 'set',
              kind,
              object: {
                apiVersion: 'projectcalico.org/v3',
                kind,
                metadata: {
                  name: object,
                  labels,
                  ...(kind === 'WorkloadEndpoint' ? { namespace: 'default' } : {}),
                },
                spec,
              },
            }) as unknown as CalcUpdate,
      );
    const settle = async (): Promise<void> => {
      dataplane.apply(graph.flush());
      await dataplane.idle();
    };
    for (const [i, endpoint] of ['a', 'b'].entries())
      update(
        'WorkloadEndpoint',
        endpoint,
        {
          node: 'n1',
          orchestrator: 'k8s',
          interfaceName: `cali${endpoint}`,
          ipNetworks: [`10.244.1.${i + 2}/32`, `fd00::${i + 2}/128`],
          profiles: [],
          containerID: endpoint,
          ports: [{ name: 'http', protocol: 'TCP', port: 80 }],
        },
        { app: endpoint },
      );
    dataplane.apply(graph.flush());
    expect(await dataplane.start(), 'start');
    await settle();
    try {
      const before = await listing(node, name);
      let middle = 0;
      for (let i = 0; i < count + alive; i++) {
        if (i < count) {
          update(
            'GlobalNetworkSet',
            `s${i}`,
            { nets: [`172.16.${i % 250}.0/24`, '10.9.9.9/32'] },
            { set: `s${i}` },
          );
          update('GlobalNetworkPolicy', `p${i}`, policy(i));
        }
        if (i >= alive) {
          update('GlobalNetworkPolicy', `p${i - alive}`, undefined);
          update('GlobalNetworkSet', `s${i - alive}`, undefined);
        }
        if (i % 5 === 0 || i === count + alive - 1) await settle();
        if (i === count >> 1) middle = heapBytes();
      }
      await settle();
      assert.deepEqual(await listing(node, name), before);
      const grown = heapBytes() - middle;
      assert.ok(grown < slackBytes, `the heap grew by ${grown} bytes over ${count >> 1} policies`);
      const { nftables, iptables } = dataplane.status();
      assert.deepEqual((iptables ?? nftables).unfinished, []);
    } finally {
      await dataplane.stop();
    }
  });

/** Of every kind: selectors, networks, named ports, ranges, Pass and Log, both directions. */
const policy = (i: number): object => ({
  order: i % 7,
  selector: i % 3 === 0 ? 'all()' : `app == "${i % 2 === 0 ? 'a' : 'b'}"`,
  types: ['Ingress', 'Egress'],
  ingress: [
    {
      action: (['Allow', 'Deny', 'Pass', 'Log'] as const)[i % 4],
      protocol: 'TCP',
      source: { selector: `set == "s${i}"`, ...(i % 5 === 0 ? { nets: ['192.168.0.0/16'] } : {}) },
      destination: { ports: i % 2 === 0 ? ['http', 8080] : ['1000:2000', i % 60_000] },
    },
  ],
  egress: [{ action: 'Allow', protocol: 'UDP', destination: { selector: `set == "s${i}"`, ports: [53] } }],
});

/** What the kernel holds of rules and sets, without counts and without what only says when it was made. */
async function listing(node: TestNode, backEnd: BackEnd): Promise<readonly string[]> {
  const commands: readonly (readonly string[])[] =
    backEnd === 'nftables'
      ? [['nft', 'list', 'ruleset']]
      : [
          [`${backEnd}-save`],
          [`${backEnd.replace('iptables', 'ip6tables')}-save`],
          ['ipset', 'list', '-output', 'save'],
        ];
  const lines: string[] = [];
  for (const command of commands) {
    const { output } = await node.run('node', [...command]);
    for (const line of output.split('\n'))
      if (!line.startsWith('#'))
        lines.push(
          line
            .replace(/counter packets \d+ bytes \d+/, 'counter')
            .replace(/\[\d+:\d+\]/, '')
            // Programs and what is said of them are named by the first policies that they were made of.
            .replace(/-[0-9a-f]{12}(x\d+)?\b/g, '-PROGRAM')
            .replace(/(goto (program|rule)-\S+ comment )"cali:[\w-]{16}/, '$1"')
            .replace(/hashsize \d+|initval 0x[0-9a-f]+|bucketsize \d+/g, ''),
        );
  }
  return lines.toSorted();
}

/** With all garbage collected. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}
