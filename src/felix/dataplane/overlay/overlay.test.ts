// The overlay on the fake kernel: from pools, nodes and blocks to devices, entries, programs and routes, and back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address, Prefix } from '../../../lib/ip/mod.ts';
import { expect } from '../../../lib/result.ts';
import { FakeHost, type Kernel, mainTable } from '../../../kernel/mod.ts';
import { CalculationGraph, type CalcUpdate, type PolicyUpdate } from '../../calc/mod.ts';
import { Dataplane } from '../dataplane.ts';

type Update = CalcUpdate | PolicyUpdate;
const set = (kind: string, name: string, spec: object): Update =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec },
  }) as unknown as Update;
const pool = (modes: object, cidr = '10.244.0.0/16', name = 'p'): Update =>
  set('IPPool', name, { cidr, ...modes });
const node = (name: string, address: string, more: { ipip?: string; vxlan?: string } = {}): Update =>
  set('Node', name, {
    bgp: { ipv4Address: address, ...(more.ipip === undefined ? {} : { ipv4IPIPTunnelAddr: more.ipip }) },
    ...(more.vxlan === undefined ? {} : { ipv4VXLANTunnelAddr: more.vxlan }),
  });
const block = (
  cidr: string,
  owner: string,
  allocations: (number | null)[] = [],
  attributes: object[] = [],
): Update =>
  set('IPAMBlock', cidr.replaceAll(/[./]/g, '-'), {
    cidr,
    affinity: `host:${owner}`,
    allocations,
    attributes,
  });
const felix = (spec: object): Update => set('FelixConfiguration', 'default', spec);

/** n1 is the node itself; n2 in its subnet, n3 in another one. */
const cluster = [
  node('n1', '10.0.0.1/24', { ipip: '10.244.1.1', vxlan: '10.244.1.1' }),
  node('n2', '10.0.0.2/24', { ipip: '10.244.2.1', vxlan: '10.244.2.1' }),
  node('n3', '10.9.0.3/24', { ipip: '10.244.3.1', vxlan: '10.244.3.1' }),
  block('10.244.1.0/26', 'n1'),
  block('10.244.2.0/26', 'n2'),
  block('10.244.3.0/26', 'n3'),
];

class Bench {
  readonly kernel: Kernel;
  readonly graph = new CalculationGraph({ nodeName: 'n1', blackholeProtocol: 12, policy: true });
  readonly dataplane: Dataplane;

  constructor(host = new FakeHost()) {
    this.kernel = host.kernel();
    this.dataplane = new Dataplane({ kernel: this.kernel });
  }

  /** A node with eth0 10.0.0.1/24. */
  static async start(updates: readonly Update[], host?: FakeHost): Promise<Bench> {
    const bench = new Bench(host);
    if (expect(await bench.kernel.links.get('eth0'), 'get') === undefined) {
      const peer = { name: 'wire' };
      const eth0 = expect(
        await bench.kernel.links.create({ kind: 'veth', name: 'eth0', up: true, mtu: 1500, peer }),
        'eth0',
      );
      const address = { address: '10.0.0.1' as Address, length: 24, linkIndex: eth0.index };
      for (const outcome of await bench.kernel.addresses.apply([{ op: 'add', address }]))
        expect(outcome, 'address');
    }
    expect(await bench.dataplane.readHostInterfaces(), 'interfaces');
    bench.graph.setHostInterfaces([{ name: 'eth0', mtu: 1500, up: true }]);
    bench.update(...updates);
    expect(await bench.dataplane.start(), 'start');
    await bench.settled();
    return bench;
  }

  update(...updates: readonly Update[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  async settled(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await this.dataplane.idle();
    }
  }

  async nameOf(index: number | undefined): Promise<string> {
    const links = expect(await this.kernel.links.list(), 'links');
    return links.find((link) => link.index === index)?.name ?? '?';
  }

  async routes(): Promise<string[]> {
    const texts: string[] = [];
    for (const route of expect(await this.kernel.routes.list({ table: mainTable, family: 4 }), 'routes')) {
      if (route.protocol === 2 || route.type !== 'unicast') continue;
      const [hop] = route.nextHops;
      const via = hop?.gateway === undefined ? '' : ` via ${hop.gateway}`;
      const device = await this.nameOf(hop?.linkIndex);
      texts.push(
        `${route.dst}${via} dev ${device} proto ${route.protocol}${hop?.onlink === true ? ' onlink' : ''}`,
      );
    }
    return texts.sort();
  }

  async devices(): Promise<string[]> {
    const addresses = expect(await this.kernel.addresses.list(), 'addresses');
    return expect(await this.kernel.links.list(), 'links')
      .filter((link) => /^(vxlan|tunl0)/.test(link.name))
      .map((link) => {
        const own = addresses
          .filter((a) => a.linkIndex === link.index)
          .map((a) => `${a.address}/${a.length}`);
        return `${link.name} ${link.kind} ${link.mtu} ${link.up ? 'up' : 'down'} ${own.join()}`;
      })
      .sort();
  }

  async entries(): Promise<string[]> {
    const neighbours = expect(await this.kernel.neighbours.list(), 'neighbours');
    const fdb = expect(await this.kernel.fdb.list(), 'fdb');
    return [
      ...neighbours.map((n) => `${n.address} is ${n.mac} ${n.state}`),
      ...fdb.map((e) => `${e.mac} at ${e.remote}`),
    ].sort();
  }

  async filters(): Promise<string[]> {
    const texts: string[] = [];
    for (const link of expect(await this.kernel.links.list(), 'links'))
      for (const filter of expect(await this.kernel.filters.list(link.index), 'filters'))
        texts.push(`${link.name} ${filter.direction} ${filter.name}`);
    return texts.sort();
  }

  async unfinished(): Promise<void> {
    for (const [name, table] of Object.entries(this.dataplane.status()))
      assert.deepEqual(table.unfinished, [], name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dataplane.stop();
  }
}

const withoutIpip = (): FakeHost => {
  const host = new FakeHost();
  host.withoutKind('ipip');
  return host;
};

test('FX-077 FX-090 SR-113…SR-115: VXLAN: device, MACs, entries and routes; away when no pool wants it', async () => {
  await using bench = await Bench.start([pool({ vxlanMode: 'Always' }), ...cluster]);
  assert.deepEqual(await bench.devices(), ['vxlan.calico vxlan 1450 up 10.244.1.1/32']);
  const device = expect(await bench.kernel.links.get('vxlan.calico'), 'device');
  const eth0 = expect(await bench.kernel.links.get('eth0'), 'eth0');
  // The beginning of a SHA-1 of "n1".
  assert.equal(device?.mac?.slice(0, 3), '66:');
  assert.deepEqual(device?.vxlan, {
    vni: 4096,
    port: 4789,
    local: '10.0.0.1',
    learning: false,
    parentIndex: eth0?.index,
  });
  assert.deepEqual(await bench.routes(), [
    '10.244.2.0/26 via 10.244.2.1 dev vxlan.calico proto 3 onlink',
    '10.244.3.0/26 via 10.244.3.1 dev vxlan.calico proto 3 onlink',
  ]);
  const entries = await bench.entries();
  assert.equal(entries.length, 4, entries.join('\n'));
  assert.equal(entries.filter((e) => e.endsWith('at 10.0.0.2') || e.endsWith('at 10.9.0.3')).length, 2);
  await bench.unfinished();
  bench.update(pool({ vxlanMode: 'Never' }));
  await bench.settled();
  assert.deepEqual([await bench.devices(), await bench.routes(), await bench.entries()], [[], [], []]);
  assert.deepEqual(await bench.filters(), []);
});

test('FX-078 FX-091 SR-092 SR-093: IPIP on a kernel that has it needs no programs', async () => {
  await using bench = await Bench.start([pool({ ipipMode: 'Always' }), ...cluster]);
  assert.deepEqual(await bench.devices(), ['tunl0 ipip 1480 up 10.244.1.1/32']);
  assert.deepEqual(await bench.routes(), [
    '10.244.2.0/26 via 10.0.0.2 dev tunl0 proto 80 onlink',
    '10.244.3.0/26 via 10.9.0.3 dev tunl0 proto 80 onlink',
  ]);
  assert.match(
    (await bench.filters()).join(),
    /^eth0 ingress calico-overlay-in-[0-9a-f]{16}$/,
    'only the doorkeeper',
  );
  bench.update(pool({ ipipMode: 'Never' }));
  await bench.settled();
  assert.deepEqual(await bench.devices(), ['tunl0 ipip 1480 down ']);
  assert.deepEqual(await bench.routes(), []);
});

test('FX-091: IPIP on a kernel without it: a stand-in with programs, which follow the nodes', async () => {
  await using bench = await Bench.start([pool({ ipipMode: 'Always' }), ...cluster], withoutIpip());
  assert.deepEqual(await bench.devices(), ['tunl0 ifb 1480 up 10.244.1.1/32']);
  const filters = await bench.filters();
  assert.match(filters[0] ?? '', /^eth0 ingress calico-overlay-in-[0-9a-f]{16}$/);
  assert.match(filters[1] ?? '', /^tunl0 egress calico-overlay-out-[0-9a-f]{16}$/);
  bench.update(node('n4', '10.9.0.4/24'));
  await bench.settled();
  const more = await bench.filters();
  assert.notEqual(more[0], filters[0], 'a new node is let in');
  assert.equal(more[1], filters[1]);
  await bench.unfinished();
  bench.update(pool({ ipipMode: 'Never' }));
  await bench.settled();
  assert.deepEqual([await bench.devices(), await bench.routes(), await bench.filters()], [[], [], []]);
});

test('SR-096 SR-116 FX-077 FX-078: CrossSubnet goes straight to nodes of the own subnet', async () => {
  await using bench = await Bench.start([pool({ ipipMode: 'CrossSubnet' }), ...cluster]);
  assert.deepEqual(await bench.routes(), [
    '10.244.2.0/26 via 10.0.0.2 dev eth0 proto 80 onlink',
    '10.244.3.0/26 via 10.9.0.3 dev tunl0 proto 80 onlink',
  ]);
  bench.update(pool({ vxlanMode: 'CrossSubnet' }));
  await bench.settled();
  assert.deepEqual(await bench.routes(), [
    '10.244.2.0/26 via 10.0.0.2 dev eth0 proto 80 onlink',
    '10.244.3.0/26 via 10.244.3.1 dev vxlan.calico proto 3 onlink',
  ]);
});

test('several pools with different modes, side by side', async () => {
  await using bench = await Bench.start([
    pool({ ipipMode: 'Always' }, '10.244.2.0/24', 'a'),
    pool({ vxlanMode: 'Always' }, '10.244.3.0/24', 'b'),
    pool({}, '10.244.1.0/24', 'c'),
    ...cluster,
  ]);
  assert.deepEqual(await bench.routes(), [
    '10.244.2.0/26 via 10.0.0.2 dev tunl0 proto 80 onlink',
    '10.244.3.0/26 via 10.244.3.1 dev vxlan.calico proto 3 onlink',
  ]);
});

test('FX-079 RS-166: programClusterRoutes says which routes are ours', async () => {
  await using bench = await Bench.start([
    felix({ programClusterRoutes: 'Disabled' }),
    pool({ ipipMode: 'Always' }),
    ...cluster,
  ]);
  assert.deepEqual(await bench.routes(), []);
  assert.deepEqual(await bench.devices(), ['tunl0 ipip 1480 up 10.244.1.1/32'], 'for the routes of others');
  bench.update(felix({ programClusterRoutes: 'EnabledIPIPOnly' }));
  await bench.settled();
  assert.equal((await bench.routes()).length, 2);
  bench.update(pool({}), felix({ programClusterRoutes: 'EnabledNoEncapOnly' }));
  await bench.settled();
  assert.deepEqual(
    await bench.routes(),
    ['10.244.2.0/26 via 10.0.0.2 dev eth0 proto 80 onlink'],
    'n3 is not near',
  );
  bench.update(felix({ programClusterRoutes: 'Enabled' }));
  await bench.settled();
  assert.equal((await bench.routes()).length, 1);
});

test('borrowed addresses have routes of their own, also when they are a tunnel’s', async () => {
  const borrowed = block('10.244.2.0/26', 'n2', [null, null, 0], [{ secondary: { node: 'n3' } }]);
  await using bench = await Bench.start([
    pool({ vxlanMode: 'Always' }),
    ...cluster,
    borrowed,
    node('n3', '10.9.0.3/24', { vxlan: '10.244.2.2' }),
  ]);
  assert.deepEqual(await bench.routes(), [
    '10.244.2.0/26 via 10.244.2.1 dev vxlan.calico proto 3 onlink',
    '10.244.2.2/32 dev vxlan.calico proto 3',
    '10.244.3.0/26 via 10.244.2.2 dev vxlan.calico proto 3 onlink',
  ]);
});

test('FX-094: what an earlier run left goes; what fits stays untouched', async () => {
  const host = withoutIpip();
  const first = await Bench.start([pool({ ipipMode: 'Always' }), ...cluster], host);
  await first.dataplane.stop();
  const second = await Bench.start([pool({ ipipMode: 'Always' }), ...cluster], host);
  for (const [name, { counters }] of Object.entries(second.dataplane.status()))
    assert.deepEqual([counters.puts, counters.removes], [name === 'sysctls' ? counters.puts : 0, 0], name);
  await second.dataplane.stop();
  await using third = await Bench.start([pool({ vxlanMode: 'Always' }), ...cluster], host);
  assert.deepEqual(await third.devices(), ['vxlan.calico vxlan 1450 up 10.244.1.1/32']);
  assert.equal((await third.filters()).length, 1, 'the doorkeeper');
  assert.ok((await third.routes()).every((route) => route.includes('vxlan.calico')));
});

test('FX-093 NM-040 NM-041: the MTU of a device follows the parameter, and a device of other form is made anew', async () => {
  await using bench = await Bench.start([pool({ vxlanMode: 'Always' }), ...cluster]);
  assert.equal(bench.graph.state().mtus.pod, 1450);
  bench.update(felix({ vxlanMTU: 1400 }));
  await bench.settled();
  assert.deepEqual(await bench.devices(), ['vxlan.calico vxlan 1400 up 10.244.1.1/32']);
  bench.update(felix({ vxlanPort: 8472, vxlanVNI: 7 }));
  await bench.settled();
  const device = expect(await bench.kernel.links.get('vxlan.calico'), 'device');
  assert.deepEqual([device?.vxlan?.port, device?.vxlan?.vni], [8472, 7]);
  assert.equal((await bench.entries()).length, 4);
  assert.equal((await bench.routes()).length, 2);
  await bench.unfinished();
});

test('FX-155: tunnels are as the pools say, or on or off for good; MTU, port and VNI are the host’s and Calico’s, or as given', async () => {
  await using bench = await Bench.start([pool({ ipipMode: 'Always' }), ...cluster]);
  assert.deepEqual(await bench.devices(), ['tunl0 ipip 1480 up 10.244.1.1/32']);
  bench.update(felix({ ipipMTU: 1400 }));
  await bench.settled();
  assert.deepEqual(await bench.devices(), ['tunl0 ipip 1400 up 10.244.1.1/32']);
  bench.update(
    felix({ ipipEnabled: false, vxlanEnabled: true, vxlanMTU: 1300, vxlanPort: 4790, vxlanVNI: 99 }),
  );
  await bench.settled();
  const devices = (await bench.devices()).filter((text) => !/tunl0 ipip \d+ down/.test(text));
  assert.deepEqual(devices, ['vxlan.calico vxlan 1300 up 10.244.1.1/32']);
  const device = expect(await bench.kernel.links.get('vxlan.calico'), 'device');
  assert.deepEqual([device?.vxlan?.port, device?.vxlan?.vni], [4790, 99]);
  bench.update(
    felix({ ipipMTU: 0, vxlanMTU: 0, vxlanMTUV6: 1280, wireguardMTU: 1320, wireguardMTUV6: 1281 }),
  );
  await bench.settled();
  const { ipip, vxlan, vxlanV6, wireguard, wireguardV6 } = bench.graph.state().mtus;
  assert.deepEqual([ipip, vxlan, vxlanV6, wireguard, wireguardV6], [1480, 1450, 1280, 1320, 1281]);
});

test('FX-080: for one block a route of the overlay comes before a blackhole, and that is back after it', async () => {
  await using bench = await Bench.start([
    pool({ vxlanMode: 'Always' }),
    ...cluster,
    set('BlockAffinity', 'stale', { cidr: '10.244.2.0/26', node: 'n1', state: 'confirmed' }),
  ]);
  const typeOf = async (): Promise<string | undefined> =>
    expect(await bench.kernel.routes.list({ table: mainTable, family: 4 }), 'routes').find(
      (route) => route.dst === '10.244.2.0/26',
    )?.type;
  assert.equal(await typeOf(), 'unicast');
  bench.update({ type: 'delete', kind: 'IPAMBlock', name: { name: '10-244-2-0-26' } });
  await bench.settled();
  assert.equal(await typeOf(), 'blackhole');
});

test('FX-084: RouteSource WorkloadIPs makes routes to single workloads', async () => {
  const remote = set('WorkloadEndpoint', 'w', {
    node: 'n3',
    interfaceName: 'cali9',
    ipNetworks: ['10.244.9.9/32'],
    containerID: 'w',
  }) as { readonly object: { readonly metadata: { namespace?: string } } } & Update;
  remote.object.metadata.namespace = 'default';
  await using bench = await Bench.start([
    felix({ routeSource: 'WorkloadIPs' }),
    pool({ ipipMode: 'Always' }),
    ...cluster,
    remote,
  ]);
  assert.deepEqual(
    (await bench.routes()).filter((route) => route.startsWith('10.244.9')),
    ['10.244.9.9/32 via 10.9.0.3 dev tunl0 proto 80 onlink'],
  );
});

test('drift: what others change is put right at once', async () => {
  await using bench = await Bench.start([pool({ vxlanMode: 'Always' }), ...cluster]);
  const before = [await bench.devices(), await bench.routes(), await bench.entries()];
  const device = expect(await bench.kernel.links.get('vxlan.calico'), 'device');
  assert.ok(device);
  const neighbours = expect(await bench.kernel.neighbours.list({ linkIndex: device.index }), 'neighbours');
  await bench.kernel.neighbours.apply(neighbours.map((neighbour) => ({ op: 'delete' as const, neighbour })));
  const fdb = expect(await bench.kernel.fdb.list(device.index), 'fdb');
  await bench.kernel.fdb.apply(fdb.map((entry) => ({ op: 'delete' as const, entry })));
  await bench.kernel.links.change(device.index, { mtu: 1300, up: false });
  await bench.settled();
  assert.deepEqual([await bench.devices(), await bench.routes(), await bench.entries()], before);
  await bench.kernel.links.delete([device.index]);
  await bench.settled();
  assert.deepEqual([await bench.devices(), await bench.routes(), await bench.entries()], before);
  // A route of somebody else over our device.
  const now = expect(await bench.kernel.links.get('vxlan.calico'), 'device');
  await bench.kernel.routes.apply([
    {
      op: 'add',
      route: {
        dst: '10.250.0.0/24' as Prefix,
        table: mainTable,
        type: 'unicast',
        scope: 'link',
        priority: 0,
        protocol: 4,
        nextHops: [{ linkIndex: now?.index ?? 0 }],
      },
    },
  ]);
  await bench.settled();
  assert.deepEqual(await bench.routes(), before[1]);
});
