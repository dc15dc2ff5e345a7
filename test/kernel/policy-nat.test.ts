// Floating addresses and ranges of services, on real packets, by each back end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { TestNode, unable } from './support/felix-node.ts';
import { choosing, unableIptables, variants } from './support/iptables.ts';
import { PolicyFelix } from './support/policy-felix.ts';

const backEnds = [
  { name: 'nftables', environment: {}, skip: unable('nft') ?? false },
  ...variants.map((variant) => ({
    name: `iptables-${variant}`,
    environment: choosing(variant),
    skip: unableIptables(variant) ?? unable('nft') ?? false,
  })),
];
const [a, b] = ['10.244.1.2', '10.244.1.3'];
const floating = '10.9.9.9';
const router = '10.0.0.254';

/** Of whom nobody hears within a second. */
const silent = async (node: TestNode, part: string, address: string): Promise<void> =>
  assert.equal(await node.ping(part, address), undefined, `${part} to ${address}`);
const answered = async (node: TestNode, part: string, address: string): Promise<void> =>
  assert.ok(await node.pingWorks(part, address), `${part} to ${address}`);

for (const { name, environment, skip } of backEnds) {
  test(`FX-042, FX-046, FX-067, ${name}: a floating address leads to its pod from everywhere, from the pod itself, and by its policy`, {
    skip,
  }, async () => {
    await using node = await TestNode.make();
    await using felix = new PolicyFelix(node, environment);
    await node.pod('a', a);
    await node.pod('b', b);
    node.ip('out', 'route add 10.9.9.0/24 via 10.0.0.1');
    const configure = (floatingIPs: 'Enabled' | 'Disabled'): void =>
      felix.set('FelixConfiguration', 'default', { floatingIPs });
    felix.endpoint('a', [`${a}/32`], { ipNATs: [{ internalIP: a, externalIP: floating }] });
    felix.endpoint('b', [`${b}/32`]);
    configure('Enabled');
    await felix.start();
    for (const part of ['out', 'node', 'b', 'a']) await answered(node, part, floating);
    assert.match(node.ip('node', `route show ${floating}`), /dev calia/, 'the node leads there');
    felix.set('NetworkPolicy', 'a', {
      selector: 'app == "a"',
      types: ['Ingress'],
      ingress: [{ action: 'Allow', source: { selector: 'app == "b"' } }],
    });
    await felix.apply();
    await answered(node, 'b', floating);
    await silent(node, 'out', floating);
    felix.remove('NetworkPolicy', 'a');
    configure('Disabled');
    await felix.apply();
    await silent(node, 'b', floating);
    assert.equal(node.ip('node', `route show ${floating}`), '');
  });

  test(`FX-068, ${name}: what is for a range of services and for none of them is not sent back to the router`, {
    skip,
  }, async () => {
    await using node = await TestNode.make();
    await using felix = new PolicyFelix(node, environment);
    // Router and node point at each other.
    node.ip('out', 'route add 10.96.0.0/12 via 10.0.0.1');
    node.ip('node', 'route add default via 10.0.0.254');
    const quick = ['icmp_ratelimit=0', 'conf.all.send_redirects=0', 'conf.eth0.send_redirects=0'];
    await node.run('node', ['sysctl', '-qw', ...quick.map((one) => `net.ipv4.${one}`)]);
    felix.set('BGPConfiguration', 'default', { serviceClusterIPs: [{ cidr: '10.96.0.0/12' }] });
    const configure = (serviceLoopPrevention: string): void =>
      felix.set('FelixConfiguration', 'default', { serviceLoopPrevention });
    configure('Disabled');
    await felix.start();
    const nft = async (...argv: readonly string[]): Promise<string> =>
      (await node.run('out', ['nft', ...argv])).output;
    await nft('add', 'table', 'ip', 'seen');
    await nft('add', 'chain', 'ip', 'seen', 'back', '{ type filter hook prerouting priority -300; }');
    await nft('add', 'rule', 'ip', 'seen', 'back', 'ip', 'daddr', '10.96.0.0/12', 'counter');
    /** How many packets to the address have come back to the router. */
    const returned = async (address: string): Promise<number> => {
      const count = async (): Promise<number> =>
        Number(/counter packets (\d+)/.exec(await nft('list', 'chain', 'ip', 'seen', 'back'))?.[1]);
      const before = await count();
      await node.run('out', ['ping', '-n', '-c', '2', '-i', '0.1', '-W', '0.3', address]);
      return (await count()) - before;
    };
    assert.ok((await returned('10.96.7.7')) > 0, 'this is the loop');
    configure('Drop');
    await felix.apply();
    assert.equal(await returned('10.96.7.7'), 0);
    configure('Reject');
    await felix.apply();
    const told = async (): Promise<true | undefined> => {
      const { output } = await node.run('out', ['ping', '-n', '-c', '1', '-W', '1', '10.96.7.7']);
      return /From 10\.0\.0\.1 .*Unreachable/.test(output) ? true : undefined;
    };
    assert.ok(await until(told, { timeoutMs: 60_000 }), 'who asks is told');
    felix.remove('BGPConfiguration', 'default');
    await felix.apply();
    assert.ok((await returned('10.96.7.7')) > 0, 'no range, nothing to prevent');
    assert.ok(await node.pingWorks('node', router));
  });
}
