// Neighbours, VTEPs, rules and parameters as every Kernel has them; part of the conformance suite.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { address, prefix } from '../../lib/ip/mod.ts';
import { type Host, codes, value, veth, wired } from './support.ts';

export function neighbourTests(host: Host): void {
  describe('neighbours', () => {
    test('entries and proxy entries', async () => {
      const { a } = host();
      const link = await wired(host());
      const entry = {
        address: address('10.0.0.7'),
        linkIndex: link.index,
        mac: '02:00:00:00:00:07',
        state: 'permanent',
      } as const;
      const proxy = {
        address: address('169.254.1.1'),
        linkIndex: link.index,
        state: 'permanent',
        proxy: true,
      } as const;
      const proxy6 = { ...proxy, address: address('fe80::1'), protocol: 80 };
      const outcomes = await a.neighbours.apply([
        { op: 'replace', neighbour: entry },
        { op: 'replace', neighbour: { ...entry, mac: '02:00:00:00:00:08' } },
        { op: 'replace', neighbour: proxy },
        { op: 'replace', neighbour: proxy },
        { op: 'replace', neighbour: proxy6 },
        { op: 'replace', neighbour: { ...entry, linkIndex: 4711 } },
        { op: 'replace', neighbour: { ...entry, mac: 'nonsense' } },
      ]);
      assert.deepEqual(codes(outcomes), ['ok', 'ok', 'ok', 'ok', 'ok', 'NoSuchObject', 'InvalidArgument']);
      const listed = value(await a.neighbours.list({ family: 4, linkIndex: link.index }));
      assert.deepEqual(
        listed.filter((n) => n.state === 'permanent'),
        [{ ...entry, mac: '02:00:00:00:00:08' }, proxy],
      );
      assert.deepEqual(value(await a.neighbours.list({ proxy: true })), [proxy, proxy6]);
      const deleted = await a.neighbours.apply([
        { op: 'delete', neighbour: entry },
        { op: 'delete', neighbour: proxy },
        { op: 'delete', neighbour: proxy },
        { op: 'delete', neighbour: proxy6 },
      ]);
      assert.deepEqual(codes(deleted), ['ok', 'ok', 'ok', 'ok']);
      assert.deepEqual(value(await a.neighbours.list({ proxy: true })), []);
      assert.deepEqual(codes(await a.neighbours.apply([{ op: 'replace', neighbour: proxy }])), ['ok']);
      assert.ok((await a.links.change(link.index, { up: false })).ok);
      assert.deepEqual(
        value(await a.neighbours.list({ proxy: true })),
        [],
        'gone with an interface that is down',
      );
    });

    test('the VTEPs of a VXLAN device', async () => {
      const { a } = host();
      const vxlan = value(
        await a.links.create({
          kind: 'vxlan',
          name: 'vxlan.calico',
          up: true,
          vxlan: { vni: 4096, port: 4789, learning: false },
        }),
      );
      const entry = {
        mac: '66:00:00:00:00:02',
        linkIndex: vxlan.index,
        remote: address('10.0.0.2'),
        permanent: true,
      };
      const outcomes = await a.fdb.apply([
        { op: 'replace', entry },
        { op: 'replace', entry: { ...entry, remote: address('10.0.0.3') } },
        { op: 'replace', entry: { ...entry, mac: '66:00:00:00:00:04' } },
        { op: 'delete', entry: { ...entry, mac: '66:00:00:00:00:04' } },
        { op: 'delete', entry: { ...entry, mac: '66:00:00:00:00:05' } },
      ]);
      assert.deepEqual(codes(outcomes), ['ok', 'ok', 'ok', 'ok', 'ok']);
      assert.deepEqual(value(await a.fdb.list(vxlan.index)), [{ ...entry, remote: '10.0.0.3' }]);
    });
  });
}

export function ruleTests(host: Host): void {
  test('rules', async () => {
    const { a } = host();
    const first = {
      family: 4,
      priority: 100,
      table: 1000,
      mark: 0x100000,
      markMask: 0xff0000,
      invert: true,
    } as const;
    const second = {
      family: 6,
      priority: 101,
      table: 7,
      source: prefix('fd00::/8'),
      inLink: 'cali1',
    } as const;
    const outcomes = await a.rules.apply([
      { op: 'add', rule: first },
      { op: 'add', rule: first },
      { op: 'add', rule: second },
      { op: 'add', rule: { family: 4, priority: 99, table: 9, mark: 5, markMask: 0xffffffff } },
      { op: 'delete', rule: { family: 4, priority: 102, table: 1000 } },
    ]);
    assert.deepEqual(codes(outcomes), ['ok', 'ok', 'ok', 'ok', 'ok']);
    assert.deepEqual(value(await a.rules.list()), [
      { family: 4, priority: 0, table: 255 },
      { family: 4, priority: 99, table: 9, mark: 5 },
      first,
      { family: 4, priority: 32766, table: 254 },
      { family: 4, priority: 32767, table: 253 },
      { family: 6, priority: 0, table: 255 },
      second,
      { family: 6, priority: 32766, table: 254 },
    ]);
    assert.deepEqual(codes(await a.rules.apply([{ op: 'delete', rule: first }])), ['ok']);
    assert.equal(value(await a.rules.list(4)).length, 4);
  });
}

export function sysctlTests(host: Host): void {
  describe('parameters', () => {
    test('belong to the namespace and to its links', async () => {
      const { a, b } = host();
      await veth(host());
      const path = 'net/ipv4/conf/cali1/proxy_arp';
      assert.equal(value(await a.sysctls.read(path)), '0');
      assert.ok((await a.sysctls.write(path, '1')).ok);
      assert.equal(value(await a.sysctls.read(path)), '1');
      const elsewhere = await b.sysctls.read(path);
      assert.equal(elsewhere.ok ? '' : elsewhere.error.code, 'NoSuchObject');
      const missing = await a.sysctls.write('net/ipv4/conf/cali2/proxy_arp', '1');
      assert.equal(missing.ok ? '' : missing.error.code, 'NoSuchObject');
    });

    test('of the rest of the machine are refused', async () => {
      const { a } = host();
      for (const path of ['kernel/hostname', 'net/../kernel/hostname', '/proc/sys/net/ipv4/ip_forward']) {
        const read = await a.sysctls.read(path);
        assert.equal(read.ok ? '' : read.error.code, 'InvalidArgument', path);
        const written = await a.sysctls.write(path, 'x');
        assert.equal(written.ok ? '' : written.error.code, 'InvalidArgument', path);
      }
    });

    test('no connections, none deleted', async () => {
      assert.equal(value(await host().a.conntrack.deleteByAddress(address('10.0.0.1'))), 0);
      assert.equal(value(await host().a.conntrack.deleteByAddress(address('fd00::1'))), 0);
    });
  });
}
