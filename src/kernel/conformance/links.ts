// Links as every Kernel has them; part of the conformance suite.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { address } from '../../lib/ip/mod.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { Link } from '../types.ts';
import { type ConformanceMachine, type Host, codes, value, veth } from './support.ts';

export function linkTests(host: Host, machine: () => ConformanceMachine): void {
  describe('links', () => {
    test('a new namespace has lo, down', async () => {
      const [lo, ...rest] = value(await host().a.links.list());
      assert.deepEqual(rest, []);
      assert.deepEqual(lo && { ...lo, mtu: 0 }, {
        index: 1,
        name: 'lo',
        kind: 'loopback',
        mac: '00:00:00:00:00:00',
        mtu: 0,
        up: false,
        running: false,
        group: 0,
      });
    });

    test('a veth comes with its other end in another namespace', async () => {
      const { a, b, pathOfB } = host();
      const made = value(
        await a.links.create({
          kind: 'veth',
          name: 'cali1',
          mac: 'EE:ee:ee:ee:ee:ee',
          mtu: 1450,
          up: true,
          group: 7,
          peer: { name: 'eth0', mac: '02:00:00:00:00:01', netns: pathOfB },
        }),
      );
      const peer = value(await b.links.get('eth0')) as Link;
      assert.deepEqual(made, {
        index: made.index,
        name: 'cali1',
        kind: 'veth',
        mac: 'ee:ee:ee:ee:ee:ee',
        mtu: 1450,
        up: true,
        running: false,
        peerIndex: peer.index,
        group: 7,
      });
      assert.equal(peer.peerIndex, made.index);
      assert.equal(peer.mac, '02:00:00:00:00:01');
      assert.equal(peer.mtu, 1450);
      assert.equal(peer.up, false);
      assert.ok((await b.links.change(peer.index, { up: true })).ok);
      assert.equal(value(await a.links.get('cali1'))?.running, true);
      assert.equal(value(await b.links.get('eth0'))?.running, true);
    });

    test('a name that is taken, wrong or missing', async () => {
      const { a, b, pathOfB } = host();
      await veth(host());
      const again = await a.links.create({
        kind: 'veth',
        name: 'cali1',
        peer: { name: 'eth1', netns: pathOfB },
      });
      assert.equal(again.ok ? '' : again.error.code, 'AlreadyExists');
      const peerTaken = await a.links.create({
        kind: 'veth',
        name: 'cali2',
        peer: { name: 'eth0', netns: pathOfB },
      });
      assert.equal(peerTaken.ok ? '' : peerTaken.error.code, 'AlreadyExists');
      const long = await a.links.create({ kind: 'bridge', name: 'a-name-of-16-byt' });
      assert.equal(long.ok ? '' : long.error.code, 'InvalidArgument');
      const nowhere = await a.links.create({
        kind: 'veth',
        name: 'cali3',
        peer: { name: 'eth0', netns: '/run/netns/margay-none' },
      });
      assert.equal(nowhere.ok ? '' : nowhere.error.code, 'NoSuchObject');
      assert.equal(value(await b.links.get('eth1')), undefined);
      assert.equal(value(await a.links.get('nothing')), undefined);
    });

    test('bridge and vxlan', async () => {
      const { a } = host();
      const bridge = value(await a.links.create({ kind: 'bridge', name: 'br0', up: true }));
      assert.equal(bridge.kind, 'bridge');
      const vxlan = { vni: 4096, port: 4789, learning: false, local: address('10.0.0.1') };
      const made = value(
        await a.links.create({
          kind: 'vxlan',
          name: 'vxlan.calico',
          mac: '66:00:00:00:00:01',
          mtu: 1450,
          vxlan,
        }),
      );
      assert.deepEqual(made.vxlan, vxlan);
      assert.deepEqual([made.kind, made.mac, made.mtu, made.up], ['vxlan', '66:00:00:00:00:01', 1450, false]);
    });

    test('tun', async (t) => {
      const { a } = host();
      const made = await a.links.create({ kind: 'tun', name: 'tun0', mtu: 1400, up: true });
      if (!made.ok && made.error.code === 'NotPermitted')
        return t.skip('/dev/net/tun may not be opened here');
      const tun = value(made);
      assert.deepEqual(
        [tun.kind, tun.mac, tun.mtu, tun.up, tun.running],
        ['tun', undefined, 1400, true, false],
      );
      const again = await a.links.create({ kind: 'tun', name: 'tun0' });
      assert.equal(again.ok ? '' : again.error.code, 'AlreadyExists');
      return undefined;
    });

    test('changes of name, MAC, MTU, group, alias, bridge', async () => {
      const { a } = host();
      const link = await veth(host(), false);
      const bridge = value(await a.links.create({ kind: 'bridge', name: 'br0' }));
      const change = { name: 'cali9', mac: 'ee:ee:ee:ee:ee:01', mtu: 1400, group: 3, alias: 'pod', up: true };
      assert.ok((await a.links.change(link.index, { ...change, masterIndex: bridge.index })).ok);
      const changed = value(await a.links.get('cali9')) as Link;
      for (const [key, wanted] of Object.entries({ ...change, masterIndex: bridge.index }))
        assert.deepEqual(changed[key as keyof Link], wanted, key);
      assert.ok((await a.links.change(link.index, { masterIndex: null, alias: '' })).ok);
      const freed = value(await a.links.get('cali9')) as Link;
      assert.deepEqual([freed.masterIndex, freed.alias], [undefined, undefined]);
      const missing = await a.links.change(4711, { up: true });
      assert.equal(missing.ok ? '' : missing.error.code, 'NoSuchObject');
    });

    test('a link moves to another namespace', async () => {
      const { a, b, pathOfB } = host();
      const made = value(
        await a.links.create({ kind: 'veth', name: 'left', up: true, peer: { name: 'right' } }),
      );
      const right = value(await a.links.get('right')) as Link;
      assert.ok((await a.links.change(right.index, { netns: pathOfB, name: 'eth5' })).ok);
      assert.equal(value(await a.links.get('right')), undefined);
      const moved = value(await b.links.get('eth5')) as Link;
      assert.equal(moved.peerIndex, made.index);
    });

    test('deleting one takes its other end; the missing are no failure', async () => {
      const { a, b } = host();
      const link = await veth(host());
      assert.deepEqual(codes(await a.links.delete([link.index, 4711])), ['ok', 'ok']);
      assert.equal(value(await a.links.get('cali1')), undefined);
      assert.equal(value(await b.links.get('eth0')), undefined);
    });

    test('many are deleted at once', async () => {
      const { a, b, pathOfB } = host();
      const indexes: number[] = [];
      for (let i = 0; i < 6; i++) {
        const peer = { name: `eth${i}`, netns: pathOfB };
        indexes.push(value(await a.links.create({ kind: 'veth', name: `cali${i}`, peer })).index);
      }
      assert.deepEqual(codes(await a.links.delete([...indexes, 4711])), Array(7).fill('ok'));
      assert.equal(value(await a.links.list()).length, 1);
      assert.equal(value(await b.links.list()).length, 1);
    });

    test('lo stays, also among others', async () => {
      const { a, pathOfB } = host();
      const made: Link[] = [];
      for (const name of ['cali1', 'cali2'])
        made.push(
          value(await a.links.create({ kind: 'veth', name, peer: { name: `p${name}`, netns: pathOfB } })),
        );
      const outcomes = await a.links.delete([1, ...made.map((link) => link.index)]);
      assert.deepEqual(codes(outcomes), ['NotSupported', 'ok', 'ok']);
      const [lo, ...rest] = value(await a.links.list());
      assert.deepEqual([lo?.group, rest], [0, []]);
    });

    test('a namespace takes its links with it', async () => {
      const { a } = host();
      const path = expect(await machine().createNamedNamespace(`margay-${process.pid}-gone`), 'create');
      value(await a.links.create({ kind: 'veth', name: 'cali7', peer: { name: 'eth0', netns: path } }));
      assert.ok((await machine().deleteNamedNamespace(`margay-${process.pid}-gone`)).ok);
      const disappeared = await until(
        async () => value(await a.links.get('cali7')) === undefined || undefined,
        {
          timeoutMs: 20_000,
        },
      );
      assert.ok(disappeared);
      const opened = await machine().openKernel({ netns: path });
      assert.equal(opened.ok ? '' : opened.error.code, 'NoSuchObject');
    });
  });
}
