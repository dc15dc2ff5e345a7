// Felix's dataplane on the real kernel, with packets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../src/lib/result.ts';
import type { Address } from '../../src/lib/ip/mod.ts';
import { CalculationGraph, type CalcUpdate } from '../../src/felix/calc/mod.ts';
import { Dataplane, endpointKeys } from '../../src/felix/dataplane/mod.ts';
import type { KernelEvent } from '../../src/kernel/mod.ts';
import { TestNode, unable } from './support/felix-node.ts';

const skip = unable('nft') ?? false;
const set = (kind: string, metadata: object, spec: object): CalcUpdate =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata, spec },
  }) as unknown as CalcUpdate;
const pool = (natOutgoing: boolean) => set('IPPool', { name: 'p' }, { cidr: '10.244.0.0/16', natOutgoing });
const block = set('BlockAffinity', { name: 'a' }, { cidr: '10.244.1.0/26', node: 'n1', state: 'confirmed' });
const endpoint = (name: string, address: string) =>
  set(
    'WorkloadEndpoint',
    { name, namespace: 'default' },
    { node: 'n1', interfaceName: `cali${name}`, ipNetworks: [`${address}/32`], containerID: name },
  );
const settle = () => new Promise((resolve) => setTimeout(resolve, 100));

class Felix {
  readonly graph = new CalculationGraph({ nodeName: 'n1', blackholeProtocol: 12 });
  readonly dataplane: Dataplane;

  constructor(node: TestNode) {
    this.dataplane = new Dataplane({ kernel: node.kernel });
  }

  async start(...updates: CalcUpdate[]): Promise<void> {
    this.update(...updates);
    expect(await this.dataplane.start(), 'start');
    await this.done();
  }

  update(...updates: CalcUpdate[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  /** Every endpoint's rows are in the kernel, and nothing else is under way. */
  async done(): Promise<void> {
    const { routes, interfaces } = this.graph.state().tables;
    for (const row of interfaces.values()) {
      expect(await this.dataplane.whenDone(endpointKeys([...routes.values()], row), 30_000), 'done');
    }
    await settle();
    await this.dataplane.idle();
    for (const [name, table] of Object.entries(this.dataplane.status())) {
      assert.deepEqual(table.unfinished, [], name);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dataplane.stop();
  }
}

test('SR-022, SR-060, SR-061, SR-081, FX-075, FX-076: pods of one node reach each other and the node; routes as Calico has them', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new Felix(node);
  await node.pod('a', '10.244.1.2');
  await node.pod('b', '10.244.1.3');
  await felix.start(pool(true), block, endpoint('a', '10.244.1.2'), endpoint('b', '10.244.1.3'));
  const routes = node
    .ip('node', 'route show')
    .trim()
    .split('\n')
    .map((line) => line.trim());
  assert.deepEqual(routes, [
    '10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1',
    'blackhole 10.244.1.0/26 proto bird',
    '10.244.1.2 dev calia scope link metric 1024',
    '10.244.1.3 dev calib scope link metric 1024',
  ]);
  assert.equal(await node.ping('a', '10.244.1.3'), 63);
  assert.equal(await node.ping('a', '10.0.0.1'), 64);
  assert.equal(await node.ping('node', '10.244.1.2'), 64);
  assert.equal(await node.ping('a', '10.244.1.9'), undefined, 'an unused address of the block goes nowhere');
});

test('SR-054, SR-055: 169.254.1.1 is answered without a default route, only to pods, and is on no interface', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new Felix(node);
  await node.pod('a', '10.244.1.2');
  await felix.start(pool(false), endpoint('a', '10.244.1.2'));
  assert.equal(await node.ping('a', '10.0.0.1'), 64);
  assert.match(node.ip('a', 'neigh show 169.254.1.1'), /lladdr ee:ee:ee:ee:ee:ee/);
  assert.doesNotMatch(node.ip('node', 'addr show'), /169\.254/);
  assert.doesNotMatch(node.ip('node', 'route show'), /169\.254/);
  // A machine on the node's network asks in vain.
  node.ip('out', 'route add 169.254.1.1 dev eth0');
  assert.equal(await node.ping('out', '169.254.1.1'), undefined);
  assert.doesNotMatch(node.ip('out', 'neigh show 169.254.1.1'), /lladdr/);
  // Packets to the address itself do not circle on lo.
  const before = loopbackPackets(node);
  assert.equal(await node.ping('a', '169.254.1.1'), undefined);
  assert.equal(loopbackPackets(node), before);
  // Even where the host says that nothing is reachable.
  node.ip('node', 'route add unreachable default');
  node.ip('a', 'neigh flush all');
  assert.equal(await node.ping('a', '10.0.0.1'), 64);
});

const loopbackPackets = (node: TestNode): number => {
  const [link] = JSON.parse(node.ip('node', '-j -s link show lo')) as [
    { stats64: { tx: { packets: number } } },
  ];
  return link.stats64.tx.packets;
};

test('SR-058: proxy ARP answers for what the host reaches by another interface, and for nothing else', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new Felix(node);
  await node.pod('a', '10.244.1.2');
  await node.pod('b', '10.244.1.3');
  await felix.start(pool(true), endpoint('a', '10.244.1.2'), endpoint('b', '10.244.1.3'));
  const resolves = async (address: string): Promise<boolean> => {
    node.ip('a', `route replace ${address} dev eth0 scope link`);
    await node.ping('a', address);
    return node.ip('a', `neigh show ${address}`).includes('lladdr ee:ee:ee:ee:ee:ee');
  };
  assert.equal(await resolves('10.0.0.254'), true, 'by eth0');
  assert.equal(await resolves('10.244.1.3'), true, 'by the interface of another pod');
  assert.equal(await resolves('203.0.113.9'), false, 'the host has no route');
  node.ip('node', 'route add 203.0.113.8 dev calia scope link proto 3');
  assert.equal(await resolves('203.0.113.8'), false, 'the route leads back');
});

test('FX-017: tables of others are left alone, at start and at every change', { skip }, async () => {
  await using node = await TestNode.make();
  await using felix = new Felix(node);
  const nft = async (text: string): Promise<string> =>
    (await node.run('node', ['nft', ...text.split(' ')])).output;
  await nft('add table ip kube-proxy');
  await nft('add chain ip kube-proxy services { type nat hook prerouting priority dstnat ; }');
  await nft('add rule ip kube-proxy services ip daddr 10.96.0.1 tcp dport 443 dnat to 10.0.0.254:6443');
  const before = await nft('list table ip kube-proxy');
  assert.match(before, /dnat to 10\.0\.0\.254:6443/);
  await node.pod('a', '10.244.1.2');
  await felix.start(pool(true), endpoint('a', '10.244.1.2'));
  felix.update(pool(false));
  await felix.done();
  assert.equal(await nft('list table ip kube-proxy'), before);
  assert.deepEqual((await nft('list tables')).trim().split('\n').toSorted(), [
    'table ip calico',
    'table ip kube-proxy',
    'table ip6 calico',
  ]);
});

test('SR-160, SR-161, SR-163: natOutgoing masks pods outside of the pools only, and is toggled live', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new Felix(node);
  await node.pod('a', '10.244.1.2');
  await node.pod('b', '10.244.1.3');
  node.ip('out', 'route add 10.244.0.0/16 via 10.0.0.1');
  await felix.start(pool(true), endpoint('a', '10.244.1.2'), endpoint('b', '10.244.1.3'));
  const seenBy = async (server: string, at: string): Promise<string> => {
    const code =
      "require('net').createServer(s=>s.end(s.remoteAddress.replace('::ffff:',''))).listen(8080,()=>console.log('up'))";
    const listening = await node.spawnReady(server, [process.execPath, '-e', code]);
    const asked = await node.run('a', [
      process.execPath,
      '-e',
      `require('net').connect(8080,'${at}').on('data',d=>console.log(String(d)))`,
    ]);
    const gone = new Promise((resolve) => listening.once('exit', resolve));
    listening.kill('SIGKILL');
    await gone;
    return asked.output.trim();
  };
  assert.equal(await seenBy('out', '10.0.0.254'), '10.0.0.1');
  assert.equal(await seenBy('b', '10.244.1.3'), '10.244.1.2');
  felix.update(pool(false));
  await felix.done();
  assert.equal(await seenBy('out', '10.0.0.254'), '10.244.1.2');
  felix.update(pool(true));
  await felix.done();
  assert.equal(await seenBy('out', '10.0.0.254'), '10.0.0.1');
});

test('SR-021, FX-022: interfaces that go down, vanish and come back; routes and tables somebody removes', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new Felix(node);
  await node.pod('a', '10.244.1.2');
  await felix.start(pool(true), block, endpoint('a', '10.244.1.2'));
  node.ip('node', 'link set calia down');
  node.ip('node', 'link set calia up');
  assert.ok(await node.pingWorks('node', '10.244.1.2'), 'after down and up');
  node.ip('node', 'route del 10.244.1.2');
  assert.ok(await node.pingWorks('node', '10.244.1.2'), 'after the route was removed');
  node.ip('node', 'route del blackhole 10.244.1.0/26');
  node.ip('node', 'route replace 10.244.1.2 dev eth0 metric 1024');
  await felix.done();
  assert.match(node.ip('node', 'route show'), /blackhole 10\.244\.1\.0\/26 proto bird/);
  assert.ok(await node.pingWorks('node', '10.244.1.2'), 'after the route was bent');
  assert.equal((await node.run('node', ['nft', 'delete', 'table', 'ip', 'calico'])).code, 0);
  await felix.done();
  assert.match((await node.run('node', ['nft', 'list', 'table', 'ip', 'calico'])).output, /masquerade/);
  node.ip('node', 'link del calia');
  await settle();
  node.ip('node', `link add calia address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns ${node.ns('a')}`);
  node.ip('node', 'link set calia up');
  node.ip('a', 'link set eth0 up');
  node.ip('a', 'addr replace 10.244.1.2/32 dev eth0');
  node.ip('a', 'route add 169.254.1.1 dev eth0 scope link');
  node.ip('a', 'route add default via 169.254.1.1 dev eth0');
  assert.ok(await node.pingWorks('node', '10.244.1.2'), 'after the interface was made anew');
  assert.ok(await node.pingWorks('a', '10.0.0.1'), 'proxy ARP again');
});

const felixConfiguration = (spec: object) => set('FelixConfiguration', { name: 'default' }, spec);

test('RouteSyncDisabled: routes are neither written, repaired nor removed, endpoints are ready without; and all of it once it ends', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await node.pod('a', '10.244.1.2');
  await using felix = new Felix(node);
  const routes = (): string =>
    node.ip('node', '-4 route show table all').replaceAll(/^(local|broadcast) .*\n/gm, '');
  const before = routes();
  // What an earlier run would have left, and what is somebody's on a pod's interface.
  node.ip('node', 'route add blackhole 10.244.9.0/26 proto 12');
  node.ip('node', 'route add 10.244.1.99 dev calia proto 99');
  const disabled = routes();
  assert.notEqual(disabled, before);
  await felix.start(
    pool(false),
    block,
    endpoint('a', '10.244.1.2'),
    felixConfiguration({
      routeSyncDisabled: true,
      routeRefreshInterval: '100ms',
      removeExternalRoutes: false,
    }),
  );
  await settle();
  assert.equal(routes(), disabled);
  felix.update(
    felixConfiguration({
      routeSyncDisabled: false,
      removeExternalRoutes: false,
      deviceRouteProtocol: 77,
      ipv4NormalRoutePriority: 333,
    }),
  );
  await felix.done();
  assert.match(routes(), /^10\.244\.1\.2 dev calia proto 77 scope link metric 333/m);
  assert.match(routes(), /^blackhole 10\.244\.1\.0\/26/m);
  assert.doesNotMatch(routes(), /10\.244\.9\.0/);
  const enabled = routes();
  felix.update(felixConfiguration({ routeSyncDisabled: true, removeExternalRoutes: false }));
  await felix.done();
  felix.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'a', namespace: 'default' } });
  node.ip('node', 'route del blackhole 10.244.1.0/26 proto 12');
  await felix.done();
  assert.equal(routes(), enabled.replace(/^blackhole 10\.244\.1\.0\/26.*\n/m, ''));
  felix.update(felixConfiguration({ removeExternalRoutes: false }));
  await felix.done();
  assert.match(routes(), /^blackhole 10\.244\.1\.0\/26/m, 'repaired');
  assert.match(routes(), /10\.244\.1\.99 dev calia /, 'RemoveExternalRoutes=false');
});

test('FX-152: InterfacePrefix says which interfaces are workloads’, MTUIfacePattern which have a say in the MTU', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await node.pod('a', '10.244.1.2', 'tapa');
  await node.pod('b', '10.244.1.3', 'calib');
  node.ip('node', 'link add fabric0 type veth peer name fabric1');
  node.ip('node', 'link set fabric0 mtu 1300 up');
  // Routes as an earlier run leaves them.
  for (const name of ['tapa', 'calib'])
    node.ip('node', `route add 10.244.1.77 dev ${name} metric ${name.length}`);
  const graph = new CalculationGraph({ nodeName: 'n1' });
  const told = (spec: object): void => graph.update(felixConfiguration(spec));
  told({ interfacePrefix: 'tap,other' });
  const dataplane = new Dataplane({
    kernel: node.kernel,
    onHostInterfaces: (interfaces) => graph.setHostInterfaces(interfaces),
  });
  dataplane.apply(graph.flush());
  expect(await dataplane.start(), 'start');
  await settle();
  await dataplane.idle();
  assert.match(node.ip('node', 'route show 10.244.1.77'), /^10\.244\.1\.77 dev calib [^\n]*\n$/);
  graph.flush();
  assert.equal(graph.state().mtus.host, 1500, 'eth0');
  told({ interfacePrefix: 'tap,other', mtuIfacePattern: '^fabric' });
  graph.flush();
  assert.equal(graph.state().mtus.host, 1300);
  await dataplane.stop();
});

test('FX-082: flows of an address end with its endpoint', { skip }, async () => {
  await using node = await TestNode.make();
  await using felix = new Felix(node);
  await node.pod('a', '10.244.1.2');
  await felix.start(pool(true), endpoint('a', '10.244.1.2'));
  assert.equal(await node.ping('a', '10.0.0.254'), 63);
  felix.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'a', namespace: 'default' } });
  await felix.done();
  assert.equal(expect(await node.kernel.conntrack.deleteByAddress('10.244.1.2' as Address), 'count'), 0);
  assert.doesNotMatch(node.ip('node', 'route show'), /10\.244\.1\.2/);
});

test('a second dataplane on a right kernel causes no event at all', { skip }, async () => {
  await using node = await TestNode.make();
  const state = [pool(true), block, endpoint('a', '10.244.1.2')];
  await node.pod('a', '10.244.1.2');
  {
    await using first = new Felix(node);
    await first.start(...state);
  }
  const events: KernelEvent[] = [];
  // The kernel's own routes are not meant: IPv6 link-local addresses become valid while this runs.
  const subscription = node.kernel.subscribe(['routes', 'rules', 'nftables'], (event) => {
    const byKernel = (event.type === 'route' || event.type === 'route-deleted') && event.route.protocol === 2;
    if (!byKernel) events.push(event);
  });
  {
    await using second = new Felix(node);
    await second.start(...state);
    for (const [name, { counters }] of Object.entries(second.dataplane.status())) {
      assert.equal(counters.puts + counters.removes, 0, name);
    }
  }
  subscription.close();
  assert.deepEqual(events, []);
});

test('FX-075: a route that goes and comes again is there, however late the kernel’s word about the first one is read', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new Felix(node);
  await node.pod('a', '10.244.1.2');
  const one = endpoint('a', '10.244.1.2');
  await felix.start(pool(true), one);
  const row = felix.graph.state().tables.interfaces.get('calia');
  for (let n = 0; n < 20; n++) {
    const routes = [...felix.graph.state().tables.routes.values()];
    felix.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'a', namespace: 'default' } });
    // Without a turn of the event loop: what the kernel tells is not read meanwhile.
    await felix.dataplane.idle();
    felix.update(one);
    expect(await felix.dataplane.whenDone(endpointKeys(routes, row), 30_000), 'done');
    assert.match(node.ip('node', 'route show 10.244.1.2'), /dev calia/, `round ${n}`);
  }
});

test('IPv6: pods reach each other over the host’s link-local address; masquerade has its own table', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new Felix(node);
  const pods = { a: 'fd00:10::2', b: 'fd00:10::3' };
  for (const [name, address] of Object.entries(pods)) {
    await node.pod(name, `10.244.1.${name === 'a' ? 2 : 3}`);
    node.ip(name, `-6 addr add ${address}/128 dev eth0 nodad`);
    node.ip(name, '-6 route add default via fe80::ecee:eeff:feee:eeee dev eth0');
  }
  const weps = Object.entries(pods).map(([name, address]) =>
    set(
      'WorkloadEndpoint',
      { name, namespace: 'default' },
      { node: 'n1', interfaceName: `cali${name}`, ipNetworks: [`${address}/128`], containerID: name },
    ),
  );
  const pool6 = set('IPPool', { name: 'p6' }, { cidr: 'fd00:10::/64', natOutgoing: true });
  const block6 = set(
    'BlockAffinity',
    { name: 'a6' },
    { cidr: 'fd00:10::/122', node: 'n1', state: 'confirmed' },
  );
  await felix.start(pool6, block6, ...weps);
  assert.ok(await node.pingWorks('a', pods.b));
  assert.equal(await node.ping('a', pods.b), 63);
  const routes = node.ip('node', '-6 route show');
  assert.match(routes, /^fd00:10::2 dev calia metric 1024/m);
  assert.match(routes, /^blackhole fd00:10::\/122 dev lo proto bird metric 1024/m);
  assert.match((await node.run('node', ['nft', 'list', 'table', 'ip6', 'calico'])).output, /masquerade/);
  // IPv6 switched off takes away what is ours; the kernel's own routes stay.
  felix.update(set('FelixConfiguration', { name: 'default' }, { ipv6Support: false }));
  await felix.done();
  const without = node.ip('node', '-6 route show');
  assert.doesNotMatch(without, /fd00:10::/);
  assert.match(without, /^fe80::\/64 dev calia proto kernel/m);
});
