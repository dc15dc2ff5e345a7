// The CNI plug-in on etcd, with a real agent, network namespaces and API server: containers of no orchestrator, and pods of a
// Kubernetes whose Calico keeps its data in etcd. What is written is looked at with etcd's own client.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openDatastore, type Datastore } from '../../src/datastore/mod.ts';
import { createNamedNamespace, deleteNamedNamespace, namedNamespacePath } from '../../src/kernel/mod.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { type Etcd, hasEtcd, startEtcd } from '../support/etcd.ts';
import { post, type SingleNode, startSingleNode } from '../support/single-node.ts';

type Json = Readonly<Record<string, unknown>>;
type Answer = {
  readonly exitCode: number | null;
  readonly output: Json & {
    readonly ips?: readonly { readonly address: string }[];
    readonly code?: number;
    readonly msg?: string;
  };
};
type Call = { readonly pod?: string; readonly extra?: Json };

const weps = '/calico/resources/v3/projectcalico.org/workloadendpoints/default';
const waitMs = 60_000;

describe('the plug-in on etcd', { skip: hasEtcd() ? false : 'etcd is not installed' }, () => {
  let etcd: Etcd;
  let node: SingleNode | undefined;
  let store: Datastore | undefined;
  const namespaces = ['c1', 'c2', 'p1'];

  before(async () => {
    etcd = await startEtcd();
    store = expect(await openDatastore({ type: 'etcdv3', etcd: { endpoints: etcd.endpoints } }, {}), 'etcd');
    for (const name of namespaces) expect(await createNamedNamespace(name), name);
    node = await startSingleNode({
      env: { DATASTORE_TYPE: 'etcdv3', ETCD_ENDPOINTS: etcd.endpoints, CLUSTER_TYPE: 'bgp' },
    });
  });

  after(async () => {
    await node?.stop();
    await store?.close();
    await etcd?.stop();
    for (const name of namespaces) await deleteNamedNamespace(name);
  });

  /** The network configuration as users of Calico on etcd have it. */
  function call(command: string, container: string, { pod, extra = {} }: Call = {}): Answer {
    assert.ok(node !== undefined);
    const configuration = {
      name: 'calico-net',
      cniVersion: '1.0.0',
      type: 'calico',
      datastore_type: 'etcdv3',
      etcd_endpoints: etcd.endpoints,
      etcd_ca_cert_file: '',
      ipam: { type: 'calico-ipam' },
      ...extra,
    };
    const env: NodeJS.ProcessEnv = {
      PATH: process.env['PATH'],
      CNI_COMMAND: command,
      CNI_CONTAINERID: container,
      CNI_NETNS: namedNamespacePath(container),
      CNI_IFNAME: 'eth0',
      CNI_PATH: join(node.directory, 'bin'),
    };
    if (pod !== undefined) env['CNI_ARGS'] = `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}`;
    const plugin = join(node.directory, 'bin', 'calico');
    const ran = spawnSync(plugin, { input: JSON.stringify(configuration), encoding: 'utf8', env });
    return {
      exitCode: ran.status,
      output: ran.stdout === '' ? {} : (JSON.parse(ran.stdout) as Answer['output']),
    };
  }

  function added(answer: Answer): string {
    assert.equal(answer.exitCode, 0, JSON.stringify(answer.output));
    return answer.output.ips?.[0]?.address ?? '';
  }

  function refused(answer: Answer, code: number, why: RegExp): void {
    assert.equal(answer.exitCode, 1, JSON.stringify(answer.output));
    assert.deepEqual(
      [answer.output.code, why.test(answer.output.msg ?? '')],
      [code, true],
      answer.output.msg ?? '',
    );
  }

  const stored = (key: string): Json | undefined => {
    const text = etcd.etcdctl('get', key, '--print-value-only').trim();
    return text === '' ? undefined : (JSON.parse(text) as Json);
  };
  const specOf = (key: string): Json => (stored(key)?.['spec'] ?? {}) as Json;
  const routes = (): string => spawnSync('ip', ['route'], { encoding: 'utf8' }).stdout;

  async function setReady(datastoreReady: boolean): Promise<void> {
    assert.ok(store !== undefined);
    const patched = await store.patch(
      'ClusterInformation',
      { name: 'default' },
      { type: 'merge', body: { spec: { datastoreReady } } },
    );
    expect(patched, 'ClusterInformation');
  }

  it('CN-007, CN-008, SR-040: a container of no orchestrator is stored as Calico stores it, with the profile of its network', () => {
    const address = added(call('ADD', 'c1'));
    assert.match(address, /^10\.244\.\d+\.\d+\/32$/);
    const { mac, ...spec } = specOf(`${weps}/node1-cni-c1-eth0`);
    assert.match(String(mac), /^[0-9a-f:]{17}$/);
    assert.deepEqual(spec, {
      orchestrator: 'cni',
      node: 'node1',
      containerID: 'c1',
      endpoint: 'eth0',
      interfaceName: 'calic1',
      ipNetworks: [address],
      profiles: ['calico-net'],
    });
    assert.deepEqual(specOf('/calico/resources/v3/projectcalico.org/profiles/calico-net'), {
      ingress: [{ action: 'Allow', source: { selector: 'has(calico-net)' } }],
      egress: [{ action: 'Allow' }],
      labelsToApply: { 'calico-net': '' },
    });
    assert.match(routes(), new RegExp(`^${address.replace('/32', '')} dev calic1 `, 'm'));
    assert.equal(call('CHECK', 'c1').exitCode, 0);
    assert.equal(added(call('ADD', 'c1')), address, 'the same container again');
  });

  it('FX-051: containers of one network reach each other by its profile, and nobody else does', async () => {
    const first = String((specOf(`${weps}/node1-cni-c1-eth0`)['ipNetworks'] as string[])[0]).replace(
      '/32',
      '',
    );
    added(call('ADD', 'c2'));
    const ping = (): true | undefined =>
      spawnSync('ip', ['netns', 'exec', 'c2', 'ping', '-c', '1', '-W', '1', first]).status === 0
        ? true
        : undefined;
    assert.ok(await until(ping, { timeoutMs: waitMs, everyMs: 100 }));
  });

  it('CN-006, CN-009, RS-070: a pod is read from Kubernetes and stored in etcd, once for all its containers', async () => {
    assert.ok(node !== undefined);
    const { apiServer, kubeconfig } = node;
    await post(`${apiServer}/api/v1/namespaces/default/pods`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web-1', namespace: 'default', labels: { app: 'web' } },
      spec: { nodeName: 'node1', containers: [{ name: 'main', image: 'x' }] },
    });
    const key = `${weps}/node1-k8s-web--1-eth0`;
    const pod = { pod: 'web-1', extra: { policy: { type: 'k8s' }, kubernetes: { kubeconfig } } };
    const address = added(call('ADD', 'p1', pod));
    const { metadata } = stored(key) as { metadata: Json };
    assert.deepEqual((metadata['labels'] as Json)['app'], 'web');
    assert.deepEqual((metadata['labels'] as Json)['projectcalico.org/orchestrator'], 'k8s');
    assert.deepEqual(
      [specOf(key)['pod'], specOf(key)['containerID'], specOf(key)['ipNetworks']],
      ['web-1', 'p1', [address]],
    );
    refused(call('ADD', 'p2', { ...pod, pod: 'nobody' }), 102, /pod default\/nobody/);
    // A late DEL of an earlier container of the pod takes nothing from the newer one.
    assert.equal(call('DEL', 'earlier', pod).exitCode, 0);
    assert.equal(specOf(key)['containerID'], 'p1');
    assert.equal(call('DEL', 'p1', pod).exitCode, 0);
    assert.equal(stored(key), undefined);
  });

  it('CN-005, CN-022: the network configuration must mean the datastore of the agent', () => {
    refused(call('ADD', 'p1', { extra: { datastore_type: 'kubernetes' } }), 7, /datastore_type.*etcdv3/);
  });

  it('RS-181: while the datastore is locked nothing is added or deleted', async () => {
    await setReady(false);
    const locked = (): true | undefined => (call('ADD', 'p1').output.code === 11 ? true : undefined);
    assert.ok(await until(locked, { timeoutMs: waitMs, everyMs: 100 }));
    refused(call('DEL', 'c2'), 11, /datastore is not ready/);
    await setReady(true);
    const gone = (): true | undefined => (call('DEL', 'c2').exitCode === 0 ? true : undefined);
    assert.ok(await until(gone, { timeoutMs: waitMs, everyMs: 100 }));
    assert.equal(stored(`${weps}/node1-cni-c2-eth0`), undefined);
  });

  it('CN-009, CN-022: without etcd ADD and DEL say so, and leave nothing once it is back', async () => {
    const [member] = etcd.members;
    assert.ok(member !== undefined);
    await member.stop();
    refused(call('ADD', 'p1'), 102, /etcd at 127\.0\.0\.1:\d+: ECONNREFUSED/);
    refused(call('DEL', 'c1'), 102, /etcd at 127\.0\.0\.1:\d+: ECONNREFUSED/);
    assert.equal(spawnSync('ip', ['-n', 'p1', 'link', 'show', 'eth0']).status, 1);
    await member.start();
    const gone = (): true | undefined => (call('DEL', 'c1').exitCode === 0 ? true : undefined);
    assert.ok(await until(gone, { timeoutMs: waitMs, everyMs: 100 }));
    assert.equal(call('DEL', 'p1').exitCode, 0);
    assert.equal(etcd.etcdctl('get', weps, '--prefix', '--keys-only').trim(), '');
    assert.equal(etcd.etcdctl('get', '/calico/ipam/v2/handle/', '--prefix', '--keys-only').trim(), '');
    assert.doesNotMatch(routes(), /dev calic/);
  });
});
