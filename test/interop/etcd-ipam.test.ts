// Address management on a real etcd: allocators at once on few blocks, and one that dies at any of its requests.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Datastore, openDatastore } from '../../src/datastore/mod.ts';
import { createIpam, type Ipam } from '../../src/ipam/mod.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';
import type { IPPool } from '../../src/model/mod.ts';
import { hasEtcd, startEtcd } from '../support/etcd.ts';

const skip = hasEtcd() ? false : 'etcd is not installed';
const etcd = skip === false ? await startEtcd() : undefined;
const clients: Datastore[] = [];
after(async () => {
  for (const client of clients) await client.close();
  await etcd?.stop();
});

async function open(): Promise<Datastore> {
  const settings = { type: 'etcdv3', etcd: { endpoints: etcd?.endpoints ?? '' } };
  const client = expect(await openDatastore(settings, {}), 'opening');
  clients.push(client);
  return client;
}
const ipamOf = (store: Datastore): Ipam => createIpam(store, { clock: systemClock, logger: silentLogger });
const pool = (name: string, cidr: string, blockSize: number): IPPool => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name },
  spec: { cidr, blockSize, ipipMode: 'Never', vxlanMode: 'Never', nodeSelector: 'all()' },
});
const workload = (nodeName: string, handleId: string, num4: number, num6 = 0) =>
  ({
    nodeName,
    handleId,
    num4,
    num6,
    attributes: { pod: handleId, node: nodeName },
    intendedUse: 'Workload',
  }) as const;

async function fresh(store: Datastore, pools: readonly IPPool[]): Promise<void> {
  etcd?.etcdctl('del', '/calico/', '--prefix');
  for (const name of ['a', 'b', 'c'])
    expect(
      await store.create('Node', {
        apiVersion: 'projectcalico.org/v3',
        kind: 'Node',
        metadata: { name },
        spec: {},
      }),
      name,
    );
  for (const one of pools) expect(await store.create('IPPool', one), one.metadata.name);
}

/** Addresses that are held, with their handles, as the blocks say. */
async function held(store: Datastore): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { spec } of expect(await store.list('IPAMBlock'), 'blocks').items)
    spec.allocations.forEach((index, ordinal) => {
      if (index !== null) found.set(`${spec.cidr}#${ordinal}`, spec.attributes[index]?.handle_id ?? '');
    });
  return found;
}

test('RS-050: allocators of three nodes at once on few blocks: nothing twice, nothing lost', {
  skip,
}, async () => {
  const store = await open();
  await fresh(store, [pool('v4', '10.0.0.0/26', 29)]);
  const allocators = await Promise.all(Array.from({ length: 4 }, async () => ipamOf(await open())));
  const taken = await Promise.all(
    Array.from({ length: 40 }, async (_, i) => {
      const ipam = allocators[i % allocators.length] as Ipam;
      const handle = `h${i}`;
      const given = await ipam.autoAssign(workload('abc'[i % 3] ?? 'a', handle, 1 + (i % 2)));
      assert.ok(given.ok, given.ok ? '' : given.error.message);
      if (i % 4 !== 0) return given.value.v4.map(({ address }) => address);
      const released = await ipam.releaseByHandle(handle);
      assert.ok(released.ok, released.ok ? '' : released.error.message);
      return [];
    }),
  );
  const all = taken.flat();
  assert.equal(new Set(all).size, all.length, 'no address is given twice');
  assert.equal((await held(store)).size, all.length);
  assert.deepEqual(expect(await ipamOf(store).check(), 'check'), []);
});

class Crash extends Error {}

/** A client that dies after its n-th request, which for the store is the same as before the next one. */
function mortal(store: Datastore, n: number) {
  let calls = 0;
  let dead = false;
  const proxy = new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return async (...given: readonly unknown[]) => {
        if (dead) throw new Crash();
        const strikes = calls++ === n;
        dead ||= strikes;
        const answer: unknown = await (value.apply(target, given) as Promise<unknown>);
        if (strikes) throw new Crash();
        return answer;
      };
    },
  });
  return { proxy, struck: () => dead };
}

const scenarios: readonly {
  readonly name: string;
  readonly prepare?: (ipam: Ipam) => Promise<unknown>;
  readonly act: (ipam: Ipam) => Promise<unknown>;
}[] = [
  { name: 'the first assignment, both families', act: (ipam) => ipam.autoAssign(workload('a', 'h', 1, 1)) },
  {
    name: 'an assignment that needs a second block',
    prepare: (ipam) => ipam.autoAssign(workload('a', 'old', 3)),
    act: (ipam) => ipam.autoAssign(workload('a', 'h', 3)),
  },
  {
    name: 'a release',
    prepare: (ipam) => ipam.autoAssign(workload('a', 'h', 5, 1)),
    act: (ipam) => ipam.releaseByHandle('h'),
  },
];

for (const { name, prepare, act } of scenarios)
  test(`RS-047: all crash points on etcd: ${name}`, { skip }, async () => {
    const store = await open();
    for (let n = 0; n < 100; n++) {
      await fresh(store, [pool('v4', '10.0.0.0/29', 30), pool('v6', 'fd00::/125', 126)]);
      await prepare?.(ipamOf(store));
      const { proxy, struck } = mortal(store, n);
      try {
        await act(ipamOf(proxy));
      } catch (error) {
        assert.ok(error instanceof Crash, String(error));
      }
      if (!struck()) break;
      const later = ipamOf(store);
      const released = await later.releaseByHandle('h');
      assert.ok(released.ok, released.ok ? '' : released.error.message);
      const left = [...(await held(store)).keys()];
      const free4 = 8 - left.filter((one) => !one.includes(':')).length;
      const free6 = 8 - left.filter((one) => one.includes(':')).length;
      const rest = await later.autoAssign(workload('a', 'rest', free4, free6));
      assert.ok(rest.ok, `after ${n}: ${rest.ok ? '' : rest.error.message}`);
      const all = await held(store);
      assert.equal(all.size, 16, `after ${n}: no address is lost`);
      assert.ok(![...all.values()].includes('h'));
      const problems = expect(await later.check(), 'check');
      assert.deepEqual(problems, [], `after ${n}`);
    }
  });
