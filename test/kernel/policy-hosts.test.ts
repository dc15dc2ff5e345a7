// Host endpoints in nftables, on real packets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { TestNode, unable } from './support/felix-node.ts';
import { PolicyFelix } from './support/policy-felix.ts';

const skip = unable('nft') ?? false;
const a = '10.244.1.2';
const out = '10.0.0.254';
const host = '10.0.0.1';

/** A pod behind the node, reachable from outside, and a host endpoint. */
async function prepared(node: TestNode, felix: PolicyFelix, endpoint: object): Promise<void> {
  await node.pod('a', a);
  node.ip('out', 'route add 10.244.1.0/24 via 10.0.0.1');
  felix.endpoint('a', [`${a}/32`]);
  felix.set('HostEndpoint', 'h', { node: 'n1', ...endpoint }, { host: 'n1' });
}

const policy = (spec: object): object => ({ selector: 'host == "n1"', ...spec });
const deny = { action: 'Deny' };

test('RS-140, RS-141, RS-143, FX-051, FX-052: a host endpoint without policy is closed but for failsafe ports; what passes through is not its concern', {
  skip,
}, async () => {
  for (const endpoint of [{ interfaceName: 'eth0' }, { expectedIPs: [host] }, { interfaceName: '*' }]) {
    await using node = await TestNode.make();
    await using felix = new PolicyFelix(node);
    await prepared(node, felix, endpoint);
    await felix.start();
    const what = JSON.stringify(endpoint);
    await felix.listen('node', 179, 8080);
    await felix.listen('out', 179, 8080);
    assert.equal(await node.ping('out', host), undefined, `in, ${what}`);
    assert.equal(await node.ping('node', out), undefined, `out, ${what}`);
    assert.deepEqual(await felix.connect('out', host, 179), ['open'], `failsafe in, ${what}`);
    assert.deepEqual(await felix.connect('node', out, 179), ['open'], `failsafe out, ${what}`);
    assert.deepEqual(await felix.connect('out', host, 8080), ['silent'], what);
    assert.equal(await node.ping('out', a), 63, `through, ${what}`);
    assert.equal(await node.ping('node', a), 64, `to its own pod, ${what}`);
    assert.equal(await node.ping('node', '127.0.0.1'), 64, `to itself, ${what}`);
    felix.remove('HostEndpoint', 'h');
    await felix.apply();
    assert.equal(await node.ping('out', host), 64, `open again, ${what}`);
    assert.doesNotMatch(
      await felix.nft('list', 'table', 'ip', 'calico'),
      /hep-|host-in|failsafe/,
      'nothing is left',
    );
  }
});

test('RS-142: a name finds before an address, an address before all; of equals the lowest name', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await prepared(node, felix, { interfaceName: '*' });
  const allow = { profiles: ['projectcalico-default-allow'] };
  await felix.start();
  assert.equal(await node.ping('out', host), undefined);
  felix.set('HostEndpoint', 'by-address', { node: 'n1', expectedIPs: [host], ...allow });
  await felix.apply();
  assert.equal(await node.ping('out', host), 64);
  felix.set('HostEndpoint', 'z-named', { node: 'n1', interfaceName: 'eth0' });
  await felix.apply();
  assert.equal(await node.ping('out', host), undefined);
  felix.set('HostEndpoint', 'a-named', { node: 'n1', interfaceName: 'eth0', ...allow });
  await felix.apply();
  assert.equal(await node.ping('out', host), 64);
  felix.remove('HostEndpoint', 'a-named');
  felix.remove('HostEndpoint', 'z-named');
  await felix.apply();
  assert.equal(await node.ping('out', host), 64, 'by its address again');
  // The address moves away from the interface.
  node.ip('node', 'addr add 10.0.0.9/24 dev eth0');
  node.ip('node', `addr del ${host}/24 dev eth0`);
  const isClosed = async () => ((await node.ping('out', '10.0.0.9')) === undefined ? true : undefined);
  assert.ok(await until(isClosed, { timeoutMs: 30_000 }), 'now it is only the one for all');
});

test('FX-152: on interfaces of InterfaceExclude a host endpoint is not found by its addresses', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await prepared(node, felix, { expectedIPs: [host] });
  await felix.start();
  assert.equal(await node.ping('out', host), undefined);
  felix.set('FelixConfiguration', 'default', { interfaceExclude: 'kube-ipvs0,/^et.0$/' });
  await felix.apply();
  assert.ok(await node.pingWorks('out', host));
  felix.set('FelixConfiguration', 'default', {});
  await felix.apply();
  assert.equal(await node.ping('out', host), undefined);
});

test('FX-043, FX-049, RS-143: applyOnForward polices what passes through, in and out', { skip }, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await prepared(node, felix, { interfaceName: 'eth0', profiles: ['projectcalico-default-allow'] });
  felix.set('GlobalNetworkPolicy', 'p', policy({ types: ['Ingress'], ingress: [deny] }));
  await felix.start();
  assert.equal(await node.ping('out', a), 63);
  felix.set(
    'GlobalNetworkPolicy',
    'p',
    policy({ applyOnForward: true, types: ['Ingress'], ingress: [deny] }),
  );
  await felix.apply();
  assert.equal(await node.ping('out', a), undefined);
  assert.equal(await node.ping('a', out), 63, 'the other way has no policy');
  felix.set('GlobalNetworkPolicy', 'p', policy({ applyOnForward: true, types: ['Egress'], egress: [deny] }));
  await felix.apply();
  assert.equal(await node.ping('out', a), 63);
  assert.equal(await node.ping('a', out), undefined);
});

test('FX-041: policy before translation sees the destination that the sender named; what it allows is not asked again', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await prepared(node, felix, { interfaceName: 'eth0' });
  await felix.listen('a', 80);
  await felix.listen('node', 8080);
  // A node port, as kube-proxy would make it.
  await felix.nft('add table ip proxy');
  await felix.nft('add chain ip proxy pre { type nat hook prerouting priority -100 ; }');
  await felix.nft(`add rule ip proxy pre tcp dport 30080 dnat to ${a}:80`);
  const early = (ingress: readonly object[]): object =>
    policy({ preDNAT: true, applyOnForward: true, types: ['Ingress'], ingress });
  felix.set(
    'GlobalNetworkPolicy',
    'p',
    early([{ action: 'Deny', protocol: 'TCP', destination: { ports: [30080] } }]),
  );
  await felix.start();
  assert.deepEqual(await felix.connect('out', host, 30080), ['silent']);
  felix.set(
    'GlobalNetworkPolicy',
    'p',
    early([{ action: 'Deny', protocol: 'TCP', destination: { ports: [80] } }]),
  );
  await felix.apply();
  assert.deepEqual(await felix.connect('out', host, 30080), ['open'], 'the translated port is not seen');
  assert.deepEqual(await felix.connect('out', host, 8080), ['silent'], 'the host itself is closed');
  felix.set(
    'GlobalNetworkPolicy',
    'p',
    early([{ action: 'Allow', protocol: 'TCP', destination: { ports: [8080] } }]),
  );
  await felix.apply();
  assert.deepEqual(await felix.connect('out', host, 8080), ['open'], 'allowed early');
});

test('FX-037, FX-040: untracked policy works without connection tracking, both ways', {
  skip: skip || unable('conntrack'),
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await prepared(node, felix, { interfaceName: 'eth0' });
  const untracked = (direction: 'Ingress' | 'Egress'): object => ({
    [direction.toLowerCase()]: [{ action: 'Allow', protocol: 'ICMP' }],
  });
  felix.set(
    'GlobalNetworkPolicy',
    'p',
    policy({ doNotTrack: true, applyOnForward: true, types: ['Ingress'], ...untracked('Ingress') }),
  );
  await felix.start();
  assert.equal(await node.ping('out', host), undefined, 'the answer is not allowed');
  felix.set(
    'GlobalNetworkPolicy',
    'p',
    policy({
      doNotTrack: true,
      applyOnForward: true,
      types: ['Ingress', 'Egress'],
      ...untracked('Ingress'),
      ...untracked('Egress'),
    }),
  );
  await felix.apply();
  await node.run('node', ['conntrack', '-F']);
  assert.equal(await node.ping('out', host), 64);
  const { output } = await node.run('node', ['conntrack', '-L', '-p', 'icmp']);
  assert.doesNotMatch(output, /icmp +1 /, 'nothing is tracked');
});

test('FX-154: failsafe ports with a net are open for that net only; none closes all', { skip }, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await prepared(node, felix, { interfaceName: 'eth0' });
  felix.set('FelixConfiguration', 'default', {
    failsafeInboundHostPorts: [
      { protocol: 'TCP', port: 22, net: '10.0.0.0/24' },
      { protocol: 'TCP', port: 23, net: '10.9.0.0/24' },
    ],
  });
  await felix.start();
  await felix.listen('node', 22, 23, 179);
  assert.deepEqual(await felix.connect('out', host, 22), ['open']);
  assert.deepEqual(await felix.connect('out', host, 23), ['silent']);
  assert.deepEqual(await felix.connect('out', host, 179), ['silent']);
  felix.set('FelixConfiguration', 'default', { failsafeInboundHostPorts: [] });
  await felix.apply();
  assert.deepEqual(await felix.connect('out', host, 22), ['silent']);
});

test('FX-017: tables of kube-proxy and chains of Docker stay as they are while policy comes, changes and goes', {
  skip: skip || unable('iptables-nft'),
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  const run = (command: string) => node.run('node', command.split(' '));
  for (const command of [
    'iptables-nft -N DOCKER',
    'iptables-nft -A FORWARD -o docker0 -j DOCKER',
    'iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE',
    'nft add table ip kube-proxy',
    'nft add map ip kube-proxy services { type ipv4_addr . inet_service : verdict ; }',
    'nft add chain ip kube-proxy pre { type nat hook prerouting priority -100 ; }',
  ])
    await run(command);
  const others = async (): Promise<string> =>
    (await felix.nft('list', 'ruleset'))
      .replace(/table ip6? calico \{[^]*?\n\}\n/g, '')
      .replace(/# Warning.*\n/g, '');
  const before = await others();
  assert.match(before, /DOCKER[^]*kube-proxy/);
  await prepared(node, felix, { interfaceName: '*' });
  felix.set(
    'GlobalNetworkPolicy',
    'p',
    policy({ applyOnForward: true, types: ['Ingress'], ingress: [deny] }),
  );
  await felix.start();
  const resyncs = felix.dataplane.status().nftables.counters.dumps;
  await run('nft add element ip kube-proxy services { 10.96.0.1 . 443 : accept }');
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(
    felix.dataplane.status().nftables.counters.dumps,
    resyncs,
    'others’ changes are no reason to read ours',
  );
  await run('nft delete element ip kube-proxy services { 10.96.0.1 . 443 }');
  felix.remove('GlobalNetworkPolicy', 'p');
  felix.remove('HostEndpoint', 'h');
  await felix.apply();
  assert.equal(await others(), before);
});
