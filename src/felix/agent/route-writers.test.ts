// Who writes the routes to other nodes' blocks, with every value of programClusterRoutes on both sides: what the agent's real
// dataplane puts into a kernel that is played, and what the speaker's plan lets into one. The warnings must say the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { computePlan, type PlanInput } from '../../bgp/plan/mod.ts';
import { explainPolicy, subjectOf } from '../../bgp/policy/mod.ts';
import { FakeHost, type Kernel, mainTable } from '../../kernel/mod.ts';
import { address, prefix, type Prefix } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { IPPool } from '../../model/mod.ts';
import {
  CalculationGraph,
  type CalcUpdate,
  clusterRouteGaps,
  type PolicyUpdate,
  resolveConfig,
  type RouteClass,
  routeClasses,
} from '../calc/mod.ts';
import { Dataplane } from '../dataplane/mod.ts';
import { RouteWriters } from './route-writers.ts';

const values = ['Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly'] as const;
type Value = (typeof values)[number];

/** Every mode, in one cluster of n1, n2 in its subnet, and n3 behind a router. */
const modes = {
  none: {},
  ipip: { ipipMode: 'Always' },
  'ipip-crosssubnet': { ipipMode: 'CrossSubnet' },
  vxlan: { vxlanMode: 'Always' },
  'vxlan-crosssubnet': { vxlanMode: 'CrossSubnet' },
} as const;
type Mode = keyof typeof modes;
const modeNames = Object.keys(modes) as Mode[];
const hosts = { n1: '10.0.0.1', n2: '10.0.0.2', n3: '10.9.0.3' } as const;
type Remote = 'n2' | 'n3';
const remotes: readonly Remote[] = ['n2', 'n3'];

const octet = (mode: Mode): number => 100 + modeNames.indexOf(mode);
const poolCidr = (mode: Mode): string => `10.${octet(mode)}.0.0/16`;
const blockOf = (mode: Mode, node: keyof typeof hosts): Prefix =>
  prefix(`10.${octet(mode)}.${node.slice(1)}.0/26`);
const pool = (mode: Mode): IPPool => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name: mode },
  spec: { cidr: poolCidr(mode), ...modes[mode] },
});

const set = (kind: string, name: string, spec: object): CalcUpdate | PolicyUpdate =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec },
  }) as unknown as CalcUpdate;

/** What the agent of n1 writes, as `mode node`, for every value of FelixConfiguration. */
async function writtenByFelix(): Promise<ReadonlyMap<Value, ReadonlySet<string>>> {
  const kernel = new FakeHost().kernel();
  const eth0 = expect(
    await kernel.links.create({ kind: 'veth', name: 'eth0', up: true, mtu: 1500, peer: { name: 'wire' } }),
    'eth0',
  );
  const own = { address: address(hosts.n1), length: 24, linkIndex: eth0.index };
  for (const outcome of await kernel.addresses.apply([{ op: 'add', address: own }])) expect(outcome, 'add');
  const graph = new CalculationGraph({ nodeName: 'n1', blackholeProtocol: 12, policy: true });
  const dataplane = new Dataplane({ kernel });
  expect(await dataplane.readHostInterfaces(), 'interfaces');
  graph.setHostInterfaces([{ name: 'eth0', mtu: 1500, up: true }]);
  for (const mode of modeNames) graph.update(set('IPPool', mode, pool(mode).spec));
  for (const [name, host] of Object.entries(hosts)) {
    const tunnel = `10.${octet('vxlan')}.${name.slice(1)}.1`;
    const bgp = { ipv4Address: `${host}/24`, ipv4IPIPTunnelAddr: `10.${octet('ipip')}.${name.slice(1)}.1` };
    graph.update(set('Node', name, { bgp, ipv4VXLANTunnelAddr: tunnel }));
    for (const mode of modeNames) {
      const cidr = blockOf(mode, name as keyof typeof hosts);
      const spec = { cidr, affinity: `host:${name}`, allocations: [], attributes: [] };
      graph.update(set('IPAMBlock', cidr.replaceAll(/[./]/g, '-'), spec));
    }
  }
  const written = new Map<Value, ReadonlySet<string>>();
  let isStarted = false;
  for (const value of values) {
    graph.update(set('FelixConfiguration', 'default', { programClusterRoutes: value }));
    dataplane.apply(graph.flush());
    if (!isStarted) expect(await dataplane.start(), 'start');
    isStarted = true;
    // VXLAN's are always there; the others only by what is set.
    const wanted =
      (value.startsWith('EnabledIPIP')
        ? 4
        : value === 'EnabledNoEncapOnly'
          ? 1
          : value === 'Enabled'
            ? 5
            : 0) + 4;
    await until(async () => ((await routesOf(kernel)).size === wanted ? true : undefined), {
      timeoutMs: 10_000,
      everyMs: 20,
    });
    await dataplane.idle();
    written.set(value, await routesOf(kernel));
  }
  await dataplane.stop();
  return written;
}

async function routesOf(kernel: Kernel): Promise<ReadonlySet<string>> {
  const listed = expect(await kernel.routes.list({ table: mainTable, family: 4 }), 'routes');
  const there = new Set<string>(listed.filter((r) => r.type === 'unicast').map((r) => r.dst));
  return new Set(
    modeNames.flatMap((mode) =>
      remotes.filter((node) => there.has(blockOf(mode, node))).map((node) => `${mode} ${node}`),
    ),
  );
}

/** What the speaker of n1 writes of what n2 and n3 tell it. */
function writtenByBgp(value: Value): ReadonlySet<string> {
  const input: PlanInput = {
    nodeName: 'n1',
    nodes: Object.entries(hosts).map(([name, host]) => ({
      metadata: { name },
      spec: { bgp: { ipv4Address: `${host}/24` } },
    })),
    ipPools: modeNames.map(pool),
    blockAffinities: modeNames.map((mode) => ({ node: 'n1', cidr: blockOf(mode, 'n1'), state: 'confirmed' })),
    bgpConfigurations: [{ metadata: { name: 'default' }, spec: { programClusterRoutes: value } }],
  };
  const plan = computePlan(input);
  const program = plan.policies[plan.kernelPolicy[4]];
  assert.ok(program !== undefined);
  const attributes = { localPref: 100, asPath: [], communities: [], largeCommunities: [] };
  return new Set(
    modeNames.flatMap((mode) =>
      remotes
        .filter((node) => {
          const nextHop = address(hosts[node]);
          const subject = subjectOf({ prefix: blockOf(mode, node), source: 'bgp', nextHop, attributes });
          return explainPolicy(program, subject).verdict === 'accept';
        })
        .map((node) => `${mode} ${node}`),
    ),
  );
}

/** Where the packets need no tunnel and a router lies between, only the fabric knows the way: by BGP, or not at all. */
const isFabrics = (route: string): boolean => route === 'none n3';

test('RS-166, FX-160, BG-060, BG-061: sixteen pairs of programClusterRoutes: in four of them every route to another node has exactly one writer, in the others the warning names what has none or two', async () => {
  const felix = await writtenByFelix();
  const routes = modeNames.flatMap((mode) => remotes.map((node) => `${mode} ${node}`));
  const complementary: string[] = [];
  for (const [value, byFelix] of felix)
    for (const bgp of values) {
      const byBgp = writtenByBgp(bgp);
      const found = new Set<string>();
      for (const route of routes) {
        const writers = Number(byFelix.has(route)) + Number(byBgp.has(route));
        const isVxlan = route.startsWith('vxlan');
        if (isVxlan) assert.deepEqual([byFelix.has(route), byBgp.has(route)], [true, false], route);
        if (isFabrics(route)) assert.equal(byFelix.has(route), false, `${route} ${value}`);
        else if (writers !== 1) {
          const name: RouteClass = route.startsWith('ipip') ? 'IPIP' : 'no encapsulation';
          found.add(`${name} ${writers === 0 ? 'nobody' : 'both'}`);
        }
      }
      const told = clusterRouteGaps(value, bgp, routeClasses(modeNames.map((mode) => pool(mode).spec)));
      assert.deepEqual(
        told.map((gap) => `${gap.class} ${gap.writers}`).toSorted(),
        [...found].toSorted(),
        `${value} ${bgp}`,
      );
      if (found.size === 0) complementary.push(`${value}+${bgp}`);
    }
  assert.deepEqual(complementary, [
    'Enabled+Disabled',
    'Disabled+Enabled',
    'EnabledIPIPOnly+EnabledNoEncapOnly',
    'EnabledNoEncapOnly+EnabledIPIPOnly',
  ]);
});

test('RS-166, FX-160: settings that do not fit are told, once, by the log and an event; and when they fit again', () => {
  const said: string[] = [];
  const events: string[] = [];
  const logger = {
    ...silentLogger,
    warn: (text: string) => void said.push(text.split(':')[0] ?? ''),
    info: (text: string) => void said.push(text),
  };
  const writers = new RouteWriters({ logger, hasSpeaker: true, tell: (text) => void events.push(text) });
  const pools = [pool('ipip')];
  const config = resolveConfig({});
  writers.check(config, pools);
  assert.deepEqual(said, []);
  const bgp = (programClusterRoutes: string) => ({
    type: 'set' as const,
    kind: 'BGPConfiguration',
    object: { metadata: { name: 'default' }, spec: { programClusterRoutes } },
  });
  writers.take([bgp('Enabled')]);
  writers.check(config, pools);
  writers.check(config, pools);
  assert.deepEqual(said, ['Routes of pools with IPIP are written by Felix and by BGP']);
  writers.take([bgp('Disabled')]);
  writers.check(resolveConfig({ environment: { ProgramClusterRoutes: 'Disabled' } }), pools);
  assert.deepEqual(said.slice(1), ['Routes of pools with IPIP are written by nobody']);
  writers.take([{ type: 'delete', kind: 'BGPConfiguration', name: { name: 'default' } }]);
  writers.check(config, pools);
  assert.deepEqual(said.slice(2), ['Routes to other nodes have one writer each again']);
  assert.deepEqual(events, [
    'Routes of pools with IPIP are written by Felix and by BGP: programClusterRoutes of FelixConfiguration is EnabledIPIPOnly, of BGPConfiguration Enabled.',
    'Routes of pools with IPIP are written by nobody: programClusterRoutes of FelixConfiguration is Disabled, of BGPConfiguration Disabled.',
  ]);
  const alone = new RouteWriters({
    logger: silentLogger,
    hasSpeaker: false,
    tell: (text) => void events.push(text),
  });
  alone.check(config, [pool('none')]);
  assert.equal(
    events.at(-1),
    'Routes of pools with no encapsulation are written by nobody: programClusterRoutes of FelixConfiguration is EnabledIPIPOnly, and no speaker runs.',
  );
});
