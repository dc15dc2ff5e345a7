// calicoctl on etcd, as on hosts that are no nodes of Kubernetes: nodes and endpoints made by hand, keys and values as
// Calico's own library has them, and the way from etcd to Kubernetes.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startApiServer } from '../../src/apiserver/mod.ts';
import { createIpam } from '../../src/ipam/mod.ts';
import { openDatastore } from '../../src/datastore/mod.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { address } from '../../src/lib/ip/mod.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';
import { hasEtcd, startEtcd } from '../support/etcd.ts';
import { bundled, run } from '../support/lab.ts';

const skip = hasEtcd() ? false : 'etcd is not installed';
const directory = mkdtempSync(join(tmpdir(), 'etcd-calicoctl-'));
const program = join(directory, 'calicoctl');
const etcd = skip === false ? await startEtcd() : undefined;
if (etcd !== undefined) symlinkSync(await bundled(), program);
after(async () => {
  await etcd?.stop();
  rmSync(directory, { recursive: true, force: true });
});

type Environment = Readonly<Record<string, string>>;
const onEtcd: Environment = {
  DATASTORE_TYPE: 'etcdv3',
  ETCD_ENDPOINTS: etcd?.endpoints ?? '',
  KUBECONFIG: '',
};
const calicoctl = (argv: readonly string[], input = '', env: Environment = onEtcd) =>
  run(process.execPath, [program, ...argv], { env: { ...process.env, HOME: directory, ...env }, input });
async function succeeds(argv: readonly string[], input = '', env: Environment = onEtcd): Promise<string> {
  const { code, out, err } = await calicoctl(argv, input, env);
  assert.equal(code, 0, `${argv.join(' ')}: ${err}${out}`);
  return out;
}
const stored = (key: string): unknown =>
  JSON.parse(etcd?.etcdctl('get', key, '--print-value-only') || 'null') as unknown;
const keys = (prefix: string): readonly string[] =>
  (etcd?.etcdctl('get', prefix, '--prefix', '--keys-only') ?? '').split('\n').filter((line) => line !== '');
const resource = (kind: string, metadata: object, spec: object): string =>
  JSON.stringify({ apiVersion: 'projectcalico.org/v3', kind, metadata, spec });
const root = '/calico/resources/v3/projectcalico.org';
const store = async () => expect(await openDatastore({}, onEtcd), 'opening');

test('RS-006, SR-040: resources and addresses under the keys of Calico', { skip }, async () => {
  const objects = [
    resource('IPPool', { name: 'pool' }, { cidr: '10.9.0.0/16', blockSize: 26, ipipMode: 'Never' }),
    resource('Node', { name: 'a' }, { bgp: { ipv4Address: '192.0.2.1/24', asNumber: 65001 } }),
    resource('Node', { name: 'b' }, { bgp: { ipv4Address: '192.0.2.2/24' } }),
    resource('NetworkPolicy', { name: 'web', namespace: 'shop' }, { selector: 'all()', types: ['Ingress'] }),
    resource('HostEndpoint', { name: 'a-eth0' }, { node: 'a', interfaceName: 'eth0' }),
    resource(
      'WorkloadEndpoint',
      { name: 'a-cni-w-eth0', namespace: 'shop' },
      {
        orchestrator: 'cni',
        workload: 'w',
        node: 'a',
        endpoint: 'eth0',
        interfaceName: 'caliabc',
        ipNetworks: ['10.9.0.7/32'],
        profiles: ['projectcalico-default-allow'],
      },
    ),
  ];
  await succeeds(['apply', '-f', '-'], `[${objects.join(',')}]`);
  const pool = stored(`${root}/ippools/pool`) as {
    kind: string;
    metadata: Record<string, unknown>;
    spec: object;
  };
  assert.deepEqual([pool.kind, pool.metadata['name']], ['IPPool', 'pool']);
  assert.match(String(pool.metadata['uid']), /^[0-9a-f-]{36}$/);
  assert.equal(pool.metadata['resourceVersion'], undefined);
  const policy = stored(`${root}/networkpolicies/shop/web`) as { metadata: { annotations: object } };
  assert.deepEqual(policy.metadata.annotations, { 'projectcalico.org/metadata': '{"name":"web"}' });
  assert.doesNotMatch(
    await succeeds(['get', 'np', 'web', '-n', 'shop', '-o', 'yaml']),
    /projectcalico.org\/metadata/,
  );
  assert.deepEqual(keys(`${root}/workloadendpoints/`), [`${root}/workloadendpoints/shop/a-cni-w-eth0`]);

  const datastore = await store();
  const ipam = createIpam(datastore, { clock: systemClock, logger: silentLogger });
  const assigned = await ipam.assignAddress({
    address: address('10.9.0.7'),
    nodeName: 'a',
    handleId: 'Net.W',
    attributes: { node: 'a' },
  });
  assert.ok(assigned.ok, assigned.ok ? '' : assigned.error.message);
  assert.deepEqual(stored('/calico/ipam/v2/host/a/ipv4/block/10.9.0.0-26'), {
    state: 'confirmed',
    deleted: false,
  });
  assert.deepEqual(stored('/calico/ipam/v2/handle/Net.W'), { block: { '10.9.0.0/26': 1 }, deleted: false });
  const block = stored('/calico/ipam/v2/assignment/ipv4/block/10.9.0.0-26') as Record<string, unknown>;
  assert.deepEqual([block['cidr'], block['affinity']], ['10.9.0.0/26', 'host:a']);
  await succeeds(['ipam', 'configure', '--strictaffinity=true']);
  assert.deepEqual(stored('/calico/ipam/v2/config'), {
    strict_affinity: true,
    auto_allocate_blocks: true,
    maxBlocksPerHost: 0,
  });
  await succeeds(['ipam', 'configure', '--strictaffinity=false']);
  assert.match(await succeeds(['ipam', 'show', '--ip=10.9.0.7']), /Net\.W/);
  assert.match(await succeeds(['ipam', 'check']), /Check complete; found 0 problems/);
  await datastore.close();
});

test('every write is a new resourceVersion, also one that changes nothing', { skip }, async () => {
  const version = async () =>
    /resourceVersion: "(\d+)"/.exec(await succeeds(['get', 'ippool', 'pool', '-o', 'yaml']))?.[1];
  const before = await version();
  await succeeds(['replace', '-f', '-'], await succeeds(['get', 'ippool', 'pool', '-o', 'yaml']));
  assert.notEqual(await version(), before);
});

test('RS-063: with a node go its addresses, claims, endpoints and configurations', { skip }, async () => {
  const peer = (name: string, node: string): string =>
    resource('BGPPeer', { name }, { node, peerIP: '192.0.2.9', asNumber: 65009 });
  const objects = [
    peer('of-a', 'a'),
    peer('of-b', 'b'),
    resource('FelixConfiguration', { name: 'node.a' }, { logSeverityScreen: 'Debug' }),
    resource('BGPConfiguration', { name: 'node.a' }, { logSeverityScreen: 'Debug' }),
  ];
  await succeeds(['apply', '-f', '-'], `[${objects.join(',')}]`);
  await succeeds(['delete', 'node', 'a']);
  assert.deepEqual(keys(`${root}/nodes/`), [`${root}/nodes/b`]);
  assert.deepEqual(keys(`${root}/bgppeers/`), [`${root}/bgppeers/of-b`]);
  for (const kind of ['hostendpoints', 'workloadendpoints', 'felixconfigurations', 'bgpconfigurations'])
    assert.deepEqual(keys(`${root}/${kind}/`), [], kind);
  assert.deepEqual(keys('/calico/ipam/v2/host/'), []);
  assert.deepEqual(keys('/calico/ipam/v2/handle/'), []);
  assert.deepEqual(keys('/calico/ipam/v2/assignment/'), []);
  assert.match((await calicoctl(['delete', 'node', 'a'])).err, /resource does not exist: Node\(a\)/);
});

test('CT-050: policies of versions before 3.32 are found, and take their own names', { skip }, async () => {
  const old = JSON.parse(
    resource('GlobalNetworkPolicy', { name: 'default.old', uid: 'u' }, { selector: 'all()' }),
  ) as object;
  etcd?.etcdctl('put', `${root}/globalnetworkpolicies/default.old`, JSON.stringify(old));
  assert.match(await succeeds(['get', 'gnp', 'old', '-o', 'yaml']), /name: old/);
  assert.match(
    (await calicoctl(['create', '-f', '-'], resource('GlobalNetworkPolicy', { name: 'old' }, {}))).err,
    /already exists/,
  );
  assert.match(await succeeds(['datastore', 'migrate-policy-names']), /migrated 1 policies/);
  assert.deepEqual(keys(`${root}/globalnetworkpolicies/`), [`${root}/globalnetworkpolicies/old`]);
  assert.match(await succeeds(['datastore', 'migrate-policy-names']), /migrated 0 policies/);
  assert.match(await succeeds(['get', 'gnp', 'old', '-o', 'yaml']), /selector: all\(\)/);
});

test('CT-050: from etcd to Kubernetes, nodes under their names there', { skip }, async () => {
  const server = await startApiServer({ listen: ['127.0.0.1:0'], data: ':memory:', logger: silentLogger });
  assert.ok(server.ok, server.ok ? '' : server.error.message);
  try {
    const kubeconfig = join(directory, 'kubeconfig');
    const named = (field: string, value: object) => [{ name: 'x', [field]: value }];
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'x',
        contexts: named('context', { cluster: 'x', user: 'x' }),
        clusters: named('cluster', { server: server.value.addresses[0] }),
        users: named('user', {}),
      }),
    );
    const onKubernetes: Environment = {
      DATASTORE_TYPE: 'kubernetes',
      KUBECONFIG: kubeconfig,
      ETCD_ENDPOINTS: '',
    };
    const kubernetes = expect(await openDatastore({ kubeconfig }, {}), 'opening');
    const kubernetesNode = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'kube-c' },
      spec: {},
      status: {},
    } as const;
    expect(await kubernetes.create('KubernetesNode', kubernetesNode), 'node');
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } } as const;
    expect(await kubernetes.create('Namespace', namespace), 'namespace');
    const objects = [
      resource(
        'Node',
        { name: 'c' },
        {
          orchRefs: [{ orchestrator: 'k8s', nodeName: 'kube-c' }],
          bgp: { ipv4Address: '192.0.2.3/24', asNumber: 65003 },
        },
      ),
      resource('HostEndpoint', { name: 'c-eth0' }, { node: 'c', interfaceName: 'eth0' }),
      resource('FelixConfiguration', { name: 'node.c' }, { logSeverityScreen: 'Debug' }),
    ];
    await succeeds(['apply', '-f', '-'], `[${objects.join(',')}]`);
    await succeeds(['delete', 'node', 'b']);
    const datastore = await store();
    const ipam = createIpam(datastore, { clock: systemClock, logger: silentLogger });
    const request = { nodeName: 'c', handleId: 'k8s-pod-network.x', attributes: { node: 'c' } };
    const assigned = await ipam.assignAddress({ ...request, address: address('10.9.3.3') });
    assert.ok(assigned.ok);
    await datastore.close();
    assert.match((await calicoctl(['datastore', 'migrate', 'export'])).err, /datastore is not locked/);
    await succeeds(['datastore', 'migrate', 'lock']);
    const exported = await succeeds(['datastore', 'migrate', 'export']);
    assert.match(exported, /"Key": "\/calico\/ipam\/v2\/host\/kube-c\/ipv4\/block\/10\.9\.3\.0-26"/);
    await succeeds(['datastore', 'migrate', 'import', '-f', '-'], exported, onKubernetes);
    const block = expect(await kubernetes.get('IPAMBlock', { name: '10-9-3-0-26' }), 'block');
    assert.equal(block.spec.affinity, 'host:kube-c');
    expect(await kubernetes.get('BlockAffinity', { name: 'kube-c-10-9-3-0-26' }), 'claim');
    expect(await kubernetes.get('IPAMHandle', { name: 'k8s-pod-network.x' }), 'handle');
    expect(await kubernetes.get('FelixConfiguration', { name: 'node.kube-c' }), 'configuration');
    const host = expect(await kubernetes.get('HostEndpoint', { name: 'c-eth0' }), 'host endpoint');
    assert.equal(host.spec.node, 'kube-c');
    const node = expect(await kubernetes.get('Node', { name: 'kube-c' }), 'node');
    assert.equal(node.spec.bgp?.asNumber, 65003);
    await succeeds(['datastore', 'migrate', 'unlock'], '', onKubernetes);
    await succeeds(['datastore', 'migrate', 'unlock']);
    await kubernetes.close();
  } finally {
    await server.value.stop();
  }
});
