// What every driver of the datastore must do, as tests over any of them. Each test makes its own objects with names of
// its own, so that a suite can run against a server that holds other things.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../lib/log.ts';
import { until } from '../lib/wait.ts';
import type {
  CalicoNodeStatus,
  IPAMBlock,
  IPPool,
  KindName,
  Pod,
  ResourceOf,
  WorkloadEndpoint,
} from '../model/mod.ts';
import { startSyncer } from './syncer.ts';
import type { Datastore, ListOptions, StoreError, WatchEvent } from './types.ts';
import type { Result } from '../lib/result.ts';

export type DriverUnderTest = {
  /** A further client of the same data. */
  open(): Promise<Datastore>;
  /** Forgets the history of changes, when the test can make the store do that. */
  readonly compact?: () => Promise<void>;
  /** Whether kinds of Kubernetes are stored; they are when absent. */
  readonly hasKubernetesKinds?: boolean;
};

const pool = (name: string, cidr: string, labels?: Record<string, string>): IPPool => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name, ...(labels === undefined ? {} : { labels }) },
  spec: { cidr, blockSize: 26, ipipMode: 'Never', vxlanMode: 'Never', nodeSelector: 'all()' },
});
const pod = (name: string, namespace: string, nodeName: string): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace },
  spec: { nodeName, containers: [{ name: 'main', image: 'test' }] },
});
const endpoint = (name: string, namespace: string, node: string): WorkloadEndpoint => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'WorkloadEndpoint',
  metadata: { name, namespace },
  spec: { orchestrator: 'cni', workload: name, node, endpoint: 'eth0', interfaceName: `cali${name}` },
});
const nodeStatus = (name: string, node: string): CalicoNodeStatus => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'CalicoNodeStatus',
  metadata: { name },
  spec: { node, classes: ['BGP'], updatePeriodSeconds: 10 },
});
/** Workloads as the driver stores them: what is in a namespace and on a node. */
const workloads = ({ hasKubernetesKinds }: DriverUnderTest) =>
  hasKubernetesKinds === false
    ? ({ kind: 'WorkloadEndpoint', make: endpoint, nodeField: 'spec.node' } as const)
    : ({ kind: 'Pod', make: pod, nodeField: 'spec.nodeName' } as const);
const block = (cidr: string, sequenceNumber: bigint): IPAMBlock => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPAMBlock',
  metadata: { name: cidr.replaceAll(/[./]/g, '-') },
  spec: {
    cidr,
    affinity: 'host:a',
    allocations: [0, null],
    unallocated: [1],
    attributes: [{ handle_id: 'h', secondary: { pod: 'p' } }],
    sequenceNumber,
    sequenceNumberForAllocation: { '0': sequenceNumber - 1n },
    deleted: false,
    strictAffinity: false,
  },
});

const value = <T>(result: Result<T, StoreError>): T => {
  assert.ok(result.ok, result.ok ? '' : `${result.error.code}: ${result.error.message}`);
  return result.value;
};
const code = (result: Result<unknown, StoreError>): string => (result.ok ? 'ok' : result.error.code);

/** Collects events of a watch until told to stop. */
function follow<K extends KindName>(
  store: Datastore,
  kind: K,
  from: string,
  options: Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'> = {},
) {
  const abort = new AbortController();
  const events: WatchEvent<ResourceOf<K>>[] = [];
  const done = (async () => {
    for await (const event of store.watch(kind, from, options, abort.signal)) events.push(event);
  })();
  const seen = (): string[] =>
    events.flatMap((e) =>
      e.type === 'bookmark'
        ? []
        : e.type === 'error'
          ? [`error ${e.error.code}`]
          : [`${e.type} ${e.object.metadata.name}`],
    );
  const expect = async (wanted: readonly string[]): Promise<void> => {
    await until(() => (seen().length >= wanted.length ? true : undefined), { timeoutMs: 30_000 });
    assert.deepEqual(seen(), wanted);
  };
  const stop = async (): Promise<void> => {
    abort.abort();
    await done;
  };
  return { events, expect, stop };
}

/** Registers the suite. `driver` is called once, when the first test runs. */
export function datastoreConformance(title: string, driver: () => Promise<DriverUnderTest>): void {
  let running: Promise<{ store: Datastore; driver: DriverUnderTest }> | undefined;
  const opened = () => (running ??= driver().then(async (d) => ({ store: await d.open(), driver: d })));
  const check = (name: string, run: (store: Datastore, driver: DriverUnderTest) => Promise<void>): void => {
    void test(`${title}: ${name}`, async () => {
      const { store, driver } = await opened();
      await run(store, driver);
    });
  };

  check('what is created can be read, and carries what the server adds', async (store) => {
    const created = value(await store.create('IPPool', pool('crud', '10.10.0.0/16', { a: 'b' })));
    assert.ok(created.metadata.uid && created.metadata.resourceVersion && created.metadata.creationTimestamp);
    const read = value(await store.get('IPPool', { name: 'crud' }));
    assert.deepEqual(read, created);
    assert.equal(read.apiVersion, 'projectcalico.org/v3');
    assert.equal(read.kind, 'IPPool');
    assert.deepEqual(read.metadata.labels, { a: 'b' });
    assert.equal(code(await store.create('IPPool', pool('crud', '10.11.0.0/16'))), 'AlreadyExists');
    assert.equal(code(await store.get('IPPool', { name: 'nobody' })), 'NotFound');
    value(await store.delete('IPPool', { name: 'crud' }));
    assert.equal(code(await store.get('IPPool', { name: 'crud' })), 'NotFound');
    assert.equal(code(await store.delete('IPPool', { name: 'crud' })), 'NotFound');
  });

  check('RS-004: an update is compare-and-swap', async (store) => {
    const first = value(await store.create('IPPool', pool('cas', '10.20.0.0/16')));
    const second = value(
      await store.update('IPPool', { ...first, spec: { ...first.spec, natOutgoing: true } }),
    );
    assert.notEqual(second.metadata.resourceVersion, first.metadata.resourceVersion);
    assert.equal(second.metadata.uid, first.metadata.uid);
    assert.equal(
      code(await store.update('IPPool', { ...first, spec: { ...first.spec, disabled: true } })),
      'Conflict',
    );
    assert.equal(value(await store.get('IPPool', { name: 'cas' })).spec.disabled ?? false, false);
    const { resourceVersion: _version, ...unversioned } = second.metadata;
    assert.equal(code(await store.update('IPPool', { ...second, metadata: unversioned })), 'Invalid');
    assert.equal(
      code(
        await store.delete(
          'IPPool',
          { name: 'cas' },
          { resourceVersion: first.metadata.resourceVersion ?? '' },
        ),
      ),
      'Conflict',
    );
    assert.equal(code(await store.delete('IPPool', { name: 'cas' }, { uid: 'another' })), 'Conflict');
    value(
      await store.delete(
        'IPPool',
        { name: 'cas' },
        { resourceVersion: second.metadata.resourceVersion ?? '', uid: second.metadata.uid ?? '' },
      ),
    );
    assert.equal(code(await store.update('IPPool', second)), 'NotFound');
  });

  check('64-bit integers survive', async (store) => {
    const sequence = 1763722345123456789n;
    const created = value(await store.create('IPAMBlock', block('10.30.0.0/31', sequence)));
    assert.equal(created.spec.sequenceNumber, sequence);
    const read = value(await store.get('IPAMBlock', { name: '10-30-0-0-31' }));
    assert.deepEqual(read.spec.sequenceNumberForAllocation, { '0': sequence - 1n });
    const updated = value(
      await store.update('IPAMBlock', { ...read, spec: { ...read.spec, sequenceNumber: sequence + 1n } }),
    );
    assert.equal(updated.spec.sequenceNumber, sequence + 1n);
    const listed = value(await store.list('IPAMBlock')).items.find((b) => b.metadata.name === '10-30-0-0-31');
    assert.equal(listed?.spec.sequenceNumber, sequence + 1n);
    value(await store.delete('IPAMBlock', { name: '10-30-0-0-31' }));
  });

  check('of many who update at once exactly one wins', async (store, driver) => {
    const first = value(await store.create('IPPool', pool('race', '10.40.0.0/16')));
    const clients = await Promise.all(Array.from({ length: 8 }, () => driver.open()));
    const results = await Promise.all(
      clients.map((client, i) =>
        client.update('IPPool', { ...first, metadata: { ...first.metadata, labels: { winner: `${i}` } } }),
      ),
    );
    const codes = results.map(code).sort();
    assert.deepEqual(codes, [...Array.from({ length: 7 }, () => 'Conflict'), 'ok']);
    const creations = await Promise.all(
      clients.map((client) => client.create('IPPool', pool('race2', '10.41.0.0/16'))),
    );
    assert.equal(creations.filter((r) => r.ok).length, 1);
    for (const name of ['race', 'race2']) value(await store.delete('IPPool', { name }));
    await Promise.all(clients.map((client) => client.close()));
  });

  check('lists: pages, labels, fields, namespaces', async (store, driver) => {
    for (let i = 0; i < 5; i++)
      value(
        await store.create(
          'IPPool',
          pool(`page-${i}`, `10.5${i}.0.0/16`, { page: i % 2 === 0 ? 'even' : 'odd' }),
        ),
      );
    const names: string[] = [];
    let page: string | undefined;
    do {
      const listed = value(
        await store.list('IPPool', {
          limit: 2,
          labelSelector: 'page',
          ...(page === undefined ? {} : { continue: page }),
        }),
      );
      assert.ok(listed.items.length <= 2);
      names.push(...listed.items.map((p) => p.metadata.name));
      page = listed.continue;
    } while (page !== undefined);
    assert.deepEqual(names, ['page-0', 'page-1', 'page-2', 'page-3', 'page-4']);
    const select = async (labelSelector: string): Promise<string[]> =>
      value(await store.list('IPPool', { labelSelector })).items.map((p) => p.metadata.name);
    assert.deepEqual(await select('page=even'), ['page-0', 'page-2', 'page-4']);
    assert.deepEqual(await select('page in (odd,none)'), ['page-1', 'page-3']);
    assert.deepEqual(await select('page,page!=even'), ['page-1', 'page-3']);
    const one = value(await store.list('IPPool', { fieldSelector: 'metadata.name=page-3' }));
    assert.deepEqual(
      one.items.map((p) => p.metadata.name),
      ['page-3'],
    );
    for (let i = 0; i < 5; i++) value(await store.delete('IPPool', { name: `page-${i}` }));
    const { kind, make, nodeField } = workloads(driver);
    value(await store.create(kind, make('listed', 'default', 'n1')));
    assert.deepEqual(
      value(await store.list(kind, { namespace: 'default', fieldSelector: `${nodeField}=n1` })).items.map(
        (p) => p.metadata.name,
      ),
      ['listed'],
    );
    assert.deepEqual(value(await store.list(kind, { namespace: 'kube-system' })).items, []);
    value(await store.delete(kind, { name: 'listed', namespace: 'default' }, { gracePeriodSeconds: 0 }));
  });

  check('status is written apart from the rest', async (store, driver) => {
    if (driver.hasKubernetesKinds === false) return nodeStatusApart(store);
    const created = value(await store.create('Pod', pod('status', 'default', 'n1')));
    const written = value(
      await store.updateStatus('Pod', {
        ...created,
        spec: { ...created.spec, nodeName: 'n2' },
        status: { ...created.status, phase: 'Running', podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }] },
      }),
    );
    assert.equal(written.status?.phase, 'Running');
    assert.equal(written.spec.nodeName, 'n1');
    const labelled = value(
      await store.update('Pod', {
        ...written,
        metadata: { ...written.metadata, labels: { a: 'b' } },
        status: { phase: 'Failed' },
      }),
    );
    assert.equal(labelled.status?.phase, 'Running');
    value(await store.delete('Pod', { name: 'status', namespace: 'default' }, { gracePeriodSeconds: 0 }));
  });

  const nodeStatusApart = async (store: Datastore): Promise<void> => {
    const created = value(await store.create('CalicoNodeStatus', nodeStatus('status', 'n1')));
    const written = value(
      await store.updateStatus('CalicoNodeStatus', {
        ...created,
        spec: { ...created.spec, node: 'n2' },
        status: { lastUpdated: '2026-01-01T00:00:00Z' },
      }),
    );
    assert.equal(written.status?.lastUpdated, '2026-01-01T00:00:00Z');
    assert.equal(written.spec.node, 'n1');
    const { status: _status, ...rest } = written;
    const labelled = value(
      await store.update('CalicoNodeStatus', { ...rest, metadata: { ...rest.metadata, labels: { a: 'b' } } }),
    );
    assert.equal(labelled.status?.lastUpdated, '2026-01-01T00:00:00Z');
    value(await store.delete('CalicoNodeStatus', { name: 'status' }));
  };

  check('patches', async (store) => {
    value(await store.create('IPPool', pool('patched', '10.60.0.0/16', { a: '1', b: '2' })));
    const merged = value(
      await store.patch(
        'IPPool',
        { name: 'patched' },
        { type: 'merge', body: { metadata: { labels: { a: null, c: '3' } }, spec: { disabled: true } } },
      ),
    );
    assert.deepEqual(merged.metadata.labels, { b: '2', c: '3' });
    assert.equal(merged.spec.disabled, true);
    const json = value(
      await store.patch(
        'IPPool',
        { name: 'patched' },
        {
          type: 'json',
          body: [
            { op: 'test', path: '/spec/disabled', value: true },
            { op: 'replace', path: '/spec/disabled', value: false },
          ],
        },
      ),
    );
    assert.equal(json.spec.disabled, false);
    assert.equal(
      code(
        await store.patch(
          'IPPool',
          { name: 'patched' },
          {
            type: 'merge',
            body: {
              metadata: { resourceVersion: merged.metadata.resourceVersion },
              spec: { disabled: true },
            },
          },
        ),
      ),
      'Conflict',
    );
    assert.equal(
      code(await store.patch('IPPool', { name: 'nobody' }, { type: 'merge', body: {} })),
      'NotFound',
    );
    value(await store.delete('IPPool', { name: 'patched' }));
  });

  check('a dry run changes nothing', async (store) => {
    value(await store.create('IPPool', pool('dry', '10.61.0.0/16'), { dryRun: true }));
    assert.equal(code(await store.get('IPPool', { name: 'dry' })), 'NotFound');
  });

  check('finalizers keep an object until they are gone', async (store) => {
    const created = value(
      await store.create('IPPool', {
        ...pool('final', '10.62.0.0/16'),
        metadata: { name: 'final', finalizers: ['test.example/keep'] },
      }),
    );
    value(await store.delete('IPPool', { name: 'final' }));
    const marked = value(await store.get('IPPool', { name: 'final' }));
    assert.ok(
      marked.metadata.deletionTimestamp !== undefined && marked.metadata.uid === created.metadata.uid,
    );
    value(await store.update('IPPool', { ...marked, metadata: { ...marked.metadata, finalizers: [] } }));
    assert.equal(code(await store.get('IPPool', { name: 'final' })), 'NotFound');
  });

  check('generated names', async (store) => {
    const make = () =>
      store.create('IPPool', { ...pool('', '10.63.0.0/16'), metadata: { generateName: 'made-', name: '' } });
    const one = value(await make());
    assert.match(one.metadata.name, /^made-.+/);
    value(await store.delete('IPPool', { name: one.metadata.name }));
  });

  check('RS-004: a watch gives every change after its revision, in order, once', async (store) => {
    value(await store.create('IPPool', pool('w-before', '10.70.0.0/16', { watched: 'yes' })));
    const { revision } = value(await store.list('IPPool'));
    const made = value(await store.create('IPPool', pool('w-1', '10.71.0.0/16', { watched: 'yes' })));
    // It starts in the past: what happened since the list comes first.
    const watch = follow(store, 'IPPool', revision, { labelSelector: 'watched=yes' });
    await watch.expect(['added w-1']);
    const changed = value(await store.update('IPPool', { ...made, spec: { ...made.spec, disabled: true } }));
    value(await store.create('IPPool', pool('w-other', '10.72.0.0/16')));
    // Leaving the selection looks like a deletion, entering it like a creation.
    const left = value(
      await store.update('IPPool', { ...changed, metadata: { ...changed.metadata, labels: {} } }),
    );
    value(
      await store.update('IPPool', { ...left, metadata: { ...left.metadata, labels: { watched: 'yes' } } }),
    );
    value(await store.delete('IPPool', { name: 'w-before' }));
    await watch.expect(['added w-1', 'modified w-1', 'deleted w-1', 'added w-1', 'deleted w-before']);
    await watch.stop();
    for (const name of ['w-1', 'w-other']) value(await store.delete('IPPool', { name }));
  });

  check('a watch of one node’s workloads', async (store, driver) => {
    const { kind, make, nodeField } = workloads(driver);
    const { revision } = value(await store.list(kind));
    const watch = follow(store, kind, revision, { fieldSelector: `${nodeField}=watched-node` });
    value(await store.create(kind, make('here', 'default', 'watched-node')));
    value(await store.create(kind, make('there', 'default', 'other-node')));
    await watch.expect(['added here']);
    await watch.stop();
    for (const name of ['here', 'there'])
      value(await store.delete(kind, { name, namespace: 'default' }, { gracePeriodSeconds: 0 }));
  });

  check('a watch from a forgotten revision is told so', async (store, driver) => {
    if (driver.compact === undefined) return;
    const { revision } = value(await store.list('IPPool'));
    value(await store.create('IPPool', pool('compacted', '10.80.0.0/16')));
    await driver.compact();
    const watch = follow(store, 'IPPool', revision);
    await watch.expect(['error TooOld']);
    await watch.stop();
    value(await store.delete('IPPool', { name: 'compacted' }));
  });

  check('a syncer over it reaches the state of the store', async (store, driver) => {
    const client = await driver.open();
    const state = new Map<string, string>();
    const syncer = startSyncer(client, {
      kinds: [{ kind: 'IPPool', labelSelector: 'synced=yes' }],
      onUpdates: (updates) => {
        for (const update of updates) {
          if (update.type === 'set') state.set(update.object.metadata.name, update.object.spec.cidr);
          if (update.type === 'delete') state.delete(update.name.name);
        }
      },
      logger: silentLogger,
    });
    assert.equal(await syncer.inSync(), true);
    for (let i = 0; i < 20; i++)
      value(await store.create('IPPool', pool(`s-${i}`, `10.${100 + i}.0.0/16`, { synced: 'yes' })));
    for (let i = 0; i < 20; i += 2) value(await store.delete('IPPool', { name: `s-${i}` }));
    await until(() => (state.size === 10 && state.has('s-19') ? true : undefined), { timeoutMs: 30_000 });
    assert.deepEqual([...state.keys()].sort(), Array.from({ length: 10 }, (_, i) => `s-${i * 2 + 1}`).sort());
    await syncer.stop();
    for (let i = 1; i < 20; i += 2) value(await store.delete('IPPool', { name: `s-${i}` }));
    await client.close();
  });

  void test(`${title}: a closed datastore ends its watches`, async () => {
    const { driver, store } = await opened();
    const client = await driver.open();
    const { revision } = value(await client.list('IPPool'));
    const watch = follow(client, 'IPPool', revision);
    await client.close();
    await watch.stop();
    await store.close();
  });
}
