// FX-007: there are no parameters here that need a restart. A node whose configuration changes while it runs ends where one
// ends that was started with it, parameter by parameter, in the kernel and in what the calculation wants.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { Address } from '../../lib/ip/mod.ts';
import { FakeHost, type Kernel } from '../../kernel/mod.ts';
import type { KindName } from '../../model/mod.ts';
import { CalculationGraph, type CalcUpdate } from '../calc/mod.ts';
import { Dataplane } from '../dataplane/mod.ts';

/** Another value than the default for every parameter that the datastore may set and something acts on. */
const changes: Readonly<Record<string, unknown>> = {
  interfacePrefix: 'cali,tap',
  ipv6Support: false,
  ipForwarding: 'Disabled',
  mtuIfacePattern: '^eth0$',
  routeSource: 'WorkloadIPs',
  routeTableRanges: [{ min: 100, max: 120 }],
  removeExternalRoutes: false,
  deviceRouteProtocol: 80,
  deviceRouteSourceAddress: '10.0.0.1',
  ipv4NormalRoutePriority: 700,
  programClusterRoutes: 'Disabled',
  ipipEnabled: false,
  ipipMTU: 1300,
  vxlanEnabled: false,
  vxlanPort: 4790,
  vxlanVNI: 77,
  vxlanMTU: 1310,
  allowVXLANPacketsFromWorkloads: true,
  allowIPIPPacketsFromWorkloads: true,
  wireguardEnabled: false,
  wireguardListeningPort: 51900,
  wireguardMTU: 1280,
  wireguardRoutingRulePriority: 90,
  wireguardInterfaceName: 'wg0',
  wireguardHostEncryptionEnabled: true,
  natPortRange: '20000:30000',
  natOutgoingAddress: '10.0.0.1',
  natOutgoingExclusions: 'IPPoolsAndHostIPs',
  iptablesNATOutgoingInterfaceFilter: 'eth+',
  floatingIPs: 'Enabled',
  serviceLoopPrevention: 'Reject',
  defaultEndpointToHostAction: 'Accept',
  nftablesFilterAllowAction: 'Return',
  nftablesMangleAllowAction: 'Return',
  nftablesFilterDenyAction: 'Reject',
  failsafeInboundHostPorts: [{ protocol: 'tcp', port: 2222 }],
  failsafeOutboundHostPorts: [{ protocol: 'udp', port: 5353 }],
  disableConntrackInvalidCheck: true,
  workloadSourceSpoofing: 'Any',
  logPrefix: 'other',
  logActionRateLimit: '10/minute',
};
/** What the node has besides, so that more of them do something. */
const base = { wireguardEnabled: true };

const limits = { timeoutMs: 10_000 };

const set = (kind: KindName, name: string, spec: object, metadata: object = {}): CalcUpdate =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata: { name, ...metadata }, spec },
  }) as unknown as CalcUpdate;

const cluster: readonly CalcUpdate[] = [
  set('Node', 'n1', {
    bgp: { ipv4Address: '10.0.0.1/24', ipv4IPIPTunnelAddr: '10.244.1.1' },
    ipv4VXLANTunnelAddr: '10.245.1.1',
  }),
  set('Node', 'n2', {
    bgp: { ipv4Address: '10.0.0.2/24', ipv4IPIPTunnelAddr: '10.244.2.1' },
    ipv4VXLANTunnelAddr: '10.245.2.1',
  }),
  set('IPPool', 'ipip', { cidr: '10.244.0.0/16', ipipMode: 'Always', natOutgoing: true }),
  set('IPPool', 'vxlan', { cidr: '10.245.0.0/16', vxlanMode: 'Always', natOutgoing: true }),
  set('BlockAffinity', 'own', { cidr: '10.244.1.0/26', node: 'n1', state: 'confirmed' }),
  set('BGPConfiguration', 'default', { serviceClusterIPs: [{ cidr: '10.96.0.0/12' }] }),
  set(
    'WorkloadEndpoint',
    'a',
    {
      node: 'n1',
      interfaceName: 'calia',
      ipNetworks: ['10.244.1.2/32'],
      containerID: 'a',
      ipNATs: [{ internalIP: '10.244.1.2', externalIP: '172.16.0.5' }],
      allowSpoofedSourcePrefixes: ['172.20.0.0/16'],
    },
    { namespace: 'default' },
  ),
  set(
    'WorkloadEndpoint',
    'b',
    { node: 'n2', interfaceName: 'calib', ipNetworks: ['10.244.2.2/32'] },
    { namespace: 'default' },
  ),
  set('HostEndpoint', 'eth0', { node: 'n1', interfaceName: 'eth0' }),
  set('GlobalNetworkPolicy', 'before-nat', {
    selector: 'all()',
    preDNAT: true,
    applyOnForward: true,
    ingress: [{ action: 'Allow', protocol: 'UDP' }],
  }),
  set('GlobalNetworkPolicy', 'p', {
    selector: 'all()',
    types: ['Ingress', 'Egress'],
    ingress: [{ action: 'Log' }, { action: 'Allow', protocol: 'TCP', destination: { ports: [80] } }],
    egress: [{ action: 'Allow' }],
  }),
];

class Node implements AsyncDisposable {
  readonly kernel: Kernel = new FakeHost().kernel();
  readonly graph = new CalculationGraph({ nodeName: 'n1', blackholeProtocol: 12, policy: true });
  readonly dataplane = new Dataplane({
    kernel: this.kernel,
    policy: true,
    everything: () => this.graph.everything(),
    onHostInterfaces: (interfaces) => this.graph.setHostInterfaces(interfaces),
  });

  async start(...updates: CalcUpdate[]): Promise<void> {
    for (const [name, mtu] of [
      ['eth0', 1500],
      ['eth1', 1420],
      ['calia', 1500],
    ] as const) {
      const link = { name, kind: 'veth', mtu, up: true, peer: { name: `far-${name}` } } as const;
      const { index } = expect(await this.kernel.links.create(link), name);
      const address = { address: '10.0.0.1' as Address, length: 24, linkIndex: index };
      if (name === 'eth0') await this.kernel.addresses.apply([{ op: 'add', address }]);
    }
    this.update(...cluster, ...updates);
    expect(await this.dataplane.start(), 'start');
    this.update();
    assert.ok(await until(() => (this.dataplane.synced ? true : undefined), limits));
    await this.dataplane.idle();
  }

  update(...updates: CalcUpdate[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  /** All that the node wants, and all that its kernel has, but for numbers that differ from host to host. */
  async state(): Promise<string> {
    const { kernel, graph } = this;
    const links = expect(await kernel.links.list(), 'links');
    const nameOf = (index: number): string => links.find((link) => link.index === index)?.name ?? '-';
    const routes = expect(await kernel.routes.list(), 'routes').map(({ nextHops, ...route }) => ({
      ...route,
      nextHops: nextHops.map(({ linkIndex, ...hop }) => ({ ...hop, link: nameOf(linkIndex ?? 0) })),
    }));
    const rules = expect(await kernel.rules.list(), 'rules');
    const addresses = expect(await kernel.addresses.list(), 'addresses').map(({ linkIndex, ...rest }) => ({
      ...rest,
      link: nameOf(linkIndex),
    }));
    const tables = await Promise.all(
      (['ip', 'ip6'] as const).map(async (family) =>
        expect(await kernel.nftables.read({ family, name: 'calico' }), family),
      ),
    );
    const sets: object[] = [];
    for (const [at, family] of (['ip', 'ip6'] as const).entries())
      for (const one of tables[at]?.sets ?? []) {
        const elements = expect(
          await kernel.nftables.elements({ family, name: 'calico' }, one.name),
          one.name,
        );
        sets.push({
          family,
          ...one,
          elements: elements.map((element) => JSON.stringify(element)).toSorted(),
        });
      }
    const { tables: wanted, mtus, node } = graph.state();
    const parts = {
      // The kernel keeps this one for as long as it has the module.
      links: links
        .filter(({ name, up }) => up || name !== 'tunl0')
        .map(({ index: _index, peerIndex: _peer, mac: _mac, ...link }) => link),
      routes,
      rules,
      addresses,
      sets,
      chains: tables.flatMap((table) =>
        (table?.chains ?? []).map(({ chain, rules: lines }) => ({
          chain,
          lines: lines.map(({ comment }) => comment),
        })),
      ),
      wanted: Object.values(wanted).flatMap((rows) => [...(rows as Map<string, object>).values()]),
      node: [mtus, node],
    };
    return Object.entries(parts)
      .flatMap(([name, list]) => list.map((one) => `${name} ${JSON.stringify(one)}`))
      .toSorted()
      .join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dataplane.stop();
    await this.kernel.close();
  }
}

async function changesLive(field: string, value: unknown): Promise<void> {
  await using live = new Node();
  await using fresh = new Node();
  await live.start(set('FelixConfiguration', 'default', base));
  const before = await live.state();
  const felix = set('FelixConfiguration', 'default', { ...base, [field]: value });
  live.update(felix);
  await fresh.start(felix);
  const same = await until(async () => {
    const [a, b] = [await live.state(), await fresh.state()];
    return a === b && a !== before ? true : undefined;
  }, limits);
  if (same === true) return;
  const [ends, should] = [(await live.state()).split('\n'), (await fresh.state()).split('\n')];
  assert.notEqual(should.join('\n'), before, 'the change changes nothing');
  assert.deepEqual(
    {
      tooMuch: ends.filter((line) => !should.includes(line)),
      missing: should.filter((line) => !ends.includes(line)),
    },
    { tooMuch: [], missing: [] },
  );
}

describe('a change of configuration', { concurrency: 8 }, () => {
  for (const [field, value] of Object.entries(changes))
    it(`FX-007: ${field} takes effect without a restart`, () => changesLive(field, value));
});
