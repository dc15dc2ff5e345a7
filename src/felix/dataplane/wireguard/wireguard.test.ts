// WireGuard on a fake kernel: what the cluster knows becomes devices, peers, rules and routes, and stays so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../../lib/result.ts';
import { until } from '../../../lib/wait.ts';
import { FakeHost, newPrivateKey, publicKeyOf, type Route } from '../../../kernel/mod.ts';
import type { Address } from '../../../lib/ip/mod.ts';
import { CalculationGraph, type CalcUpdate, type PolicyUpdate } from '../../calc/mod.ts';
import { Dataplane } from '../dataplane.ts';
import type { WireGuardStates } from './types.ts';

type Update = CalcUpdate | PolicyUpdate;
const keys = Object.fromEntries(
  ['n1', 'n2', 'n3'].map((name) => [name, publicKeyOf(newPrivateKey()) ?? '']),
) as Record<'n1' | 'n2' | 'n3', string>;
const set = (kind: string, name: string, spec: object, more: object = {}): Update =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec, ...more },
  }) as unknown as Update;
const node = (n: number, publicKey?: string, more: object = {}): Update =>
  set(
    'Node',
    `n${n}`,
    { bgp: { ipv4Address: `10.0.0.${n}/24`, ipv6Address: `2001:db8::${n}/64` }, ...more },
    {
      status:
        publicKey === undefined ? {} : { wireguardPublicKey: publicKey, wireguardPublicKeyV6: publicKey },
    },
  );
const block = (n: number, holders: Readonly<Record<number, string>> = {}): Update =>
  set('IPAMBlock', `192-168-${n}-0-29`, {
    cidr: `192.168.${n}.0/29`,
    affinity: `host:n${n}`,
    allocations: Array.from({ length: 8 }, (_, i) => (holders[i] === undefined ? null : i)),
    attributes: Array.from({ length: 8 }, (_, i) => ({ secondary: { node: holders[i] } })),
  });
const block6 = (n: number): Update =>
  set('IPAMBlock', `fd00-${n}`, {
    cidr: `fd00::${n}0/124`,
    affinity: `host:n${n}`,
    allocations: [],
    attributes: [],
  });
const config = (spec: object): Update => set('FelixConfiguration', 'default', spec);
const pools = [
  set('IPPool', 'p4', { cidr: '192.168.0.0/16', vxlanMode: 'Always' }),
  set('IPPool', 'p6', { cidr: 'fd00::/64' }),
];

class Bench {
  readonly host = new FakeHost();
  readonly graph = new CalculationGraph({ nodeName: 'n1', policy: true });
  readonly dataplane: Dataplane;
  states: WireGuardStates | undefined;

  constructor() {
    this.dataplane = new Dataplane({
      kernel: this.host.kernel(),
      onHostInterfaces: (interfaces) => this.graph.setHostInterfaces(interfaces),
      onEncryption: (states) => {
        this.states = states;
      },
    });
  }

  async start(...updates: readonly Update[]): Promise<void> {
    const { links, addresses } = this.host.kernel();
    const eth0 = expect(
      await links.create({ name: 'eth0', kind: 'veth', up: true, peer: { name: 'far' } }),
      'eth0',
    );
    await addresses.apply([
      { op: 'add', address: { address: '10.0.0.1' as Address, length: 24, linkIndex: eth0.index } },
      { op: 'add', address: { address: '2001:db8::1' as Address, length: 64, linkIndex: eth0.index } },
    ]);
    expect(await this.dataplane.readHostInterfaces(), 'interfaces');
    this.update(...pools, ...updates);
    expect(await this.dataplane.start(), 'start');
    await this.settled();
  }

  update(...updates: readonly Update[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  /** Settled, and the settling time for what devices' events tell is over. */
  async settled(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      await this.dataplane.idle();
    }
  }

  async device(name = 'wireguard.cali') {
    return expect(await this.host.kernel().wireguard.read(name), name);
  }

  async table(table: number): Promise<readonly string[]> {
    const routes = expect(await this.host.kernel().routes.list({ table }), 'routes');
    const text = ({ dst, type }: Route): string => (type === 'unicast' ? dst : `${type} ${dst}`);
    return routes.map(text).toSorted();
  }

  async rules(): Promise<readonly string[]> {
    const rules = expect(await this.host.kernel().rules.list(), 'rules');
    return rules
      .filter((rule) => rule.mark !== undefined)
      .map(({ family, priority, table, mark, invert }) =>
        [family, priority, invert === true ? 'not' : '', mark, table].join(' '),
      );
  }
}

test('FX-092 FX-161 FX-083: both families: device, peers, rule and routes in own tables; and none of it when switched off', async () => {
  const bench = new Bench();
  await bench.start(
    config({ wireguardEnabled: true, wireguardEnabledV6: true }),
    node(1),
    node(2, keys.n2),
    block(2),
    block6(2),
  );
  assert.equal(bench.states?.[4].state, 'on');
  const device = await bench.device();
  assert.deepEqual([device?.port, device?.mark], [51820, 0x200000]);
  assert.deepEqual(
    device?.peers.map((peer) => [peer.publicKey, peer.endpoint, peer.keepaliveSeconds, peer.allowed]),
    [[keys.n2, { address: '10.0.0.2', port: 51820 }, 0, ['192.168.2.0/29']]],
  );
  const v6 = await bench.device('wg-v6.cali');
  assert.deepEqual(
    v6?.peers.map((peer) => [peer.endpoint, peer.allowed]),
    [[{ address: '2001:db8::2', port: 51821 }, ['fd00::20/124']]],
  );
  assert.deepEqual(await bench.rules(), ['4 99 not 2097152 1', '6 99 not 2097152 2']);
  assert.deepEqual([await bench.table(1), await bench.table(2)], [['192.168.2.0/29'], ['fd00::20/124']]);
  const link = expect(await bench.host.kernel().links.get('wireguard.cali'), 'link');
  assert.deepEqual([link?.up, link?.mtu], [true, 1440]);
  // The address, as soon as the node has one.
  bench.update(node(1, keys.n1, { wireguard: { interfaceIPv4Address: '192.168.1.1' } }));
  await bench.settled();
  const addresses = expect(await bench.host.kernel().addresses.list(), 'addresses');
  assert.deepEqual(
    addresses.filter((a) => a.linkIndex === link?.index).map((a) => `${a.address}/${a.length}`),
    ['192.168.1.1/32'],
  );
  bench.update(config({}));
  await bench.settled();
  assert.deepEqual([bench.states?.[4].state, bench.states?.[6].state], ['off', 'off']);
  assert.deepEqual([await bench.device(), await bench.device('wg-v6.cali')], [undefined, undefined]);
  assert.deepEqual([await bench.rules(), await bench.table(1), await bench.table(2)], [[], [], []]);
  await bench.dataplane.stop();
});

test('FX-161: every parameter counts, and may change while it runs', async () => {
  const bench = new Bench();
  await bench.start(config({ wireguardEnabled: true }), node(1), node(2, keys.n2), block(2));
  const before = (await bench.device())?.privateKey;
  bench.update(
    config({
      wireguardEnabled: true,
      wireguardListeningPort: 5555,
      wireguardMTU: 1300,
      wireguardRoutingRulePriority: 42,
      wireguardKeepAlive: '25s',
      routeTableRanges: [{ min: 30, max: 40 }],
      iptablesMarkMask: 0x3f,
    }),
  );
  await bench.settled();
  const device = await bench.device();
  assert.deepEqual(
    [device?.port, device?.mark, device?.peers.map((p) => [p.endpoint?.port, p.keepaliveSeconds])],
    [5555, 0x20, [[5555, 25]]],
  );
  assert.equal(device?.privateKey, before, 'the key stays');
  assert.equal(expect(await bench.host.kernel().links.get('wireguard.cali'), 'link')?.mtu, 1300);
  assert.deepEqual(
    [await bench.rules(), await bench.table(30), await bench.table(1)],
    [['4 42 not 32 30'], ['192.168.2.0/29'], []],
  );
  bench.update(config({ wireguardEnabled: true, wireguardInterfaceName: 'wg9' }));
  await bench.settled();
  assert.deepEqual(
    (await bench.device('wg9'))?.peers.map((p) => p.publicKey),
    [keys.n2],
  );
  bench.update(
    config({ wireguardEnabled: true, wireguardHostEncryptionEnabled: true, wireguardInterfaceName: 'wg9' }),
  );
  await bench.settled();
  assert.deepEqual((await bench.device('wg9'))?.peers[0]?.allowed, ['10.0.0.2/32', '192.168.2.0/29']);
  const filter = await bench.host.kernel().sysctls.read('net/ipv4/conf/eth0/rp_filter');
  assert.equal(expect(filter, 'rp_filter').trim(), '2');
  await bench.dataplane.stop();
});

test('OT-080: nodes without a key go in clear text, also what they hold of a block that is behind one that has a key', async () => {
  const bench = new Bench();
  await bench.start(
    config({ wireguardEnabled: true }),
    node(1),
    node(2, keys.n2),
    node(3),
    block(2, { 4: 'n3', 5: 'n1' }),
    block(3),
  );
  assert.deepEqual(await bench.table(1), ['192.168.2.0/29', 'throw 192.168.2.4/32', 'throw 192.168.2.5/32']);
  bench.update(node(3, keys.n3));
  await bench.settled();
  assert.deepEqual(await bench.table(1), [
    '192.168.2.0/29',
    '192.168.2.4/32',
    '192.168.3.0/29',
    'throw 192.168.2.5/32',
  ]);
  const allowed = async () =>
    Object.fromEntries(((await bench.device())?.peers ?? []).map((peer) => [peer.publicKey, peer.allowed]));
  assert.deepEqual(await allowed(), {
    [keys.n2]: ['192.168.2.0/29'],
    [keys.n3]: ['192.168.2.4/32', '192.168.3.0/29'],
  });
  bench.update(node(2));
  await bench.settled();
  assert.deepEqual(await bench.table(1), ['192.168.2.4/32', '192.168.3.0/29']);
  // Two that claim one key: the first by name has it; what is no key is none.
  bench.update(node(2, keys.n3));
  await bench.settled();
  assert.deepEqual(await allowed(), { [keys.n3]: ['192.168.2.0/29'] });
  bench.update(node(2, 'nonsense'));
  await bench.settled();
  assert.deepEqual(await allowed(), { [keys.n3]: ['192.168.2.4/32', '192.168.3.0/29'] });
  await bench.dataplane.stop();
});

test('FX-085 FX-092: what others change comes back; what an earlier run left is kept, or goes', async () => {
  const bench = new Bench();
  const all = [config({ wireguardEnabled: true }), node(1), node(2, keys.n2), block(2)];
  await bench.start(...all);
  const kernel = bench.host.kernel();
  const key = (await bench.device())?.privateKey;
  const link = expect(await kernel.links.get('wireguard.cali'), 'link');
  await kernel.links.delete([link?.index ?? 0]);
  for (const rule of expect(await kernel.rules.list(), 'rules').filter((r) => r.mark !== undefined))
    await kernel.rules.apply([{ op: 'delete', rule }]);
  const isBack = async (): Promise<true | undefined> =>
    (await bench.device())?.peers.length === 1 &&
    (await bench.rules()).length === 1 &&
    (await bench.table(1)).length === 1
      ? true
      : undefined;
  assert.ok(await until(isBack, { timeoutMs: 5_000 }));
  assert.equal((await bench.device())?.privateKey, key, 'others know this one');
  await bench.dataplane.stop();

  // A new run finds everything as it should be.
  const events: unknown[] = [];
  kernel.subscribe(['links', 'rules', 'routes'], (event) => events.push(event));
  const again = new CalculationGraph({ nodeName: 'n1', policy: true });
  const second = new Dataplane({
    kernel,
    onHostInterfaces: (interfaces) => again.setHostInterfaces(interfaces),
  });
  expect(await second.readHostInterfaces(), 'interfaces');
  for (const update of [...pools, ...all]) again.update(update);
  second.apply(again.flush());
  expect(await second.start(), 'start');
  await until(() => (second.synced ? true : undefined), { timeoutMs: 5_000 });
  await second.idle();
  assert.deepEqual(events, []);
  assert.equal((await bench.device())?.privateKey, key);
  await second.stop();

  // One that shall not encrypt takes everything away.
  const third = new Dataplane({ kernel, onHostInterfaces: (i) => again.setHostInterfaces(i) });
  again.update(config({}));
  again.flush();
  third.apply(again.everything());
  expect(await third.start(), 'start');
  const isGone = async (): Promise<true | undefined> =>
    (await bench.device()) === undefined &&
    (await bench.rules()).length === 0 &&
    (await bench.table(1)).length === 0
      ? true
      : undefined;
  assert.ok(await until(isGone, { timeoutMs: 5_000 }));
  await third.stop();
});

test('OT-080: a kernel without it says so, and nothing is routed into the void', async () => {
  const bench = new Bench();
  bench.host.withoutKind('wireguard');
  await bench.start(config({ wireguardEnabled: true }), node(1), node(2, keys.n2), block(2));
  const state = bench.states?.[4];
  assert.equal(state?.state, 'waiting');
  assert.match(state !== undefined && 'reason' in state ? (state.reason ?? '') : '', /WireGuard/);
  assert.deepEqual([await bench.rules(), await bench.table(1)], [[], []]);
  await bench.dataplane.stop();
});

test('somebody else’s link under the name is left alone', async () => {
  const bench = new Bench();
  await bench.host.kernel().links.create({ name: 'wireguard.cali', kind: 'veth', peer: { name: 'x' } });
  await bench.start(config({ wireguardEnabled: true }), node(1), node(2, keys.n2), block(2));
  const state = bench.states?.[4];
  assert.match(
    state !== undefined && 'reason' in state ? (state.reason ?? '') : '',
    /is there, and it is no WireGuard/,
  );
  const link = expect(await bench.host.kernel().links.get('wireguard.cali'), 'link');
  assert.equal(link?.kind, 'veth');
  await bench.dataplane.stop();
});
