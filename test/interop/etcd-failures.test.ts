// What may go wrong with etcd: members that die, certificates and passwords, values of another hand, history that is gone.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { type Datastore, type DatastoreConfig, openDatastore, startSyncer } from '../../src/datastore/mod.ts';
import { CertificateAuthority } from '../../src/lib/certificates.ts';
import { startCompaction } from '../../src/controllers/mod.ts';
import { type Clock, VirtualClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import type { IPPool } from '../../src/model/mod.ts';
import { type Etcd, type EtcdOptions, hasEtcd, startEtcd } from '../support/etcd.ts';

const skip = hasEtcd() ? false : 'etcd is not installed';
const waitMs = 60_000;
const directory = mkdtempSync(join(tmpdir(), 'etcd-failures-'));
after(() => rmSync(directory, { recursive: true, force: true }));

async function started(t: TestContext, options: EtcdOptions = {}): Promise<Etcd> {
  const etcd = await startEtcd(options);
  t.after(() => etcd.stop());
  return etcd;
}
async function opened(
  t: TestContext,
  etcd: DatastoreConfig['etcd'],
  more: Partial<DatastoreConfig> = {},
): Promise<Datastore> {
  const store = expect(
    await openDatastore({ type: 'etcdv3', ...more, ...(etcd && { etcd }) }, {}),
    'opening',
  );
  t.after(() => store.close());
  return store;
}
const pool = (name: string, cidr: string, turn = 0): IPPool => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name, labels: { turn: String(turn) } },
  spec: { cidr, ipipMode: 'Never', vxlanMode: 'Never', nodeSelector: 'all()' },
});
const prefix = '/calico/resources/v3/projectcalico.org/ippools/';

/** Follows all pools: name → turn; notices when one goes back in time. */
function followPools(t: TestContext, store: Datastore) {
  const turns = new Map<string, number>();
  const newest = new Map<string, number>();
  const syncer = startSyncer(store, {
    kinds: ['IPPool'],
    logger: silentLogger,
    backoffMs: { first: 50, max: 500 },
    onUpdates: (updates) => {
      for (const update of updates) {
        if (update.type === 'delete') turns.delete(update.name.name);
        if (update.type !== 'set') continue;
        const { name, labels } = update.object.metadata;
        const turn = Number(labels?.['turn'] ?? -1);
        assert.ok(turn >= (newest.get(name) ?? 0), `${name} goes from ${newest.get(name)} back to ${turn}`);
        newest.set(name, turn);
        turns.set(name, turn);
      }
    },
  });
  t.after(() => syncer.stop());
  const becomes = async (wanted: Readonly<Record<string, number>>): Promise<void> => {
    const inOrder = (entries: readonly (readonly [string, number])[]): string =>
      JSON.stringify(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
    const text = inOrder(Object.entries(wanted));
    const seen = () => inOrder([...turns]);
    await until(() => (seen() === text ? true : undefined), { timeoutMs: waitMs });
    assert.equal(seen(), text);
  };
  return { syncer, becomes };
}

/** A write whose answer was lost is asked for again. */
async function insist<T extends { readonly ok: boolean }>(act: () => Promise<T>): Promise<T> {
  const done = await until(
    async () => {
      const result = await act();
      return result.ok ? result : undefined;
    },
    { timeoutMs: waitMs, everyMs: 100 },
  );
  assert.ok(done !== undefined, 'the write comes through');
  return done;
}

test('any member of three may die: writes go on, who watches loses nothing', { skip }, async (t) => {
  const etcd = await started(t, { members: 3 });
  const store = await opened(t, { endpoints: etcd.endpoints });
  const watching = await opened(t, { endpoints: etcd.endpoints });
  expect(await store.create('IPPool', pool('p', '10.1.0.0/16')), 'pool');
  const { becomes } = followPools(t, watching);
  await becomes({ p: 0 });
  const wanted: Record<string, number> = { p: 0 };
  for (const [turn, member] of etcd.members.entries()) {
    await member.stop();
    await insist(() =>
      store.patch(
        'IPPool',
        { name: 'p' },
        { type: 'merge', body: { metadata: { labels: { turn: `${turn + 1}` } } } },
      ),
    );
    await insist(async () => {
      const created = await store.create('IPPool', pool(`q${turn}`, `10.${turn + 2}.0.0/16`));
      return created.ok || created.error.code !== 'AlreadyExists' ? created : { ok: true as const };
    });
    wanted['p'] = turn + 1;
    wanted[`q${turn}`] = 0;
    await becomes(wanted);
    await member.start();
    await until(
      async () => {
        try {
          etcd.etcdctl('endpoint', 'health');
          return true;
        } catch {
          return undefined;
        }
      },
      { timeoutMs: waitMs, everyMs: 100 },
    );
  }
});

test('etcd comes back, its history compacted: the differences are seen', { skip }, async (t) => {
  const etcd = await started(t);
  const store = await opened(t, { endpoints: etcd.endpoints });
  for (const name of ['stays', 'goes']) expect(await store.create('IPPool', pool(name, '10.1.0.0/16')), name);
  const watching = await opened(t, { endpoints: etcd.endpoints });
  const { syncer, becomes } = followPools(t, watching);
  await becomes({ stays: 0, goes: 0 });
  const [member] = etcd.members;
  await member?.stop();
  await until(() => (syncer.status === 'waiting' ? true : undefined), { timeoutMs: waitMs });
  assert.equal(syncer.status, 'waiting', 'it tells that the connection is lost');
  const refused = await store.get('IPPool', { name: 'stays' });
  assert.ok(
    !refused.ok && refused.error.code === 'Unavailable' && /is etcd running/.test(refused.error.hint ?? ''),
  );
  await member?.start();
  await insist(() => store.get('IPPool', { name: 'stays' }));
  etcd.etcdctl('del', `${prefix}goes`);
  expect(await store.create('IPPool', pool('comes', '10.3.0.0/16', 7)), 'comes');
  const { revision } = expect(await store.list('IPPool'), 'list');
  etcd.etcdctl('compact', revision);
  await becomes({ stays: 0, comes: 7 });
  await until(() => (syncer.status === 'in-sync' ? true : undefined), { timeoutMs: waitMs });
  assert.equal(syncer.status, 'in-sync');
});

test('values that cannot be read are told of, and are nobody else’s trouble', { skip }, async (t) => {
  const etcd = await started(t);
  const warnings: string[] = [];
  const store = await opened(t, { endpoints: etcd.endpoints }, { onWarning: (text) => warnings.push(text) });
  const good = expect(await store.create('IPPool', pool('good', '10.1.0.0/16')), 'pool');
  etcd.etcdctl('put', `${prefix}bad`, '{"kind":');
  etcd.etcdctl('put', `${prefix}other`, '{"kind":"Node","metadata":{"name":"other"},"spec":{}}');
  etcd.etcdctl('put', `${prefix}deeper/than/that`, 'x');
  const { becomes } = followPools(t, store);
  await becomes({ good: 0 });
  assert.equal(warnings.length, 2, warnings.join('\n'));
  assert.match(warnings.join('\n'), /ippools\/bad in etcd is not readable: it is not a JSON object/);
  const read = await store.get('IPPool', { name: 'bad' });
  assert.ok(!read.ok && read.error.code === 'Invalid');
  // A good value turns bad and good again.
  etcd.etcdctl('put', `${prefix}good`, 'nonsense');
  await becomes({});
  etcd.etcdctl(
    'put',
    `${prefix}good`,
    JSON.stringify({ ...good, metadata: { ...good.metadata, labels: { turn: '2' } } }),
  );
  await becomes({ good: 2 });
  // A claim without a value is one of the first versions of Calico.
  etcd.etcdctl('put', '/calico/ipam/v2/host/old/ipv4/block/10.1.0.0-26', '');
  const claim = expect(await store.get('BlockAffinity', { name: 'old-10-1-0-0-26' }), 'claim');
  assert.deepEqual([claim.spec.state, claim.spec.node, claim.spec.cidr], ['', 'old', '10.1.0.0/26']);
});

test('SR-045: certificates, users and their rights', { skip }, async (t) => {
  const authority = CertificateAuthority.create('etcd', Date.now());
  const strangers = CertificateAuthority.create('strangers', Date.now());
  const write = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  const issued = (of: CertificateAuthority, name: string, commonName = name) => {
    // The gateway of etcd is a client of its own server, with the server's certificate.
    const purposes = ['server', 'client'] as const;
    const pair = of.issue({ commonName, hosts: ['127.0.0.1'], purposes }, Date.now());
    return { certFile: write(`${name}.crt`, pair.cert), keyFile: write(`${name}.key`, pair.key) };
  };
  const caFile = write('ca.crt', authority.cert);
  const server = issued(authority, 'server');
  const client = issued(authority, 'client');
  const etcd = await started(t, { tls: { ca: caFile, cert: server.certFile, key: server.keyFile } });
  const { endpoints } = etcd;
  const codeOf = async (settings: DatastoreConfig['etcd']): Promise<string> => {
    const store = await opened(t, { endpoints, ...settings });
    const listed = await store.list('IPPool');
    return listed.ok ? 'ok' : listed.error.code;
  };
  assert.equal(await codeOf({ caFile, ...client }), 'ok');
  assert.equal(await codeOf({ caFile }), 'Unavailable', 'no certificate');
  assert.equal(await codeOf(client), 'Unavailable', 'the server is signed by nobody known');
  assert.equal(await codeOf({ caFile, ...issued(strangers, 'stranger') }), 'Unavailable');

  for (const line of [
    'user add root:secret',
    'role add root',
    'user grant-role root root',
    'user add calico:word',
    'role add calico',
    'role grant-permission calico --prefix=true readwrite /calico/',
    'user grant-role calico calico',
    'user add reader:word',
    'role add reader',
    'role grant-permission reader --prefix=true read /calico/',
    'user grant-role reader reader',
    'auth enable',
  ])
    etcd.etcdctl(...line.split(' '));
  // With users, etcd takes requests over its gateway only from certificates that name nobody.
  const user = { username: 'calico', password: 'word' };
  const named = await opened(t, { endpoints, caFile, ...client, ...user });
  const listed = await named.list('IPPool');
  assert.ok(!listed.ok && /whose subject has no CN/.test(listed.error.hint ?? ''));
  const tls = { caFile, ...issued(authority, 'nameless', '') };
  assert.equal(await codeOf({ ...tls, username: 'calico', password: 'wrong' }), 'Unauthorized');
  const reader = await opened(t, { endpoints, ...tls, username: 'reader', password: 'word' });
  expect(await reader.list('IPPool'), 'reading');
  const refused = await reader.create('IPPool', pool('p', '10.1.0.0/16'));
  assert.ok(!refused.ok && refused.error.code === 'Forbidden', refused.ok ? '' : refused.error.code);
  const calico = await opened(t, { endpoints, ...tls, ...user });
  expect(await calico.create('IPPool', pool('p', '10.1.0.0/16')), 'writing');
  const { becomes } = followPools(t, reader);
  await becomes({ p: 0 });
  // Tokens are gone with the server that made them: new ones are asked for.
  const [member] = etcd.members;
  await member?.stop();
  await member?.start();
  await insist(() => calico.create('IPPool', pool('q', '10.2.0.0/16')));
  await becomes({ p: 0, q: 0 });
});

test('NM-068: history older than a period is compacted, the last period is kept', { skip }, async (t) => {
  const etcd = await started(t);
  const store = await opened(t, { endpoints: etcd.endpoints });
  const time = new VirtualClock(Date.now());
  let timers = 0;
  const clock: Clock = {
    now: () => time.now(),
    monotonic: () => time.monotonic(),
    after: (delayMs, run) => {
      timers++;
      return time.after(delayMs, run);
    },
  };
  const revisionAfter = async (name: string): Promise<string> => {
    expect(await store.create('IPPool', pool(name, '10.1.0.0/16')), name);
    return expect(await store.list('IPPool'), 'list').revision;
  };
  const first = await revisionAfter('first');
  for (const name of ['second', 'newest']) await revisionAfter(name);
  const compaction = startCompaction({ datastore: store, logger: silentLogger, clock });
  t.after(() => compaction.stop());
  /** The turn is done when it waits for the next one. */
  const turnsAreDone = async (count: number): Promise<void> => {
    await until(() => (timers >= count ? true : undefined), { timeoutMs: waitMs });
    assert.equal(timers, count);
  };
  await turnsAreDone(1);
  const third = await revisionAfter('third');
  await revisionAfter('fourth');
  const endOf = async (from: string): Promise<string | undefined> => {
    for await (const event of store.watch('IPPool', from, {}, AbortSignal.timeout(waitMs)))
      return event.type === 'error' ? event.error.code : event.type;
    return undefined;
  };
  assert.equal(await endOf(first), 'added');
  time.advance(600_000);
  await turnsAreDone(2);
  assert.equal(await endOf(first), 'TooOld');
  assert.equal(await endOf(third), 'added');
});
