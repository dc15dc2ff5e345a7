import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { address } from '../lib/ip/mod.ts';
import { parseConfiguration, supportedVersions } from './configuration.ts';
import { podSettings } from './pod-settings.ts';
import { commandOf, containerOf } from './request.ts';
import { fail, renderResult } from './result.ts';
import type { NetworkConfiguration } from './types.ts';

function configuration(body: object = {}): NetworkConfiguration {
  const parsed = parseConfiguration(
    JSON.stringify({ cniVersion: '1.0.0', name: 'k8s-pod-network', type: 'calico', ...body }),
  );
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.error.message);
  return parsed.value;
}

function refusal(text: string): { code: number; message: string } {
  const parsed = parseConfiguration(text);
  assert.ok(!parsed.ok, 'expected a refusal');
  return { code: parsed.error.cniCode, message: parsed.error.message };
}

describe('network configuration', () => {
  it('CN-005: reads the known keys, with their defaults, and ignores unknown ones', () => {
    const plain = configuration({ somebody_elses: { key: 1 } });
    assert.equal(plain.mtu, 0);
    assert.deepEqual(plain.ipam, {
      type: 'calico-ipam',
      assignIpv4: true,
      assignIpv6: false,
      ipv4Pools: [],
      ipv6Pools: [],
    });
    const full = configuration({
      mtu: 1440,
      ipam: { type: 'calico-ipam', assign_ipv4: 'false', assign_ipv6: 'true', ipv6_pools: ['fd00::/48'] },
      feature_control: { ip_addrs_no_ipam: true },
      container_settings: { allow_ip_forwarding: true },
      include_default_routes: false,
    });
    assert.equal(full.mtu, 1440);
    assert.equal(full.ipam.assignIpv4, false);
    assert.deepEqual(full.ipam.ipv6Pools, ['fd00::/48']);
    assert.ok(full.featureControl.ipAddrsNoIpam && full.allowIpForwarding && !full.includeDefaultRoutes);
  });

  it('CN-001: accepts 0.1.0 to 1.1.0, takes 0.2.0 when there is none, refuses others by name', () => {
    for (const version of supportedVersions)
      assert.equal(configuration({ cniVersion: version }).cniVersion, version);
    assert.equal(configuration({ cniVersion: undefined }).cniVersion, '0.2.0');
    const newer = refusal('{"cniVersion":"2.0.0","name":"a"}');
    assert.equal(newer.code, 1);
    assert.match(newer.message, /2\.0\.0.*1\.1\.0/);
  });

  it('names the key and the value of what is wrong', () => {
    assert.equal(refusal('{').code, 6);
    assert.equal(refusal('[]').code, 6);
    assert.match(refusal('{"name":"a","mtu":"big"}').message, /mtu: "big" is not a whole number/);
    assert.match(
      refusal('{"name":"a","ipam":{"assign_ipv4":"maybe"}}').message,
      /ipam\.assign_ipv4: "maybe"/,
    );
    assert.match(refusal('{"name":"a","ipam":[]}').message, /ipam: \[\] is not an object/);
    assert.match(refusal('{"name":""}').message, /name: ""/);
  });
});

describe('environment', () => {
  const environment = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c0ffee',
    CNI_NETNS: '/var/run/netns/x',
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/opt/cni/bin:/usr/lib/cni',
    CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0;K8S_POD_UID=u1',
  };

  it('CN-006: reads the pod from CNI_ARGS', () => {
    const container = containerOf(environment, 'ADD');
    assert.ok(container.ok);
    assert.deepEqual(container.value.pod, { namespace: 'default', name: 'web-0', uid: 'u1' });
    assert.deepEqual(container.value.path, ['/opt/cni/bin', '/usr/lib/cni']);
    const plain = containerOf({ ...environment, CNI_ARGS: '' }, 'ADD');
    assert.ok(plain.ok && plain.value.pod === undefined);
  });

  it('refuses what is missing or wrong with code 4, by name', () => {
    const wrong: [Record<string, string>, RegExp][] = [
      [{ CNI_CONTAINERID: '' }, /CNI_CONTAINERID/],
      [{ CNI_CONTAINERID: '../x' }, /CNI_CONTAINERID/],
      [{ CNI_IFNAME: 'an-interface-name' }, /CNI_IFNAME/],
      [{ CNI_IFNAME: 'a/b' }, /CNI_IFNAME/],
      [{ CNI_NETNS: '' }, /CNI_NETNS/],
      [{ CNI_ARGS: 'K8S_POD_NAME=a' }, /K8S_POD_NAMESPACE/],
      [{ CNI_ARGS: 'nonsense' }, /nonsense/],
    ];
    for (const [change, what] of wrong) {
      const container = containerOf({ ...environment, ...change }, 'ADD');
      assert.ok(!container.ok && container.error.cniCode === 4, JSON.stringify(change));
      assert.match(container.error.message, what);
    }
    assert.ok(containerOf({ ...environment, CNI_NETNS: '' }, 'DEL').ok);
    const command = commandOf({ CNI_COMMAND: 'FROB' });
    assert.ok(!command.ok);
    assert.match(command.error.message, /FROB.*ADD, DEL/);
  });
});

describe('results', () => {
  const attachment = {
    hostInterface: { name: 'cali1', mac: 'ee:ee:ee:ee:ee:ee' },
    containerInterface: { name: 'eth0', mac: '02:00:00:00:00:01', netns: '/var/run/netns/x', mtu: 1500 },
    addresses: [address('10.0.0.1'), address('fd00::1')],
  };
  const bodyOf = (version: string) =>
    JSON.parse(renderResult(version, attachment).output) as Record<string, unknown>;

  it('CN-003: have the shape of the requested version', () => {
    assert.deepEqual(bodyOf('0.2.0'), {
      cniVersion: '0.2.0',
      ip4: { ip: '10.0.0.1/32' },
      ip6: { ip: 'fd00::1/128' },
      dns: {},
    });
    assert.deepEqual(bodyOf('0.4.0')['ips'], [
      { version: '4', interface: 1, address: '10.0.0.1/32' },
      { version: '6', interface: 1, address: 'fd00::1/128' },
    ]);
    assert.deepEqual(bodyOf('1.0.0'), {
      cniVersion: '1.0.0',
      interfaces: [
        { name: 'cali1', mac: 'ee:ee:ee:ee:ee:ee' },
        { name: 'eth0', mac: '02:00:00:00:00:01', sandbox: '/var/run/netns/x' },
      ],
      ips: [
        { interface: 1, address: '10.0.0.1/32' },
        { interface: 1, address: 'fd00::1/128' },
      ],
      dns: {},
    });
    assert.equal((bodyOf('1.1.0')['interfaces'] as { mtu?: number }[])[1]?.mtu, 1500);
  });

  it('CN-022: errors carry version, code, message and details', () => {
    const response = fail('1.0.0', {
      cniCode: 100,
      code: 'NoAddress',
      message: 'none free',
      details: 'pool x',
    });
    assert.equal(response.exitCode, 1);
    assert.deepEqual(JSON.parse(response.output), {
      cniVersion: '1.0.0',
      code: 100,
      msg: 'none free',
      details: 'pool x',
    });
  });
});

describe('pod settings', () => {
  const annotation = (name: string, value: string) => ({ [`cni.projectcalico.org/${name}`]: value });
  const settings = (pod: Record<string, string>, namespace: Record<string, string> = {}, body: object = {}) =>
    podSettings(pod, namespace, configuration(body));
  const refused = (pod: Record<string, string>, body: object = {}): string => {
    const result = settings(pod, {}, body);
    assert.ok(!result.ok, JSON.stringify(pod));
    return result.error.message;
  };

  it('SR-084: ipAddrs asks for exactly these addresses, one per family (CN-013)', () => {
    const result = settings(annotation('ipAddrs', '["10.42.210.135"]'));
    assert.ok(result.ok);
    assert.deepEqual(result.value.requestedAddresses, ['10.42.210.135']);
    assert.match(refused(annotation('ipAddrs', '["10.0.0.1","10.0.0.2"]')), /more than one IPv4/);
    assert.match(refused(annotation('ipAddrs', '10.0.0.1')), /not a JSON list/);
    assert.match(refused(annotation('ipAddrs', '["ten"]')), /"ten"/);
  });

  it('SR-085, CN-012: pools come from the pod, else the namespace, else the configuration', () => {
    const body = { ipam: { ipv4_pools: ['from-configuration'] } };
    const ofNamespace = annotation('ipv4pools', '["from-namespace"]');
    const poolsOf = (pod: Record<string, string>, namespace: Record<string, string>) => {
      const result = settings(pod, namespace, body);
      return result.ok ? result.value.ipv4Pools : undefined;
    };
    assert.deepEqual(poolsOf(annotation('ipv4pools', '["pool-1"]'), ofNamespace), ['pool-1']);
    assert.deepEqual(poolsOf({}, ofNamespace), ['from-namespace']);
    assert.deepEqual(poolsOf({}, {}), ['from-configuration']);
  });

  it('RS-191: families, MAC and source prefixes are checked; features that are off are refused by name', () => {
    const result = settings({
      ...annotation('ipFamilies', '["IPv6","IPv4"]'),
      ...annotation('hwAddr', '02:00:00:AA:bb:01'),
      ...annotation('allowedSourcePrefixes', '["10.9.0.0/16"]'),
    });
    assert.ok(result.ok);
    assert.deepEqual(result.value.families, [6, 4]);
    assert.equal(result.value.mac, '02:00:00:aa:bb:01');
    assert.deepEqual(result.value.allowedSourcePrefixes, ['10.9.0.0/16']);
    assert.match(refused(annotation('hwAddr', '01:00:00:00:00:01')), /unicast MAC/);
    assert.match(refused(annotation('ipFamilies', '["v4"]')), /expected IPv4 or IPv6/);
    assert.match(refused(annotation('ipAddrsNoIpam', '["10.0.0.1"]')), /ip_addrs_no_ipam/);
    assert.match(refused(annotation('floatingIPs', '["10.0.0.1"]')), /floating_ips/);
  });
});
