// nftables as every Kernel has it; part of the conformance suite.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { expect } from '../../lib/result.ts';
import type { Kernel, NftCommand, NftElement, NftSet } from '../types.ts';
import type { ConformanceHost } from './support.ts';

const table = { family: 'ip', name: 'calico' } as const;

async function apply(kernel: Kernel, ...commands: NftCommand[]): Promise<string> {
  const result = await kernel.nftables.apply(commands);
  return result.ok ? 'ok' : `${result.error.code} ${result.error.commandIndex}`;
}

const chain = (name: string): NftCommand => ({ op: 'add-chain', table, chain: { name } });
const set = (definition: NftSet): NftCommand => ({ op: 'add-set', table, set: definition });
const put = (name: string, ...elements: NftElement[]): NftCommand => ({
  op: 'add-elements',
  table,
  set: name,
  elements,
});
const take = (name: string, ...elements: NftElement[]): NftCommand => ({
  op: 'delete-elements',
  table,
  set: name,
  elements,
});
const rule = (name: string, expression: string, comment?: string): NftCommand => ({
  op: 'add-rule',
  table,
  chain: name,
  rule: comment === undefined ? { expression } : { expression, comment },
});

export function nftablesConformance(host: () => ConformanceHost): void {
  describe('nftables', () => {
    const elements = async (name: string) =>
      expect(await host().a.nftables.elements(table, name), 'elements').sort((x, y) =>
        String(x.key) < String(y.key) ? -1 : 1,
      );

    test('what was written is read back', async () => {
      const { a } = host();
      const base = { type: 'filter', hook: 'forward', priority: -5, policy: 'drop' } as const;
      const names: NftSet = { name: 'names', key: ['ifname'], data: ['verdict'] };
      const pools: NftSet = { name: 'pools', key: ['ipv4_addr'], interval: true };
      const outcome = await apply(
        a,
        { op: 'add-table', table },
        chain('x'),
        { op: 'add-chain', table, chain: { name: 'forward', base } },
        set(names),
        set(pools),
        rule('forward', 'iifname vmap @names', 'cali:abc'),
        rule('forward', 'ip saddr @pools counter accept'),
      );
      assert.equal(outcome, 'ok');
      assert.deepEqual(expect(await a.nftables.tables(), 'tables'), [table]);
      const state = expect(await a.nftables.read(table), 'read');
      assert.deepEqual(state?.sets, [names, pools]);
      const chains = state?.chains.map((c) => [c.chain, c.rules.map((r) => r.comment)]);
      assert.deepEqual(chains, [
        [{ name: 'x' }, []],
        [{ name: 'forward', base }, ['cali:abc', undefined]],
      ]);
      const handles = state?.chains[1]?.rules.map((r) => r.handle) ?? [];
      assert.ok((handles[0] ?? 0n) < (handles[1] ?? 0n));
      assert.equal(expect(await a.nftables.read({ family: 'ip6', name: 'calico' }), 'read'), undefined);
    });

    test('a transaction is all or nothing, and names what failed', async () => {
      const { a } = host();
      assert.equal(
        await apply(a, { op: 'add-table', table }, chain('x'), rule('nowhere', 'accept')),
        'NoSuchObject 2',
      );
      assert.equal(expect(await a.nftables.read(table), 'read'), undefined);
      assert.equal(
        await apply(a, { op: 'add-table', table }, chain('x'), rule('x', 'jump y')),
        'NoSuchObject 2',
      );
      assert.equal(
        await apply(a, { op: 'add-table', table }, chain('x'), rule('x', 'ip saddr @no drop')),
        'NoSuchObject 2',
      );
      assert.equal(
        await apply(a, { op: 'add-table', table }, chain('x'), rule('x', 'flow add @f')),
        'InvalidArgument 2',
      );
      assert.equal(await apply(a, { op: 'delete-table', table }), 'NoSuchObject 0');
      assert.equal(await apply(a, { op: 'add-table', table }, { op: 'delete-table', table }), 'ok');
      assert.equal(await apply(a), 'ok');
    });

    test('elements of every kind', async () => {
      const { a } = host();
      const outcome = await apply(
        a,
        { op: 'add-table', table },
        chain('x'),
        set({ name: 'hosts', key: ['ipv4_addr'] }),
        set({ name: 'pools', key: ['ipv4_addr'], interval: true }),
        set({ name: 'ports', key: ['inet_service'], interval: true }),
        set({ name: 'names', key: ['ifname'], data: ['verdict'] }),
        set({ name: 'class', key: ['ipv4_addr'], data: ['mark'], interval: true }),
        set({
          name: 'program',
          key: ['mark', 'inet_proto', 'inet_service'],
          data: ['verdict'],
          interval: true,
        }),
        set({ name: 'services', key: ['ipv4_addr', 'inet_service'], data: ['ipv4_addr', 'inet_service'] }),
        put('hosts', { key: '10.0.0.1', comment: 'one' }, { key: '10.0.0.2' }),
        put(
          'pools',
          { key: '10.0.0.0/8' },
          { key: '11.0.0.0/8' },
          { key: '192.168.0.1-192.168.0.9' },
          { key: '255.255.255.255' },
        ),
        put('ports', { key: '80-90' }, { key: '443' }, { key: '0x1f90' }),
        put('names', { key: 'cali1', data: 'goto x' }, { key: 'cali2', data: 'accept' }),
        put('class', { key: '10.0.0.0/24', data: '7' }),
        put(
          'program',
          { key: ['1', 'tcp', '80-90'], data: 'goto x' },
          { key: ['0x2', '17', '0-65535'], data: 'drop' },
        ),
        put('services', { key: '10.96.0.1 . 443', data: '10.0.0.1 . 6443' }),
      );
      assert.equal(outcome, 'ok');
      assert.deepEqual(await elements('hosts'), [{ key: '10.0.0.1', comment: 'one' }, { key: '10.0.0.2' }]);
      assert.deepEqual(
        (await elements('pools')).map((e) => e.key),
        ['10.0.0.0/8', '11.0.0.0/8', '192.168.0.1-192.168.0.9', '255.255.255.255'],
      );
      assert.deepEqual(
        (await elements('ports')).map((e) => e.key),
        ['443', '80-90', '8080'],
      );
      assert.deepEqual(await elements('names'), [
        { key: 'cali1', data: 'goto x' },
        { key: 'cali2', data: 'accept' },
      ]);
      assert.deepEqual(await elements('class'), [{ key: '10.0.0.0/24', data: '0x00000007' }]);
      assert.deepEqual(await elements('program'), [
        { key: ['0x00000001', 'tcp', '80-90'], data: 'goto x' },
        { key: ['0x00000002', 'udp', '0-65535'], data: 'drop' },
      ]);
      assert.deepEqual(await elements('services'), [
        { key: ['10.96.0.1', '443'], data: ['10.0.0.1', '6443'] },
      ]);
      const missing = await a.nftables.elements(table, 'none');
      assert.equal(missing.ok ? '' : missing.error.code, 'NoSuchObject');
    });

    test('elements come again, change and go', async () => {
      const { a } = host();
      await apply(
        a,
        { op: 'add-table', table },
        set({ name: 'pools', key: ['ipv4_addr'], interval: true }),
        set({ name: 'names', key: ['ifname'], data: ['verdict'] }),
        put('pools', { key: '10.0.0.0/8' }, { key: '255.0.0.0/8' }),
        put('names', { key: 'cali1', data: 'accept' }),
      );
      assert.equal(
        await apply(a, put('pools', { key: '10.0.0.0/8' }), put('names', { key: 'cali1', data: 'accept' })),
        'ok',
      );
      assert.equal(await apply(a, put('names', { key: 'cali1', data: 'drop' })), 'AlreadyExists 0');
      assert.equal(await apply(a, put('pools', { key: '10.128.0.0/9' })), 'AlreadyExists 0');
      assert.equal(await apply(a, put('pools', { key: 'fd00::/8' })), 'InvalidArgument 0');
      assert.equal(await apply(a, take('pools', { key: '12.0.0.0/8' })), 'NoSuchObject 0');
      assert.equal(
        await apply(a, take('pools', { key: '255.0.0.0/8' }), put('pools', { key: '11.0.0.0/8' })),
        'ok',
      );
      assert.equal(
        await apply(a, take('names', { key: 'cali1' }), put('names', { key: 'cali1', data: 'drop' })),
        'ok',
      );
      assert.deepEqual(
        (await elements('pools')).map((e) => e.key),
        ['10.0.0.0/8', '11.0.0.0/8'],
      );
      assert.deepEqual(await elements('names'), [{ key: 'cali1', data: 'drop' }]);
      assert.equal(
        await apply(a, { op: 'flush-set', table, set: 'pools' }, put('pools', { key: '1.0.0.0/8' })),
        'ok',
      );
      assert.deepEqual(
        (await elements('pools')).map((e) => e.key),
        ['1.0.0.0/8'],
      );
    });

    test('what is in use stays', async () => {
      const { a } = host();
      await apply(
        a,
        { op: 'add-table', table },
        chain('x'),
        chain('y'),
        chain('z'),
        set({ name: 'pools', key: ['ipv4_addr'], interval: true }),
        set({ name: 'names', key: ['ifname'], data: ['verdict'] }),
        put('names', { key: 'cali1', data: 'goto z' }),
        rule('x', 'ip saddr @pools jump y'),
      );
      assert.equal(await apply(a, { op: 'delete-chain', table, chain: 'y' }), 'Busy 0');
      assert.equal(await apply(a, { op: 'delete-chain', table, chain: 'z' }), 'Busy 0');
      assert.equal(await apply(a, { op: 'delete-set', table, set: 'pools' }), 'Busy 0');
      const undone = await apply(
        a,
        { op: 'flush-chain', table, chain: 'x' },
        take('names', { key: 'cali1' }),
        { op: 'delete-chain', table, chain: 'y' },
        { op: 'delete-chain', table, chain: 'z' },
        { op: 'delete-set', table, set: 'pools' },
      );
      assert.equal(undone, 'ok');
      const state = expect(await a.nftables.read(table), 'read');
      assert.deepEqual(
        state?.chains.map((c) => c.chain.name),
        ['x'],
      );
      assert.deepEqual(
        state?.sets.map((s) => s.name),
        ['names'],
      );
    });

    test('chains and sets come again as they are', async () => {
      const { a } = host();
      const base = { type: 'filter', hook: 'forward', priority: 0 } as const;
      const forward = (more: object): NftCommand => ({
        op: 'add-chain',
        table,
        chain: { name: 'forward', base: { ...base, ...more } },
      });
      const hosts: NftSet = { name: 'hosts', key: ['ipv4_addr'] };
      await apply(
        a,
        { op: 'add-table', table },
        forward({ policy: 'drop' }),
        set(hosts),
        rule('forward', 'accept'),
      );
      assert.equal(await apply(a, { op: 'add-table', table }, forward({}), set(hosts)), 'ok');
      const policy = async () => expect(await a.nftables.read(table), 'read')?.chains[0]?.chain.base?.policy;
      assert.equal(await policy(), 'drop');
      assert.equal(await apply(a, forward({ policy: 'accept' })), 'ok');
      assert.equal(await policy(), 'accept');
      assert.equal(await apply(a, forward({ hook: 'input' })), 'NotSupported 0');
      assert.equal(await apply(a, set({ ...hosts, key: ['ipv6_addr'] })), 'AlreadyExists 0');
      assert.equal(await apply(a, { op: 'flush-table', table }), 'ok');
      assert.deepEqual(expect(await a.nftables.read(table), 'read')?.chains[0]?.rules, []);
    });
  });
}
