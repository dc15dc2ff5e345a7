// Interface addresses as every Kernel has them; part of the conformance suite.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LinkAddress } from '../types.ts';
import { type Host, codes, on, value, veth, wired } from './support.ts';

export function addressTests(host: Host): void {
  describe('addresses', () => {
    const own = (list: LinkAddress[]) => list.filter((a) => !a.address.startsWith('fe80'));

    test('come and go; again is no failure', async () => {
      const { a } = host();
      const link = await veth(host());
      const v4 = on(link, '10.0.0.1/24');
      const v6 = on(link, 'fd00::1/64', { noDad: true });
      const adding = [v4, v4, v6, v6].map((one) => ({ op: 'add', address: one }) as const);
      assert.deepEqual(codes(await a.addresses.apply(adding)), ['ok', 'ok', 'ok', 'ok']);
      assert.deepEqual(own(value(await a.addresses.list())), [
        { ...v4, scope: 'global' },
        { ...v6, scope: 'global' },
      ]);
      const deleting = [v4, v4, v6, v6].map((one) => ({ op: 'delete', address: one }) as const);
      assert.deepEqual(codes(await a.addresses.apply(deleting)), ['ok', 'ok', 'ok', 'ok']);
      assert.deepEqual(own(value(await a.addresses.list())), []);
    });

    test('bring the routes to themselves and to their network', async () => {
      const { a } = host();
      const link = await wired(host());
      const routes = value(await a.routes.list({ family: 4 }));
      const find = (dst: string) => routes.find((r) => r.dst === dst);
      assert.deepEqual(find('10.0.0.0/24'), {
        dst: '10.0.0.0/24',
        type: 'unicast',
        table: 254,
        protocol: 2,
        scope: 'link',
        priority: 0,
        source: '10.0.0.1',
        nextHops: [{ linkIndex: link.index }],
      });
      assert.deepEqual([find('10.0.0.1/32')?.type, find('10.0.0.1/32')?.table], ['local', 255]);
      assert.ok((await a.addresses.apply([{ op: 'delete', address: on(link, '10.0.0.1/24') }]))[0]?.ok);
      assert.deepEqual(value(await a.routes.list({ family: 4 })), []);
    });

    test('the scope is kept; a link that is missing is not', async () => {
      const { a } = host();
      const link = await veth(host());
      const scoped = on(link, '10.0.0.1/32', { scope: 'link' });
      const outcomes = await a.addresses.apply([
        { op: 'add', address: scoped },
        { op: 'add', address: { ...scoped, linkIndex: 4711 } },
      ]);
      assert.deepEqual(codes(outcomes), ['ok', 'NoSuchObject']);
      assert.deepEqual(own(value(await a.addresses.list())), [scoped]);
    });
  });
}
