// Pods and load balancers in the node's own subnet on the real kernel: a neighbour that asks by ARP or NDP is answered and
// reaches them, and is not any more when they are gone.
//
//   router (the neighbour) 10.1.0.254, fd01::fe ── eth0 h1 10.1.0.1, fd01::1 ── cali1 ── pod1 10.1.0.70, fd01::70
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { CalculationGraph, type CalcUpdate } from '../../src/felix/calc/mod.ts';
import { Dataplane, removeDataplane } from '../../src/felix/dataplane/mod.ts';
import { unable } from './support/felix-node.ts';
import { OverlayHosts } from './support/overlay-hosts.ts';

const skip = unable('tcpdump', 'nft') ?? false;
const patienceMs = 15_000;

const set = (kind: string, name: string, spec: object, more: object = {}): CalcUpdate =>
  ({ type: 'set', kind, object: { kind, metadata: { name, namespace: 'default' }, spec, ...more } }) as never;
const gone = (kind: string, name: string): CalcUpdate =>
  ({ type: 'delete', kind, name: { name, namespace: 'default' } }) as CalcUpdate;
const reachability = (localSubnetL2Reachability: string): CalcUpdate =>
  set('FelixConfiguration', 'default', { localSubnetL2Reachability });
const pod = set('WorkloadEndpoint', 'pod1', {
  node: 'h1',
  interfaceName: 'cali1',
  ipNetworks: ['10.1.0.70/32', 'fd01::70/128'],
  containerID: 'pod1',
});
const balancer = set(
  'Service',
  'web',
  { type: 'LoadBalancer' },
  { status: { loadBalancer: { ingress: [{ ip: '10.1.0.80' }, { ip: 'fd01::80' }] } } },
);

class Subnet {
  readonly hosts: OverlayHosts;
  readonly graph = new CalculationGraph({ nodeName: 'h1' });
  readonly dataplane: Dataplane;

  private constructor(hosts: OverlayHosts) {
    this.hosts = hosts;
    this.dataplane = new Dataplane({ kernel: hosts.kernel('h1') });
  }

  static async make(): Promise<Subnet> {
    const hosts = await OverlayHosts.make();
    hosts.ip('h1', '-6 addr add fd01::1/64 dev eth0 nodad');
    hosts.ip('router', '-6 addr add fd01::fe/64 dev r1 nodad');
    hosts.ip('pod1', 'addr add 10.1.0.70/32 dev eth0');
    hosts.ip('pod1', '-6 addr add fd01::70/128 dev eth0 nodad');
    hosts.ip('h1', '-6 addr add fe80::eeee/64 dev cali1 nodad');
    hosts.ip('pod1', '-6 route add fe80::eeee dev eth0');
    hosts.ip('pod1', '-6 route add default via fe80::eeee dev eth0');
    const subnet = new Subnet(hosts);
    subnet.update(
      set('IPPool', 'v4', { cidr: '10.1.0.64/26' }),
      set('IPPool', 'v6', { cidr: 'fd01::/120' }),
      set('Node', 'h1', { bgp: { ipv4Address: '10.1.0.1/24', ipv6Address: 'fd01::1/64' } }),
    );
    return subnet;
  }

  update(...updates: readonly CalcUpdate[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  proxies(): string {
    return this.hosts
      .ip('h1', 'neigh show proxy')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .toSorted()
      .join('; ');
  }

  async answers(...addresses: readonly string[]): Promise<void> {
    const wanted = addresses
      .map((address) => `${address} dev eth0 proxy proto 80`)
      .toSorted()
      .join('; ');
    const arrived = await until(() => (this.proxies() === wanted ? true : undefined), {
      timeoutMs: patienceMs,
    });
    assert.ok(arrived === true, `${this.proxies()} and not ${wanted}`);
    await this.dataplane.idle();
  }

  /** Whether the neighbour finds our MAC for an address, whether its ping is answered, and what it says. */
  async ask(
    address: string,
  ): Promise<{ readonly isFound: boolean; readonly isReached: boolean; output: string }> {
    this.hosts.ip('router', 'neigh flush dev r1');
    const { code, output } = await this.hosts.run('router', 'ping', '-n', '-c1', '-W1', address);
    const mac = /link\/ether (\S+)/.exec(this.hosts.ip('h1', 'link show eth0'))?.[1] ?? '';
    const known = this.hosts.ip('router', `neigh show ${address}`);
    return { isFound: known.includes(mac), isReached: code === 0, output };
  }

  /** On a busy machine an answer may be late. */
  async reaches(...addresses: readonly string[]): Promise<void> {
    for (const address of addresses) {
      let said = '';
      const isReached = async (): Promise<true | undefined> => {
        const { isFound, isReached: answered, output } = await this.ask(address);
        said = output;
        return isFound && answered ? true : undefined;
      };
      assert.ok(await until(isReached, { timeoutMs: patienceMs }), `${address}: ${said}`);
    }
  }

  async missesAll(...addresses: readonly string[]): Promise<void> {
    for (const address of addresses) assert.equal((await this.ask(address)).isFound, false, address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dataplane.stop();
    await this.hosts[Symbol.asyncDispose]();
  }
}

test('FX-086: pods of the own subnet are answered for by ARP and NDP, announced, and no longer when they are gone', {
  skip,
}, async () => {
  await using subnet = await Subnet.make();
  const { hosts } = subnet;
  subnet.update(pod);
  expect(await subnet.dataplane.start(), 'start');
  await subnet.dataplane.idle();
  assert.equal(subnet.proxies(), '', 'nothing without asking for it');
  await subnet.missesAll('10.1.0.70', 'fd01::70');

  const announcements = [
    /Request who-has 10\.1\.0\.70 (\(ff:ff:ff:ff:ff:ff\) )?tell 10\.1\.0\.70/,
    /> ff02::1: \[icmp6 sum ok\] ICMP6, neighbor advertisement.*tgt is fd01::70, Flags \[override\]/,
  ];
  const act = async (): Promise<void> => {
    subnet.update(reachability('PodsAndLoadBalancers'));
    await subnet.answers('10.1.0.70', 'fd01::70');
  };
  const heard = await hosts.capture('router', 'r1', 'arp or icmp6', act, announcements);
  for (const one of announcements) assert.match(heard, one);
  await subnet.reaches('10.1.0.70', 'fd01::70');

  // The kernel forgets them without a word.
  hosts.ip('h1', 'link set eth0 down');
  hosts.ip('h1', 'link set eth0 up');
  hosts.ip('h1', '-6 addr replace fd01::1/64 dev eth0 nodad');
  await subnet.answers('10.1.0.70', 'fd01::70');

  subnet.update(gone('WorkloadEndpoint', 'pod1'));
  await subnet.answers();
  await subnet.missesAll('10.1.0.70', 'fd01::70');
});

test('FX-086: the address of a load balancer is answered for by one node, and what no service takes does not go round', {
  skip,
}, async () => {
  await using subnet = await Subnet.make();
  const { hosts } = subnet;
  subnet.update(pod, balancer, reachability('PodsAndLoadBalancers'));
  expect(await subnet.dataplane.start(), 'start');
  await subnet.answers('10.1.0.70', 'fd01::70', '10.1.0.80', 'fd01::80');
  for (const address of ['10.1.0.80', 'fd01::80']) {
    const found = await until(
      async () => {
        const asked = await subnet.ask(address);
        return asked.isFound ? asked : undefined;
      },
      { timeoutMs: patienceMs },
    );
    assert.equal(found?.isReached, false, address);
    assert.doesNotMatch(found?.output ?? '', /Time to live|Time exceeded/, 'it went round');
  }
  const translation = [
    'add table inet service',
    'add chain inet service before { type nat hook prerouting priority -100; }',
    'add rule inet service before ip daddr 10.1.0.80 dnat ip to 10.1.0.70',
    'add rule inet service before ip6 daddr fd01::80 dnat ip6 to fd01::70',
  ];
  const { code, output } = await hosts.run('h1', 'nft', translation.join('; '));
  assert.equal(code, 0, output);
  await subnet.reaches('10.1.0.80', 'fd01::80');

  // An address that the node gets itself is answered for without us; it is ours again when it goes.
  hosts.ip('h1', 'addr add 10.1.0.80/32 dev lo');
  await subnet.answers('10.1.0.70', 'fd01::70', 'fd01::80');
  assert.match(hosts.ip('h1', 'route show table local 10.1.0.80'), /^local 10\.1\.0\.80 dev lo proto kernel/);
  hosts.ip('h1', 'addr del 10.1.0.80/32 dev lo');
  await subnet.answers('10.1.0.70', 'fd01::70', '10.1.0.80', 'fd01::80');

  // Nine nodes in the subnet: each address is one node's. Those that fall to others are let go.
  const others = Array.from({ length: 8 }, (_, i) =>
    set('Node', `n${i}`, { bgp: { ipv4Address: `10.1.0.${20 + i}/24`, ipv6Address: `fd01::2${i}/64` } }),
  );
  subnet.update(...others);
  const wanted = [...subnet.graph.state().tables.answered.keys()];
  assert.ok(!wanted.includes('10.1.0.80') || !wanted.includes('fd01::80'), 'both fall to one of nine nodes');
  await subnet.answers(...wanted);
  subnet.update(...others.map((_, i) => gone('Node', `n${i}`)));
  await subnet.answers('10.1.0.70', 'fd01::70', '10.1.0.80', 'fd01::80');

  subnet.update(reachability('Disabled'));
  await subnet.answers();
  subnet.update(reachability('PodsAndLoadBalancers'));
  await subnet.answers('10.1.0.70', 'fd01::70', '10.1.0.80', 'fd01::80');
  await subnet.dataplane.stop();
  expect(await removeDataplane({ kernel: hosts.kernel('h1') }), 'uninstall');
  await subnet.answers();
  assert.equal(hosts.ip('h1', 'route show table local 10.1.0.80'), '');
  await subnet.missesAll('10.1.0.80', 'fd01::80');
});
