// Token buckets and redirects as every Kernel has them; part of the conformance suite.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { until } from '../../lib/wait.ts';
import { sameBucket } from '../netlink/qdiscs.ts';
import { bucketHandle, type Kernel, type KernelEvent, type TokenBucket } from '../types.ts';
import { codes, type Host, value, wired } from './support.ts';

const bucket: TokenBucket = { rateBytesPerSecond: 5_000_000, burstBytes: 100_000, queueBytes: 225_000 };
/** 40 and 80 Gbit/s, which need 64 bits. */
const wide: TokenBucket = {
  rateBytesPerSecond: 5_000_000_000,
  burstBytes: 100_000_000,
  queueBytes: 200_000_000,
  peak: { rateBytesPerSecond: 10_000_000_000, burstBytes: 9014 },
};

async function bucketOf(kernel: Kernel, linkIndex: number): Promise<TokenBucket | undefined> {
  const roots = value(await kernel.qdiscs.list(linkIndex)).filter(({ isRoot }) => isRoot);
  assert.equal(roots.length, 1);
  if (roots[0]?.bucket !== undefined) assert.equal(roots[0].handle, bucketHandle);
  return roots[0]?.bucket;
}

export function queueingTests(host: Host): void {
  describe('queueing', () => {
    test('a token bucket is put in place, changed, and taken away', async () => {
      const { a } = host();
      const { index: linkIndex } = await wired(host());
      assert.equal(await bucketOf(a, linkIndex), undefined);
      for (const wanted of [bucket, { ...bucket, queueBytes: 300_000 }, wide]) {
        assert.deepEqual(codes(await a.qdiscs.applyBuckets([{ op: 'replace', linkIndex, bucket: wanted }])), [
          'ok',
        ]);
        const found = await bucketOf(a, linkIndex);
        assert.ok(found && sameBucket(found, wanted), JSON.stringify(found));
        assert.equal(
          sameBucket(found, { ...wanted, rateBytesPerSecond: wanted.rateBytesPerSecond + 1 }),
          false,
        );
      }
      const refused = await a.qdiscs.applyBuckets([
        {
          op: 'replace',
          linkIndex,
          bucket: { ...bucket, peak: { rateBytesPerSecond: 1000, burstBytes: 2000 } },
        },
        { op: 'replace', linkIndex: 4711, bucket },
        { op: 'delete', linkIndex: 4711 },
      ]);
      assert.deepEqual(codes(refused), ['InvalidArgument', 'NoSuchObject', 'ok']);
      assert.ok(await bucketOf(a, linkIndex), 'a refused change leaves what was there');
      const gone = await a.qdiscs.applyBuckets([
        { op: 'delete', linkIndex },
        { op: 'delete', linkIndex },
      ]);
      assert.deepEqual(codes(gone), ['ok', 'ok']);
      assert.equal(await bucketOf(a, linkIndex), undefined);
    });

    test('a redirect is replaced in its place, and leads nowhere when its target is gone', async () => {
      const { a } = host();
      const { index: linkIndex } = await wired(host());
      assert.deepEqual(value(await a.redirects.list(linkIndex)), []);
      const first = value(await a.links.create({ kind: 'ifb', name: 'ifb-a', up: true }));
      const second = value(await a.links.create({ kind: 'ifb', name: 'ifb-b', up: true }));
      const to = (targetIndex: number) => ({ linkIndex, priority: 1, targetIndex });
      for (const { index } of [first, second]) {
        const applied = await a.redirects.apply([{ op: 'replace', redirect: to(index) }]);
        assert.deepEqual(codes(applied), ['ok']);
        assert.deepEqual(value(await a.redirects.list(linkIndex)), [to(index)]);
      }
      assert.ok(value(await a.qdiscs.list(linkIndex)).some(({ kind }) => kind === 'clsact'));
      assert.deepEqual(codes(await a.redirects.apply([{ op: 'replace', redirect: to(4711) }])), [
        'NoSuchObject',
      ]);
      await a.links.delete([second.index]);
      assert.deepEqual(value(await a.redirects.list(linkIndex)), [to(0)]);
      const gone = await a.redirects.apply([
        { op: 'delete', redirect: to(0) },
        { op: 'delete', redirect: to(0) },
        { op: 'delete', redirect: { ...to(0), linkIndex: 4711 } },
      ]);
      assert.deepEqual(codes(gone), ['ok', 'ok', 'ok']);
      assert.deepEqual(value(await a.redirects.list(linkIndex)), []);
    });

    test('changes of both are told', async () => {
      const { a } = host();
      const { index: linkIndex } = await wired(host());
      const target = value(await a.links.create({ kind: 'ifb', name: 'ifb-a', up: true }));
      const events: KernelEvent[] = [];
      const subscription = a.subscribe(['filters'], (event) => events.push(event));
      const told = async (): Promise<void> => {
        const found = await until(
          () => (events.some((e) => e.type === 'filters' && e.linkIndex === linkIndex) ? true : undefined),
          { timeoutMs: 5000 },
        );
        assert.ok(found, JSON.stringify(events));
        await new Promise((resolve) => setTimeout(resolve, 20));
        events.length = 0;
      };
      const redirect = { linkIndex, priority: 1, targetIndex: target.index };
      await a.qdiscs.applyBuckets([{ op: 'replace', linkIndex, bucket }]);
      await told();
      await a.qdiscs.applyBuckets([{ op: 'delete', linkIndex }]);
      await told();
      await a.redirects.apply([{ op: 'replace', redirect }]);
      await told();
      await a.redirects.apply([{ op: 'delete', redirect }]);
      await told();
      subscription.close();
    });
  });
}
