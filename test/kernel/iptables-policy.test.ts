// The iptables back end on the real kernel: pods' packets, other programs' rules, restarts, and the change of back ends.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { CalculationGraph, type CalcUpdate, type PolicyUpdate } from '../../src/felix/calc/mod.ts';
import { Dataplane, systemRunner } from '../../src/felix/dataplane/mod.ts';
import { TestNode, unable } from './support/felix-node.ts';
import { choosing, unableIptables, variants, type Variant } from './support/iptables.ts';

type Update = CalcUpdate | PolicyUpdate;
const set = (kind: string, metadata: object, spec: object): Update =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata, spec },
  }) as unknown as Update;
const endpoint = (name: string, address: string): Update =>
  set(
    'WorkloadEndpoint',
    { name, namespace: 'default', labels: { app: name } },
    {
      node: 'n1',
      interfaceName: `cali${name}`,
      ipNetworks: [`${address}/32`],
      containerID: name,
      profiles: ['projectcalico-default-allow'],
    },
  );
const policy = (name: string, spec: object): Update => set('GlobalNetworkPolicy', { name }, spec);
const configuration = (spec: object): Update => set('FelixConfiguration', { name: 'default' }, spec);
const pool = set('IPPool', { name: 'p' }, { cidr: '10.244.0.0/16', natOutgoing: true });
const onlyFromB = policy('only-from-b', {
  selector: "app == 'a'",
  types: ['Ingress'],
  ingress: [{ action: 'Allow', source: { selector: "app == 'b'" } }],
});

class Felix {
  readonly graph: CalculationGraph;
  readonly dataplane: Dataplane;

  constructor(node: TestNode, environment: Readonly<Record<string, string>>) {
    this.graph = new CalculationGraph({ nodeName: 'n1', blackholeProtocol: 12, policy: true, environment });
    this.dataplane = new Dataplane({
      kernel: node.kernel,
      policy: true,
      commands: systemRunner({ netns: node.path('node') }),
      everything: () => this.graph.everything(),
    });
  }

  async start(...updates: readonly Update[]): Promise<void> {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
    expect(await this.dataplane.start(), 'start');
    await this.settled();
  }

  async update(...updates: readonly Update[]): Promise<void> {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
    await this.settled();
  }

  async settled(): Promise<void> {
    const isDone = await until(
      async () => {
        await this.dataplane.idle();
        const tables = Object.values(this.dataplane.status());
        return tables.every(({ synced, unfinished }) => synced && unfinished.length === 0) ? true : undefined;
      },
      { timeoutMs: 60_000 },
    );
    assert.ok(isDone, JSON.stringify(this.dataplane.status()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dataplane.stop();
  }
}

async function threePods(): Promise<TestNode> {
  const node = await TestNode.make();
  await node.pod('a', '10.244.1.2');
  await node.pod('b', '10.244.1.3');
  await node.pod('c', '10.244.1.4');
  return node;
}
const pods = [
  pool,
  endpoint('a', '10.244.1.2'),
  endpoint('b', '10.244.1.3'),
  endpoint('c', '10.244.1.4'),
  onlyFromB,
];

const tool = async (node: TestNode, ...command: readonly string[]): Promise<string> => {
  const { code, output } = await node.run('node', command);
  assert.equal(code, 0, output);
  return output;
};

/** Sends echo requests the whole while; gives how many were sent and how many answered. A machine that is busy answers late:
 *  who expects answers waits longer for the last. */
async function pinged(
  node: TestNode,
  from: 'b' | 'c',
  count: number,
): Promise<{ readonly sent: number; readonly answered: number }> {
  const wait = from === 'b' ? '4' : '1';
  const flags = ['-n', '-i', '0.005', '-c', String(count), '-W', wait];
  const { output } = await node.run(from, ['ping', ...flags, '10.244.1.2']);
  const [, sent, answered] = /(\d+) packets transmitted, (\d+) received/.exec(output) ?? [];
  return { sent: Number(sent), answered: Number(answered) };
}

for (const variant of variants) {
  const skip = unableIptables(variant) ?? false;
  const save = (node: TestNode, ...more: readonly string[]) =>
    tool(node, `iptables-${variant}-save`, ...more);
  const iptables = (node: TestNode, ...words: readonly string[]) =>
    tool(node, `iptables-${variant}`, ...words);

  test(`FX-043, FX-044, FX-045, FX-058, FX-065, SR-013, ${variant}: pods reach what policy allows, the world sees the node`, {
    skip,
  }, async () => {
    await using node = await threePods();
    await using felix = new Felix(node, choosing(variant));
    await felix.start(...pods);
    assert.ok(await node.pingWorks('b', '10.244.1.2'), 'b is allowed');
    assert.equal(await node.ping('c', '10.244.1.2'), undefined, 'c is not');
    assert.ok(await node.pingWorks('node', '10.244.1.2'), 'a host reaches its own pods');
    assert.equal(await node.ping('c', '10.0.0.1'), undefined, 'DefaultEndpointToHostAction is Drop');
    // 10.0.0.254 has no route to pods: it answers the node.
    assert.ok(await node.pingWorks('c', '10.0.0.254'), 'nat-outgoing');
    await felix.update(configuration({ defaultEndpointToHostAction: 'Accept' }));
    assert.ok(await node.pingWorks('c', '10.0.0.1'), 'to the host');
    assert.equal((await tool(node, 'nft', 'list', 'tables')).includes('calico'), false);
    const chains = (await save(node, '-t', 'filter')).match(/^:cali-\S*calia(?= )/gm);
    assert.deepEqual(chains?.toSorted(), [':cali-fw-calia', ':cali-tw-calia'], "by the interface's name");
  });

  test(`FX-020, FX-040, SR-023, ${variant}: an interface without an endpoint is closed, and a pod cannot send as another`, {
    skip,
  }, async () => {
    await using node = await threePods();
    await node.pod('d', '10.244.1.5');
    await using felix = new Felix(node, choosing(variant));
    await felix.start(...pods);
    node.ip('node', 'route add 10.244.1.5/32 dev calid');
    assert.equal(await node.ping('d', '10.244.1.3'), undefined, 'from it');
    assert.equal(await node.ping('b', '10.244.1.5'), undefined, 'to it');
    await felix.update(endpoint('d', '10.244.1.5'));
    assert.ok(await node.pingWorks('d', '10.244.1.3'), 'with an endpoint');
    assert.ok(await node.pingWorks('c', '10.244.1.3'), 'its own address');
    node.ip('c', 'addr add 10.244.1.3/32 dev eth0');
    const { output } = await node.run('c', [
      'ping',
      '-n',
      '-c',
      '1',
      '-W',
      '1',
      '-I',
      '10.244.1.3',
      '10.244.1.2',
    ]);
    assert.match(output, / 0 received/);
    const counted = await save(node, '-c', '-t', 'raw');
    assert.match(counted, /\[[1-9]\d*:\d+\] -A cali-PREROUTING [^\n]*rpfilter/);
  });

  test(`FX-017, FX-018, FX-019, ${variant}: rules of others survive, and what they take from ours is put back`, {
    skip,
  }, async () => {
    await using node = await threePods();
    await iptables(node, '-N', 'DOCKER');
    await iptables(node, '-A', 'DOCKER', '-p', 'tcp', '--dport', '81', '-j', 'ACCEPT');
    await iptables(node, '-A', 'FORWARD', '-j', 'DOCKER');
    await iptables(node, '-t', 'nat', '-A', 'POSTROUTING', '-s', '172.17.0.0/16', '-j', 'MASQUERADE');
    await tool(node, 'ipset', 'create', 'mine', 'hash:ip');
    await using felix = new Felix(node, choosing(variant));
    await felix.start(...pods, configuration({ iptablesRefreshInterval: '1s' }));
    const others = (text: string) =>
      text.split('\n').filter((line) => line.startsWith('-A') && !/cali[:-]/.test(line));
    const before = others(await save(node));
    assert.deepEqual(before.toSorted(), [
      '-A DOCKER -p tcp -m tcp --dport 81 -j ACCEPT',
      '-A FORWARD -j DOCKER',
      '-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE',
    ]);
    const forward = (await save(node, '-t', 'filter'))
      .split('\n')
      .filter((line) => line.startsWith('-A FORWARD'));
    assert.match(forward[0] ?? '', /-j cali-FORWARD$/);
    assert.match(forward[1] ?? '', /-j DOCKER$/);
    await iptables(node, '-F', 'FORWARD');
    await iptables(node, '-F', 'cali-tw-calia');
    await tool(node, 'ipset', 'add', 'cali40network-ip-pools', '192.0.2.0/24');
    const isRepaired = await until(
      async () => {
        const text = await save(node, '-t', 'filter');
        const members = await tool(node, 'ipset', 'save', 'cali40network-ip-pools');
        return /-A FORWARD .*-j cali-FORWARD/.test(text) &&
          text.includes('-A cali-tw-calia') &&
          !members.includes('192.0.2.0')
          ? true
          : undefined;
      },
      { timeoutMs: 60_000 },
    );
    assert.ok(isRepaired, await save(node, '-t', 'filter'));
    assert.equal(await node.ping('c', '10.244.1.2'), undefined);
    await tool(node, 'ipset', 'list', 'mine');
  });

  test(`FX-006, ${variant}: a restart writes nothing, and no packet is lost or let through meanwhile`, {
    skip,
  }, async () => {
    await using node = await threePods();
    const first = new Felix(node, choosing(variant));
    await first.start(...pods);
    assert.ok(await node.pingWorks('b', '10.244.1.2'));
    await first.dataplane.stop();
    const strip = (text: string) => text.replace(/^#.*$/gm, '').replace(/\[\d+:\d+\]/g, '');
    const before = strip(await save(node));
    const flows = Promise.all([pinged(node, 'b', 200), pinged(node, 'c', 200)]);
    await using second = new Felix(node, choosing(variant));
    await second.start(...pods);
    const [allowed, denied] = await flows;
    assert.equal(allowed.answered, allowed.sent);
    assert.equal(denied.answered, 0);
    assert.equal(strip(await save(node)), before);
    const { counters } = second.dataplane.status().iptables ?? {};
    assert.deepEqual([counters?.puts, counters?.removes], [0, 0]);
  });

  test(`${variant}: counters of rules survive what changes around them`, { skip }, async () => {
    await using node = await threePods();
    await using felix = new Felix(node, choosing(variant));
    await felix.start(...pods);
    await node.ping('b', '10.244.1.2');
    const counted = async () =>
      /\[(\d+):\d+\] -A cali-pi-gnp\/only-from-b [^\n]*--match-set/.exec(
        await save(node, '-c', '-t', 'filter'),
      )?.[1];
    const before = await counted();
    assert.ok(Number(before) > 0, `counted ${before}`);
    await felix.update(
      policy('only-from-b', {
        selector: "app == 'a'",
        types: ['Ingress'],
        ingress: [
          { action: 'Allow', source: { selector: "app == 'b'" } },
          { action: 'Allow', protocol: 'TCP', destination: { ports: [80] } },
        ],
      }),
      policy('another', {
        selector: "app == 'a'",
        types: ['Ingress'],
        ingress: [{ action: 'Deny', protocol: 'UDP' }],
      }),
    );
    assert.equal(await counted(), before);
  });

  test(`FX-153, ${variant}: the back end changes under traffic without a gap`, {
    skip: skip === false ? (unable('nft') ?? false) : skip,
  }, async () => {
    await using node = await threePods();
    await using felix = new Felix(node, {});
    await felix.start(...pods);
    assert.ok(await node.pingWorks('b', '10.244.1.2'));
    const flows = Promise.all([pinged(node, 'b', 400), pinged(node, 'c', 400)]);
    const to = (spec: object) => felix.update(configuration(spec));
    for (let round = 0; round < 2; round++) {
      await to({ nftablesMode: 'Disabled', iptablesBackend: upper(variant) });
      assert.match(await save(node), /cali-tw-calia/);
      assert.equal((await tool(node, 'nft', 'list', 'tables')).includes('calico'), false);
      await to({ nftablesMode: 'Enabled' });
      assert.equal(/cali/.test(await save(node)), false, await save(node));
      assert.equal(await tool(node, 'ipset', 'save'), '');
      assert.equal((await tool(node, 'nft', 'list', 'tables')).includes('calico'), true);
    }
    const [allowed, denied] = await flows;
    assert.equal(allowed.answered, allowed.sent);
    assert.equal(denied.answered, 0);
  });

  test(`FX-008, ${variant}: an ipset that is full closes what looks into it`, { skip }, async () => {
    await using node = await threePods();
    await using felix = new Felix(node, choosing(variant));
    const bad = (...nets: readonly string[]): Update =>
      ({
        type: 'set',
        kind: 'GlobalNetworkSet',
        object: {
          apiVersion: 'projectcalico.org/v3',
          kind: 'GlobalNetworkSet',
          metadata: { name: 'bad', labels: { bad: '' } },
          spec: { nets },
        },
      }) as unknown as Update;
    const notFromBad = policy('not-from-bad', {
      selector: "app == 'a'",
      types: ['Ingress'],
      ingress: [{ action: 'Deny', source: { selector: 'has(bad)' } }, { action: 'Allow' }],
    });
    const [first, ...endpoints] = pods.slice(0, 4);
    assert.ok(first !== undefined);
    const small = configuration({ maxIpsetSize: 3 });
    await felix.start(small, first, ...endpoints, notFromBad, bad('10.244.1.4/32'));
    assert.ok(await node.pingWorks('b', '10.244.1.2'), 'b is not bad');
    assert.equal(await node.ping('c', '10.244.1.2'), undefined, 'c is');
    felix.graph.update(bad('10.244.1.4/32', '203.0.113.1/32', '203.0.113.2/32', '203.0.113.3/32'));
    felix.dataplane.apply(felix.graph.flush());
    await felix.dataplane.idle();
    assert.equal(await node.ping('b', '10.244.1.2'), undefined, 'nobody knows who is missing in the set');
    assert.match(JSON.stringify(felix.dataplane.status()), /Closed until the kernel takes/);
    await felix.update(bad('10.244.1.4/32'));
    assert.ok(await node.pingWorks('b', '10.244.1.2'), 'complete, and open');
  });
}

const upper = (variant: Variant): string => (variant === 'nft' ? 'NFT' : 'Legacy');
