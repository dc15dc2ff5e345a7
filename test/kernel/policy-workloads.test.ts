// Policy of workloads in nftables, on real packets.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { until as waitUntil } from '../../src/lib/wait.ts';
import { TestNode, unable } from './support/felix-node.ts';
import { PolicyFelix } from './support/policy-felix.ts';

const skip = unable('nft', 'nc', 'tcpdump') ?? false;
const a = '10.244.1.2';
const b = '10.244.1.3';
const out = '10.0.0.254';
const host = '10.0.0.1';

async function pods(felix: PolicyFelix, more: object = {}): Promise<void> {
  await felix.node.pod('a', a);
  await felix.node.pod('b', b);
  felix.endpoint('a', [`${a}/32`], more);
  felix.endpoint('b', [`${b}/32`]);
}

test('FX-020, FX-031, RS-084, SR-023: an interface nobody knows is closed both ways; so is one whose profile does not exist', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  await node.pod('c', '10.244.1.4');
  await felix.start();
  node.ip('node', 'route add 10.244.1.4/32 dev calic');
  assert.equal(await node.ping('a', b), 63);
  assert.equal(await node.ping('a', '10.244.1.4'), undefined, 'to it');
  assert.equal(await node.ping('c', a), undefined, 'from it');
  felix.endpoint('c', ['10.244.1.4/32'], { profiles: ['lost'] });
  await felix.apply();
  assert.equal(await node.ping('a', '10.244.1.4'), undefined);
  felix.endpoint('c', ['10.244.1.4/32']);
  await felix.apply();
  assert.equal(await node.ping('a', '10.244.1.4'), 63);
});

test('FX-048, FX-050, FX-057, FX-058: egress of the source and ingress of the destination must both allow; what is established goes on', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  await felix.start();
  const flow = node.run('a', ['ping', '-n', '-q', '-i', '0.05', '-c', '20', b]);
  await node.ping('a', b);
  felix.set('NetworkPolicy', 'b', {
    selector: 'app == "b"',
    types: ['Ingress'],
    ingress: [{ action: 'Allow', protocol: 'TCP' }],
  });
  await felix.apply();
  assert.equal(await node.ping('a', b), undefined, 'a new flow meets the policy');
  assert.match((await flow).output, /20 received/, 'the old one does not');
  felix.set('NetworkPolicy', 'b', {
    selector: 'app == "b"',
    types: ['Ingress'],
    ingress: [{ action: 'Allow', protocol: 'ICMP', icmp: { type: 8, code: 0 } }],
  });
  felix.set('NetworkPolicy', 'a', {
    selector: 'app == "a"',
    types: ['Egress'],
    egress: [{ action: 'Deny', protocol: 'ICMP' }, { action: 'Allow' }],
  });
  await felix.apply();
  assert.equal(await node.ping('a', b), undefined, 'denied where it leaves');
  felix.remove('NetworkPolicy', 'a');
  await felix.apply();
  assert.equal(await node.ping('a', b), 63);
});

test('FX-044, FX-153: what a pod sends to its host meets its egress policy, then DefaultEndpointToHostAction, which changes live', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  await felix.start();
  assert.equal(await node.ping('a', host), undefined, 'Drop is the default');
  assert.equal(await node.ping('node', a), 64, 'a host reaches its own pods (FX-045)');
  felix.set('FelixConfiguration', 'default', { defaultEndpointToHostAction: 'Accept' });
  await felix.apply();
  assert.equal(await node.ping('a', host), 64);
  felix.set('NetworkPolicy', 'a', { selector: 'app == "a"', types: ['Egress'], egress: [] });
  await felix.apply();
  assert.equal(await node.ping('a', host), undefined, 'egress policy comes first');
});

test('FX-040, FX-138, SR-023: a pod sends from its own addresses only; from foreign ones where it asked and the host allows', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix, { allowSpoofedSourcePrefixes: ['10.99.0.0/24'] });
  node.ip('out', 'route add 10.244.1.0/24 via 10.0.0.1');
  node.ip('out', 'route add 10.99.0.0/16 via 10.0.0.1');
  for (const forged of ['10.99.0.1/32', '10.99.1.1/32']) node.ip('a', `addr add ${forged} dev eth0`);
  await felix.start();
  const seen = async (source: string): Promise<boolean> => {
    const before = received(node, 'out');
    await node.run('a', ['ping', '-n', '-c', '1', '-W', '1', '-I', source, out]);
    return received(node, 'out') > before;
  };
  assert.equal(await seen(a), true);
  assert.equal(await seen('10.99.0.1'), false, 'Disabled is the default');
  felix.set('FelixConfiguration', 'default', { workloadSourceSpoofing: 'Any' });
  await felix.apply();
  assert.equal(await seen('10.99.0.1'), true);
  assert.equal(await seen('10.99.1.1'), false, 'outside of what it asked for');
});

test('FX-040, BG-021: a pod that leads to a network sends from there, and not from addresses of others', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  node.ip('out', 'route add 10.244.1.0/24 via 10.0.0.1');
  node.ip('out', 'route add 10.99.0.0/16 via 10.0.0.1');
  for (const one of ['10.99.0.1/32', '10.99.1.1/32', `${b}/32`]) node.ip('a', `addr add ${one} dev eth0`);
  await felix.start();
  const seen = async (source: string): Promise<boolean> => {
    const before = received(node, 'out');
    await node.run('a', ['ping', '-n', '-c', '1', '-W', '1', '-I', source, out]);
    return received(node, 'out') > before;
  };
  assert.equal(await seen('10.99.0.1'), false);
  // As the speaker writes what the pod announces; it may claim the block around the other pod as well.
  for (const network of ['10.99.0.0/24', '10.244.1.0/25'])
    node.ip('node', `route add ${network} via ${a} dev calia onlink`);
  assert.equal(await seen('10.99.0.1'), true);
  assert.equal(await seen('10.99.1.1'), false, 'beside what the pod leads to');
  assert.equal(await seen(b), false, 'another pod has its own route');
  assert.equal(await seen(a), true);
  node.ip('node', 'route del 10.99.0.0/24');
  assert.equal(await seen('10.99.0.1'), false, 'the route is gone');
});

/** Echo requests that arrived. */
function received(node: TestNode, part: string): number {
  const lines = execFileSync('ip', ['netns', 'exec', node.ns(part), 'cat', '/proc/net/snmp'], {
    encoding: 'utf8',
  })
    .split('\n')
    .filter((line) => line.startsWith('Icmp:'));
  const [names = [], values = []] = lines.map((line) => line.split(' '));
  return Number(values[names.indexOf('InEchos')]);
}

test('FX-047: workloads cannot speak VXLAN or IP in IP, unless that is allowed', { skip }, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  await felix.start();
  const send = (): Promise<unknown> =>
    node.run('a', ['sh', '-c', `echo x | timeout 1 nc -u -w 1 ${out} 4789; true`]);
  await send();
  const drops = async (): Promise<number> =>
    Number(
      /udp dport 4789 counter packets (\d+)/.exec(
        await felix.nft('list', 'chain', 'ip', 'calico', 'from-workload'),
      )?.[1] ?? Number.NaN,
    );
  assert.ok((await drops()) > 0);
  felix.set('FelixConfiguration', 'default', { allowVXLANPacketsFromWorkloads: true });
  await felix.apply();
  assert.ok(Number.isNaN(await drops()), 'the rule is gone');
});

test('FX-053: neighbour discovery of IPv6 works whatever policy says', { skip }, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  node.ip('a', 'addr add fd00::2/128 dev eth0 nodad');
  node.ip('node', 'addr add fd00:1::1/64 dev eth0 nodad');
  felix.endpoint('a', [`${a}/32`, 'fd00::2/128']);
  felix.set('NetworkPolicy', 'none', { types: ['Ingress', 'Egress'] });
  felix.set('FelixConfiguration', 'default', { defaultEndpointToHostAction: 'Accept' });
  await felix.start();
  // Addresses of the link count when nobody else was found to have them.
  const isTentative = (part: string): boolean => node.ip(part, 'addr show').includes('tentative');
  await until(async () => !isTentative('node') && !isTentative('a'));
  const gateway = /inet6 (fe80::[^/]+)/.exec(node.ip('node', 'addr show calia'))?.[1] ?? '';
  node.ip('a', `route add fd00:1::1 via ${gateway} dev eth0`);
  await node.ping('a', 'fd00:1::1');
  assert.match(node.ip('a', `neigh show ${gateway}`), /lladdr ee:ee/, 'the host answers');
  assert.equal(await node.ping('a', 'fd00:1::1'), undefined, 'and policy still denies');
});

test('FX-056: denied packets are rejected where that is wanted', { skip }, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  felix.set('NetworkPolicy', 'b', { selector: 'app == "b"', types: ['Ingress'] });
  await felix.start();
  await felix.listen('b', 80);
  assert.deepEqual(await felix.connect('a', b, 80), ['silent']);
  felix.set('FelixConfiguration', 'default', { nftablesFilterDenyAction: 'Reject' });
  await felix.apply();
  assert.deepEqual(await felix.connect('a', b, 80), ['refused']);
});

test('FX-035, FX-017: counters of rules live on through changes of policy, other agents and repairs', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  const rule = { action: 'Allow', source: { selector: 'app == "a"' }, protocol: 'ICMP' };
  felix.set('NetworkPolicy', 'b', { selector: 'app == "b"', types: ['Ingress'], ingress: [rule] });
  await felix.start();
  const comment = 'default np:default/b ingress[0] allow';
  await node.ping('a', b);
  assert.equal(await felix.count(comment), 1);
  felix.set('NetworkPolicy', 'more', {
    order: 1,
    selector: 'app == "b"',
    types: ['Ingress'],
    ingress: [{ action: 'Allow', protocol: 'TCP' }],
  });
  await felix.apply();
  await node.ping('a', b);
  assert.equal(await felix.count(comment), 2, 'after a change around it');
  felix.set('NetworkPolicy', 'b', {
    selector: 'app == "b"',
    types: ['Ingress'],
    ingress: [rule, { action: 'Allow', protocol: 'UDP' }],
  });
  await felix.apply();
  assert.equal(await felix.count(comment), 2, 'after a change of its policy');
  await felix.dataplane.stop();

  await using second = new PolicyFelix(node);
  second.endpoint('a', [`${a}/32`]);
  second.endpoint('b', [`${b}/32`]);
  second.set('NetworkPolicy', 'b', { selector: 'app == "b"', types: ['Ingress'], ingress: [rule] });
  await second.start();
  await node.ping('a', b);
  assert.equal(await second.count(comment), 3, 'after a restart with another policy beside it');
  const chain = /chain (in-\w+) \{/.exec(await second.nft('list', 'table', 'ip', 'calico'))?.[1] ?? '';
  await second.nft('flush', 'chain', 'ip', 'calico', chain);
  await until(async () => (await second.nft('list', 'chain', 'ip', 'calico', chain)).includes('goto'));
  assert.equal(await second.count(comment), 3, 'after somebody emptied a chain, which came back at once');
});

/** Waits for it, as long as a busy machine may take. */
async function until(done: () => Promise<boolean> | boolean): Promise<void> {
  const isDone = async (): Promise<true | undefined> => ((await done()) ? true : undefined);
  assert.ok(await waitUntil(isDone, { timeoutMs: 60_000, everyMs: 40 }), `never: ${done.toString()}`);
}

test('RS-190, FX-121, FX-122, SR-014: connections beyond the limit are reset, packets beyond the rate are dropped, DSCP is written on what leaves the pools', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  node.ip('out', 'route add 10.244.1.0/24 via 10.0.0.1');
  felix.endpoint('b', [`${b}/32`], { qosControls: { ingressMaxConnections: 3 } });
  felix.endpoint('a', [`${a}/32`], { qosControls: { egressPacketRate: 10, egressPacketBurst: 5, dscp: 46 } });
  felix.set('IPPool', 'p', { cidr: '10.244.0.0/16' });
  await felix.start();
  await felix.listen('b', 80);
  assert.deepEqual(await felix.connect('out', b, 80, 5), ['open', 'open', 'open', 'refused', 'refused']);
  const { output } = await node.run('a', ['ping', '-n', '-q', '-i', '0.01', '-c', '50', '-W', '1', b]);
  const passed = Number(/(\d+) received/.exec(output)?.[1]);
  assert.ok(passed >= 5 && passed <= 20, output);
  /** The type of service that an echo request arrives with. */
  const arrives = async (part: string, to: string): Promise<string | undefined> => {
    const argv = ['-n', '-v', '-c', '1', '-i', 'eth0', '--immediate-mode', 'icmp', 'and', 'src', a];
    const capture = node.run(part, ['timeout', '20', 'tcpdump', ...argv]);
    const isOver = capture.then(() => true);
    while (!(await Promise.race([isOver, node.ping('a', to).then(() => false)])));
    return /tos (0x[0-9a-f]+)/.exec((await capture).output)?.[1];
  };
  assert.equal(await arrives('out', out), '0xb8', 'EF');
  assert.equal(await arrives('b', b), '0x0', 'not to other pods');
  felix.endpoint('a', [`${a}/32`]);
  felix.endpoint('b', [`${b}/32`]);
  await felix.apply();
  assert.doesNotMatch(
    await felix.nft('list', 'table', 'ip', 'calico'),
    /rate-|count-|dscp/,
    'nothing is left',
  );
});

test('SR-013: the rules of a pod are found by its interface', { skip }, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  felix.set('NetworkPolicy', 'only-web', {
    selector: 'app == "a"',
    types: ['Ingress'],
    ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [80] } }],
  });
  await felix.start();
  const table = await felix.nft('list', 'table', 'ip', 'calico');
  const blocks = new Map(
    [...table.matchAll(/^\t(chain|map) (\S+) \{\n(.*?)^\t\}/gms)].map(([, kind, name, text]) => [
      `${kind === 'map' ? '@' : ''}${name}`,
      text ?? '',
    ]),
  );
  /** All that a packet to the interface can meet. */
  const rulesOf = (name: string): string => {
    const [, first] = new RegExp(`"${name}" : goto ([\\w-]+)`).exec(blocks.get('@to-workload') ?? '') ?? [];
    const met = new Set([first ?? '']);
    for (const block of met)
      for (const [, next] of (blocks.get(block) ?? '').matchAll(/(?:goto |jump |vmap )(@?[\w-]+)/g))
        met.add(next ?? '');
    return [...met].map((block) => blocks.get(block) ?? '').join('');
  };
  assert.match(rulesOf('calia'), /default np:default\/only-web/);
  assert.doesNotMatch(rulesOf('calib'), /only-web/);
});

test('FX-008: what the kernel refuses is closed, and opens when it is taken', { skip }, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  await felix.start();
  assert.equal(await node.ping('a', b), 63);
  // A set that is gone under our hands: the chain that looks at it cannot be written.
  const { nftables } = node.kernel;
  const apply = nftables.apply.bind(nftables);
  let refuses = true;
  nftables.apply = (commands) => {
    const index = commands.findIndex(
      (one) =>
        one.op === 'add-rule' &&
        one.rule.comment?.includes('default np:default/b ingress[0] log') === true &&
        one.rule.expression !== 'drop',
    );
    if (index < 0 || !refuses) return apply(commands);
    return Promise.resolve({
      ok: false,
      error: { code: 'InvalidArgument', message: 'refused for the test', commandIndex: index },
    });
  };
  felix.set('NetworkPolicy', 'b', {
    selector: 'app == "b"',
    types: ['Ingress'],
    ingress: [{ action: 'Log', source: { ports: [1] }, protocol: 'TCP' }, { action: 'Allow' }],
  });
  felix.dataplane.apply(felix.graph.flush());
  await felix.dataplane.idle();
  assert.equal(await node.ping('a', b), undefined, 'closed while it cannot be said');
  refuses = false;
  await until(async () => (await node.ping('a', b)) === 63);
  await felix.settled();
});

test('FX-057, FX-082: with PolicyChangeConnections=Cut a change of policy cuts what it no longer allows, and only that', {
  skip: skip || unable('conntrack'),
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await pods(felix);
  const allow = (...ports: readonly number[]): object => ({
    selector: 'app == "b"',
    types: ['Ingress'],
    ingress: [
      { action: 'Allow', protocol: 'TCP', source: { selector: 'app == "a"' }, destination: { ports } },
    ],
  });
  felix.set('NetworkPolicy', 'b', allow(80, 81));
  await felix.start();
  await felix.listen('b', 80, 81);
  const held = [80, 81].map((port) => node.spawn('a', ['sh', '-c', `exec nc ${b} ${port}`]));
  const tracked = async (): Promise<readonly string[]> => {
    const { output } = await node.run('node', ['conntrack', '-L', '-p', 'tcp']);
    return ['80', '81'].filter((port) => output.includes(`dport=${port} `) && output.includes('ESTABLISHED'));
  };
  await until(async () => (await tracked()).length === 2);
  felix.set('NetworkPolicy', 'b', allow(81));
  await felix.apply();
  assert.deepEqual(await tracked(), ['80', '81'], 'Keep is the default');
  felix.set('NetworkPolicy', 'b', allow(80, 81));
  felix.set('FelixConfiguration', 'default', { policyChangeConnections: 'Cut' });
  await felix.apply();
  assert.deepEqual(await tracked(), ['80', '81']);
  felix.set('NetworkPolicy', 'b', allow(81));
  await felix.apply();
  assert.deepEqual(await tracked(), ['81']);
  felix.endpoint('a', [`${a}/32`], { profiles: ['kns.default', 'other'] });
  felix.set(
    'WorkloadEndpoint',
    'a',
    {
      node: 'n1',
      orchestrator: 'k8s',
      interfaceName: 'calia',
      ipNetworks: [`${a}/32`],
      profiles: ['kns.default'],
      containerID: 'a',
    },
    { app: 'other' },
  );
  await felix.apply();
  assert.deepEqual(await tracked(), [], 'the peer’s labels are of account, too');
  for (const child of held) child.kill('SIGKILL');
});

test('FX-008: a set that is full closes the programs that look into it, and opens them when nothing is missing', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  const nft = async (...argv: readonly string[]): Promise<string> => {
    const { code, output } = await node.run('node', ['nft', ...argv]);
    assert.equal(code, 0, output);
    return output;
  };
  // Somebody made the map of classes before us, and too small: the kernel refuses all but one address.
  const key = await classMap();
  await nft('add', 'table', 'ip', 'calico');
  await nft('add', 'map', 'ip', 'calico', 'hosts', `{ ${key}; size 1; }`);
  await using felix = new PolicyFelix(node);
  await pods(felix);
  const denied = (...nets: readonly string[]): void => felix.set('NetworkSet', 'bad', { nets }, { bad: '' });
  denied(a);
  felix.set('NetworkPolicy', 'b', {
    selector: 'app == "b"',
    types: ['Ingress'],
    ingress: [{ action: 'Deny', source: { selector: 'has(bad)' } }, { action: 'Allow' }],
  });
  await felix.start();
  assert.equal(await node.ping('a', b), undefined);
  assert.equal(await node.ping('node', b), 64, 'a host reaches its own pods');
  const open = await nft('list', 'table', 'ip', 'calico');
  denied(a, '203.0.113.9/32', '203.0.113.10/32');
  felix.dataplane.apply(felix.graph.flush());
  await felix.dataplane.idle();
  const { unfinished } = felix.dataplane.status().nftables;
  assert.ok(unfinished.length >= 3, `two addresses and a program: ${JSON.stringify(unfinished)}`);
  const program = /chain (program-\S+) \{[^}]*vmap @p-/.exec(open)?.[1] ?? '';
  assert.match(await nft('list', 'chain', 'ip', 'calico', program), /\{\s+drop/, 'closed');
  denied(a);
  felix.dataplane.apply(felix.graph.flush());
  await until(async () => /vmap @p-/.test(await nft('list', 'chain', 'ip', 'calico', program)));
  await felix.settled();

  /** How the map is declared, as another run makes it. */
  async function classMap(): Promise<string> {
    await using other = await TestNode.make();
    await using run = new PolicyFelix(other);
    await pods(run);
    run.set('NetworkPolicy', 'b', {
      selector: 'app == "b"',
      types: ['Ingress'],
      ingress: [{ action: 'Deny', source: { selector: 'has(app)' } }, { action: 'Allow' }],
    });
    await run.start();
    const { output } = await other.run('node', ['nft', 'list', 'map', 'ip', 'calico', 'hosts']);
    return /type [^\n]*/.exec(output)?.[0] ?? output;
  }
});
