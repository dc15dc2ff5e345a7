import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address, Prefix } from '../../../lib/ip/mod.ts';
import { expect } from '../../../lib/result.ts';
import { configureAddresses } from './addresses.ts';
import { choiceText } from './candidates.ts';
import { detectAddress, localCidr, parseInterfaces } from './detection.ts';
import { resolveNodeName } from './node-name.ts';
import { kubeadmPodSubnets, planDefaultPools } from './pools.ts';

const interfaces = parseInterfaces([
  { name: 'lo', cidrs: ['127.0.0.1/8', '::1/128'] },
  { name: 'docker0', cidrs: ['172.17.0.1/16'] },
  { name: 'eth0', cidrs: ['169.254.7.7/16', '10.0.0.11/24', 'fe80::1/64', 'fd00::11/64'] },
  { name: 'eth1', cidrs: ['30.0.0.11/24'] },
]);

test('BG-070: the node name: NODENAME as given, then HOSTNAME, then the host’s', () => {
  assert.equal(resolveNodeName({ NODENAME: ' Node-A ', systemHostname: 'x' }), 'Node-A');
  assert.equal(resolveNodeName({ NODENAME: ' ', HOSTNAME: 'HOST', systemHostname: 'x' }), 'host');
  assert.equal(resolveNodeName({ systemHostname: 'System' }), 'system');
});

test('SR-225, BG-071, BG-073: detection methods choose interface and address', async () => {
  const detect = async (method: string, family: 4 | 6 = 4): Promise<string> => {
    const found = await detectAddress(method, {
      family,
      interfaces,
      kubernetesAddresses: ['30.0.0.11'],
      sourceTowards: (host) => Promise.resolve(host === '8.8.8.8' ? ('30.0.0.11' as Address) : undefined),
    });
    return found.ok ? `${found.value.address}/${found.value.length}` : found.error.code;
  };
  assert.equal(await detect(''), '10.0.0.11/24');
  assert.equal(await detect('first-found', 6), 'fd00::11/64');
  assert.equal(await detect('interface=eth1,eth.*'), '30.0.0.11/24');
  assert.equal(await detect('interface=docker.*'), '172.17.0.1/16');
  assert.equal(await detect('skip-interface=eth0'), '30.0.0.11/24');
  assert.equal(await detect('cidr=192.0.2.0/24,30.0.0.0/8'), '30.0.0.11/24');
  assert.equal(await detect('can-reach=8.8.8.8'), '30.0.0.11/24');
  assert.equal(await detect('can-reach=192.0.2.1'), 'NothingFound');
  assert.equal(await detect('kubernetes-internal-ip'), '30.0.0.11/24');
  assert.equal(await detect('interface=('), 'BadMethod');
  assert.equal(await detect('magic'), 'BadMethod');
});

test('BG-072: devices of containers are passed over by first-found and its like, those of Calico by every method', async () => {
  const host = parseInterfaces([
    { name: 'lo', cidrs: ['127.0.0.1/8'] },
    { name: 'docker0', cidrs: ['172.17.0.1/16'] },
    { name: 'docker_gwbridge', cidrs: ['172.19.0.1/16'] },
    { name: 'br-1234deadbeaf', cidrs: ['172.18.0.1/16'] },
    { name: 'cbr0', cidrs: ['172.20.0.1/16'] },
    { name: 'dummy0', cidrs: ['172.21.0.1/16'] },
    { name: 'podman0', cidrs: ['10.88.0.1/16'] },
    { name: 'virbr0', cidrs: ['192.168.122.1/24'] },
    { name: 'lxcbr0', cidrs: ['10.0.3.1/24'] },
    { name: 'veth12', cidrs: ['10.5.0.1/24'] },
    { name: 'flannel.1', cidrs: ['10.244.1.0/32'] },
    { name: 'cni0', cidrs: ['10.244.1.1/24'] },
    { name: 'kube-ipvs0', cidrs: ['10.96.0.1/32'] },
    { name: 'nodelocaldns', cidrs: ['169.254.20.10/32', '10.96.0.10/32'] },
    { name: 'cali1234', cidrs: ['10.6.0.1/32'] },
    { name: 'tunl0', cidrs: ['192.168.5.1/32'] },
    { name: 'vxlan.calico', cidrs: ['192.168.5.2/32'] },
    { name: 'wireguard.cali', cidrs: ['192.168.5.3/32'] },
    { name: 'ibmveth0', cidrs: ['10.0.0.21/24'] },
  ]);
  const detect = async (method: string): Promise<string> => {
    const found = await detectAddress(method, {
      family: 4,
      interfaces: host,
      sourceTowards: () => Promise.resolve('192.168.5.2' as Address),
    });
    return found.ok ? found.value.address : found.error.code;
  };
  for (const method of ['', 'first-found', 'skip-interface=eth9', 'cidr=0.0.0.0/0'])
    assert.equal(await detect(method), '10.0.0.21', method);
  assert.equal(await detect('interface=docker_.*'), '172.19.0.1');
  for (const method of ['interface=cali.*,tunl.*,vxlan.*,wireguard.*', 'can-reach=192.168.7.7'])
    assert.equal(await detect(method), 'NothingFound', method);
  assert.equal(await detect('interface=vxlan.*,ibm.*'), '10.0.0.21');
});

test('BG-071: IP and IP6: detected, given, kept, switched off', async () => {
  const configure = async (env: Record<string, string>, current = {}) => {
    const configured = await configureAddresses(env, current, { interfaces });
    if (!configured.ok) return configured;
    const { choices: _choices, ...value } = configured.value;
    return { ok: true, value };
  };
  assert.deepEqual(await configure({}), {
    ok: true,
    value: { addresses: { ipv4Address: '10.0.0.11/24' }, changed: true },
  });
  assert.deepEqual(await configure({}, { ipv4Address: '192.0.2.9/24' }), {
    ok: true,
    value: { addresses: { ipv4Address: '192.0.2.9/24' }, changed: false },
  });
  assert.deepEqual(await configure({ IP: '30.0.0.11', IP6: 'autodetect' }), {
    ok: true,
    value: { addresses: { ipv4Address: '30.0.0.11/24', ipv6Address: 'fd00::11/64' }, changed: true },
  });
  assert.equal((await configure({ IP: 'none' })).ok, false);
  assert.equal((await configure({ IP: 'none', CALICO_NETWORKING_BACKEND: 'none' })).ok, true);
  assert.equal((await configure({ IP: 'fd00::11/64' })).ok, false);
  assert.equal(localCidr('10.0.0.11', interfaces), '10.0.0.11/24');
});

test('SR-070, SR-073, SR-087, SR-091, BG-075, BG-076: default pools: kubeadm’s subnet, then 192.168.0.0/16, then what the host leaves free', () => {
  const plan = (
    env: Record<string, string>,
    more: { kubeadm?: { ipv4: string }; hostNetworks?: Prefix[] } = {},
  ) => {
    const planned = planDefaultPools({
      env: { FELIX_IPV6SUPPORT: 'false', ...env },
      existing: [],
      randomBytes: () => new Uint8Array(5),
      ...more,
    });
    return planned.ok
      ? planned.value.map((pool) => `${pool.metadata.name} ${pool.spec.cidr} ${pool.spec.ipipMode}`)
      : planned.error.message;
  };
  assert.deepEqual(plan({}), ['default-ipv4-ippool 192.168.0.0/16 Never']);
  assert.deepEqual(plan({ CALICO_IPV4POOL_IPIP: 'cross-subnet' }), [
    'default-ipv4-ippool 192.168.0.0/16 CrossSubnet',
  ]);
  assert.deepEqual(plan({}, { kubeadm: { ipv4: '10.244.0.0/16' } }), [
    'default-ipv4-ippool 10.244.0.0/16 Never',
  ]);
  assert.deepEqual(plan({}, { hostNetworks: ['192.168.7.0/24' as Prefix] }), [
    'default-ipv4-ippool 172.16.0.0/16 Never',
  ]);
  // SR-091: every spelling of the modes.
  for (const [text, mode] of [
    ['Always', 'Always'],
    ['CrossSubnet', 'CrossSubnet'],
    ['Cross-Subnet', 'CrossSubnet'],
    ['Never', 'Never'],
    ['Off', 'Never'],
  ] as const) {
    assert.deepEqual(plan({ CALICO_IPV4POOL_IPIP: text }), [`default-ipv4-ippool 192.168.0.0/16 ${mode}`]);
  }
  assert.match(String(plan({ CALICO_IPV4POOL_IPIP: 'Sometimes' })), /CALICO_IPV4POOL_IPIP.*Sometimes/);
  assert.deepEqual(plan({ NO_DEFAULT_POOLS: 'true' }), []);
  assert.match(
    String(plan({ NO_DEFAULT_POOLS: 'true', CALICO_IPV4POOL_CIDR: '10.0.0.0/8' })),
    /exclude each other/,
  );
  assert.match(String(plan({ CALICO_IPV4POOL_CIDR: '10.0.0.0/30' })), /smaller than one block/);
  assert.match(
    String(plan({ CALICO_IPV4POOL_IPIP: 'Always', CALICO_IPV4POOL_VXLAN: 'Always' })),
    /cannot both/,
  );
});

test('SR-072, BG-075: block size, NAT, nodes and export of the default pools come from the environment', () => {
  const plan = (env: Record<string, string>) => {
    const planned = planDefaultPools({
      env,
      existing: [],
      randomBytes: () => new Uint8Array([1, 2, 3, 4, 5]),
    });
    assert.ok(planned.ok, planned.ok ? '' : planned.error.message);
    return planned.value.map((pool) => pool.spec);
  };
  const [v4, v6] = plan({
    CALICO_IPV4POOL_BLOCK_SIZE: '24',
    CALICO_IPV4POOL_NAT_OUTGOING: 'false',
    CALICO_IPV4POOL_NODE_SELECTOR: "rack == '1'",
    CALICO_IPV4POOL_DISABLE_BGP_EXPORT: 'true',
    CALICO_IPV4POOL_VXLAN: 'CrossSubnet',
  });
  assert.deepEqual(
    [v4?.blockSize, v4?.natOutgoing, v4?.nodeSelector, v4?.disableBGPExport, v4?.vxlanMode],
    [24, false, "rack == '1'", true, 'CrossSubnet'],
  );
  assert.match(v6?.cidr ?? '', /^fd01:203:405::\/48$/);
  assert.deepEqual([v6?.blockSize, v6?.natOutgoing], [122, false]);
  // Whatever is not a word for no.
  assert.equal(plan({ CALICO_IPV6POOL_NAT_OUTGOING: 'Enabled' })[1]?.natOutgoing, true);
  // A pool that is not wanted has no other settings either.
  assert.equal(plan({ CALICO_IPV4POOL_CIDR: 'none', CALICO_IPV4POOL_BLOCK_SIZE: '9' }).length, 1);
  const given = plan({ CALICO_IPV4POOL_CIDR: '10.244.0.0/16', CALICO_IPV6POOL_CIDR: 'fd00:10::/56' });
  assert.deepEqual(
    given.map((spec) => spec.cidr),
    ['10.244.0.0/16', 'fd00:10::/56'],
  );
});

test('SR-073: kubeadm’s pod subnets by family', () => {
  const read = (ClusterConfiguration: string) => kubeadmPodSubnets({ data: { ClusterConfiguration } });
  assert.deepEqual(
    read('networking:\n  podSubnet: "10.244.0.0/16,fd00:10::/56"\n  serviceSubnet: 10.96.0.0/12\n'),
    {
      ok: true,
      value: { ipv4: '10.244.0.0/16', ipv6: 'fd00:10::/56' },
    },
  );
  assert.equal(kubeadmPodSubnets(null).ok, false);
  const none = { ok: true, value: { ipv4: '', ipv6: '' } };
  assert.deepEqual(kubeadmPodSubnets({}), none);
  assert.deepEqual(read('networking: {}'), none);
  assert.deepEqual(read('podSubnet: 10.244.0.0/16,oops,fd00::/56'), {
    ok: true,
    value: { ipv4: '10.244.0.0/16', ipv6: '' },
  });
  assert.deepEqual(kubeadmPodSubnets({ data: { a: '', b: 'podSubnet: fd00::/56\n' } }), {
    ok: true,
    value: { ipv4: '', ipv6: 'fd00::/56' },
  });
});

test('SR-225, BG-072: every address of the host says why it is the node’s or is not', async () => {
  const interfaces = parseInterfaces([
    { name: 'lo', cidrs: ['127.0.0.1/8'] },
    { name: 'docker0', cidrs: ['172.17.0.1/16'] },
    { name: 'br-1a2b', cidrs: ['172.18.0.1/16'] },
    { name: 'eth0', cidrs: ['169.254.7.7/16', '10.0.0.21/24'] },
    { name: 'eth1', cidrs: ['10.1.0.21/24'] },
    { name: 'vxlan.calico', cidrs: ['192.168.5.0/32'] },
  ]);
  const choose = async (method: string): Promise<string> => {
    const env = { IP: 'autodetect', IP_AUTODETECTION_METHOD: method };
    const configured = expect(await configureAddresses(env, {}, { interfaces }), 'addresses');
    return configured.choices.map(choiceText).join();
  };
  const first = await choose('');
  assert.match(first, /^IPv4 10\.0\.0\.21\/24 of eth0, chosen by first-found; not /);
  for (const never of ['docker0 172.17.0.1/16', 'br-1a2b 172.18.0.1/16', 'vxlan.calico 192.168.5.0/32'])
    assert.ok(first.includes(`${never} (never the way to other nodes)`), first);
  assert.ok(first.includes('eth0 169.254.7.7/16 (loopback or link-local)'), first);
  assert.ok(first.includes('eth1 10.1.0.21/24 (after the chosen one)'), first);
  const second = await choose('interface=eth1');
  assert.match(second, /^IPv4 10\.1\.0\.21\/24 of eth1, chosen by interface=eth1/);
  assert.ok(second.includes('eth0 10.0.0.21/24 (not what interface=eth1 asks for first)'), second);
  const kept = expect(await configureAddresses({ IP: '10.0.0.21' }, {}, { interfaces }), 'addresses');
  assert.deepEqual(kept.choices, []);
});
