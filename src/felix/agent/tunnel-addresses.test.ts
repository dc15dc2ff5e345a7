// Tunnel addresses on the memory store: taken, kept, moved, given back; who writes which routes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import { MemoryStore } from '../../datastore/mod.ts';
import { createIpam } from '../../ipam/mod.ts';
import type { IPPool, Node } from '../../model/mod.ts';
import { TunnelAddresses, tunnelPools } from './tunnel-addresses.ts';

const apiVersion = 'projectcalico.org/v3';
const pool = (name: string, cidr: string, spec: Partial<IPPool['spec']> = {}): IPPool =>
  ({ apiVersion, kind: 'IPPool', metadata: { name }, spec: { cidr, ...spec } }) as IPPool;
const kubernetesNode = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } } as const;

async function bench(...pools: IPPool[]) {
  const store = new MemoryStore();
  const datastore = store.open();
  store.put('KubernetesNode', kubernetesNode);
  store.put('Node', {
    apiVersion,
    kind: 'Node',
    metadata: { name: 'n1' },
    spec: { bgp: { ipv4Address: '10.0.0.1/24' } },
  });
  let current: readonly IPPool[] = [];
  const ipam = createIpam(datastore, { clock: systemClock, logger: silentLogger });
  const tunnels = new TunnelAddresses({
    nodeName: 'n1',
    datastore,
    ipam,
    clock: systemClock,
    logger: silentLogger,
    pools: () => current,
  });
  const node = async (): Promise<Node['spec']> =>
    expect(await datastore.get('Node', { name: 'n1' }), 'node').spec;
  const change = async (
    next: readonly IPPool[],
    isThere: (spec: Node['spec']) => boolean,
  ): Promise<Node['spec']> => {
    for (const { metadata } of current) await datastore.delete('IPPool', { name: metadata.name });
    for (const one of next) expect(await datastore.create('IPPool', one), 'pool');
    current = next;
    tunnels.check();
    const done = await until(async () => (isThere(await node()) ? true : undefined), { timeoutMs: 3000 });
    assert.ok(done, JSON.stringify(await node()));
    return node();
  };
  await change(pools, () => true);
  return { datastore, ipam, tunnels, node, change };
}

test('BG-079 RS-061: tunnels take addresses of the pools that tunnel, with Calico’s handles, and give them back', async () => {
  const { ipam, tunnels, change } = await bench();
  const first = await change(
    [pool('a', '10.244.0.0/16', { ipipMode: 'Always' })],
    (s) => s.bgp?.ipv4IPIPTunnelAddr !== undefined,
  );
  const address = first.bgp?.ipv4IPIPTunnelAddr ?? '';
  assert.match(address, /^10\.244\./);
  assert.equal(first.bgp?.ipv4Address, '10.0.0.1/24', 'the rest stays');
  const held = expect(await ipam.addressesOfHandle('ipip-tunnel-addr-n1'), 'handle');
  assert.deepEqual(
    held.map((h) => [h.address, h.attributes['node'], h.attributes['type']]),
    [[address, 'n1', 'ipipTunnelAddress']],
  );
  // To VXLAN, of both families.
  const second = await change(
    [
      pool('a', '10.244.0.0/16', { vxlanMode: 'CrossSubnet' }),
      pool('b', 'fd00:244::/48', { vxlanMode: 'Always' }),
    ],
    (s) => s.ipv6VXLANTunnelAddr !== undefined && s.bgp?.ipv4IPIPTunnelAddr === undefined,
  );
  assert.match(second.ipv4VXLANTunnelAddr ?? '', /^10\.244\./);
  assert.match(second.ipv6VXLANTunnelAddr ?? '', /^fd00:244:/);
  assert.deepEqual(expect(await ipam.addressesOfHandle('ipip-tunnel-addr-n1'), 'handle'), []);
  assert.equal(expect(await ipam.addressesOfHandle('vxlan-v6-tunnel-addr-n1'), 'handle').length, 1);
  // Another pool tunnels now.
  const third = await change(
    [pool('a', '10.244.0.0/16'), pool('c', '10.99.0.0/16', { vxlanMode: 'Always' })],
    (s) => s.ipv4VXLANTunnelAddr?.startsWith('10.99.') === true && s.ipv6VXLANTunnelAddr === undefined,
  );
  assert.deepEqual(
    expect(await ipam.addressesOfHandle('vxlan-tunnel-addr-n1'), 'handle').map((h) => h.address),
    [third.ipv4VXLANTunnelAddr],
  );
  const fourth = await change([], (s) => s.ipv4VXLANTunnelAddr === undefined);
  assert.deepEqual(fourth.bgp, { ipv4Address: '10.0.0.1/24' });
  assert.deepEqual(expect(await ipam.addressesOfHandle('vxlan-tunnel-addr-n1'), 'handle'), []);
  await tunnels.stop();
});

test('an address that is right stays; one that address management does not know is taken anew', async () => {
  const { datastore, ipam, tunnels, node, change } = await bench();
  const a = pool('a', '10.244.0.0/16', { vxlanMode: 'Always' });
  const first = await change([a], (s) => s.ipv4VXLANTunnelAddr !== undefined);
  tunnels.check();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal((await node()).ipv4VXLANTunnelAddr, first.ipv4VXLANTunnelAddr);
  expect(await ipam.releaseByHandle('vxlan-tunnel-addr-n1'), 'release');
  const stored = expect(await datastore.get('Node', { name: 'n1' }), 'node');
  expect(
    await datastore.update('Node', {
      ...stored,
      spec: { ...stored.spec, ipv4VXLANTunnelAddr: '10.244.7.7' },
    }),
    'update',
  );
  tunnels.check();
  const done = await until(
    async () => ((await node()).ipv4VXLANTunnelAddr === '10.244.7.7' ? undefined : true),
    { timeoutMs: 3000 },
  );
  assert.ok(done);
  assert.deepEqual(
    expect(await ipam.addressesOfHandle('vxlan-tunnel-addr-n1'), 'handle').map((h) => h.address),
    [(await node()).ipv4VXLANTunnelAddr],
  );
  await tunnels.stop();
});

test('BG-079 RS-043 RS-044 FX-092: WireGuard has an address of any pool, as long as the node has a key', async () => {
  const { datastore, ipam, tunnels, node } = await bench(pool('a', '10.244.0.0/16', {}));
  const publish = async (status: object): Promise<void> => {
    const current = expect(await datastore.get('Node', { name: 'n1' }), 'node');
    expect(await datastore.updateStatus('Node', { ...current, status }), 'update');
    tunnels.check();
  };
  await publish({ wireguardPublicKey: 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=' });
  const taken = async (): Promise<string | undefined> => (await node()).wireguard?.interfaceIPv4Address;
  assert.match((await until(taken, { timeoutMs: 3000 })) ?? '', /^10\.244\./);
  const held = expect(await ipam.addressesOfHandle('wireguard-tunnel-addr-n1'), 'handle');
  assert.deepEqual(
    held.map((h) => [h.address, h.attributes['type']]),
    [[await taken(), 'wireguardTunnelAddress']],
  );
  await publish({});
  const isGone = async (): Promise<true | undefined> =>
    (await node()).wireguard === undefined &&
    expect(await ipam.addressesOfHandle('wireguard-tunnel-addr-n1'), 'handle').length === 0
      ? true
      : undefined;
  assert.ok(await until(isGone, { timeoutMs: 3000 }));
  await tunnels.stop();
});

test('pools that are off, not for tunnels, or not for the node give no tunnel address', () => {
  const pools = [
    pool('off', '10.1.0.0/16', { vxlanMode: 'Always', disabled: true }),
    pool('pods', '10.2.0.0/16', { vxlanMode: 'Always', allowedUses: ['Workload'] }),
    pool('others', '10.3.0.0/16', { vxlanMode: 'Always', nodeSelector: 'rack == "2"' }),
    pool('plain', '10.4.0.0/16', {}),
    pool('six', 'fd00::/48', { vxlanMode: 'Always' }),
    pool('good', '10.5.0.0/16', { vxlanMode: 'CrossSubnet', nodeSelector: 'rack == "1"' }),
  ];
  const node = (labels: Record<string, string>): Node => ({
    apiVersion,
    kind: 'Node',
    metadata: { name: 'n', labels },
    spec: {},
  });
  const isFrom = (spec: IPPool['spec']): boolean => (spec.vxlanMode ?? 'Never') !== 'Never';
  assert.deepEqual(tunnelPools(pools, { family: 4, isFrom }, node({ rack: '1' })), ['10.5.0.0/16']);
  assert.deepEqual(tunnelPools(pools, { family: 6, isFrom }, node({})), ['fd00::/48']);
});
