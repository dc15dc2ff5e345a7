// Ways that carry less than is sent, on a fake kernel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import type { Address } from '../../lib/ip/mod.ts';
import { FakeHost } from '../../kernel/mod.ts';
import { type NarrowPath, PathMtu, pathMtuSettings } from './path-mtu.ts';

const node = (name: string, bgp: object) => ({
  type: 'set' as const,
  kind: 'Node',
  object: { apiVersion: 'projectcalico.org/v3', kind: 'Node', metadata: { name }, spec: { bgp } },
});

function bench() {
  const host = new FakeHost();
  const told: (NarrowPath | string)[] = [];
  const size = { wanted: 1500 };
  const paths = new PathMtu({
    nodeName: 'n1',
    paths: host.kernel().paths,
    clock: systemClock,
    logger: silentLogger,
    firstAfterMs: 1,
    everyMs: 1,
    wantedMtu: () => size.wanted,
    onNarrow: (path) => told.push(path),
    onRestored: ({ node: name }) => told.push(name),
  });
  paths.take([
    node('n1', { ipv4Address: '10.0.0.1/24' }),
    node('n2', { ipv4Address: '10.0.0.2/24', ipv6Address: 'fd00::2/64' }),
    node('n3', { ipv4Address: '10.0.0.3/24' }),
  ]);
  return { host, told, size, paths };
}

test('FX-093: a way that carries less is told once, with the size that passes; again when it changes; and when it is well', async () => {
  const { host, told, size, paths } = bench();
  await paths.round();
  assert.deepEqual([told, paths.status()], [[], { checked: 3, narrow: [] }]);
  host.setPathMtu('10.0.0.3' as Address, 1413);
  host.setPathMtu('fd00::2' as Address, 1280);
  await paths.round();
  await paths.round();
  const narrow = [
    { node: 'n2', address: 'fd00::2', mtu: 1280, wantedMtu: 1500 },
    { node: 'n3', address: '10.0.0.3', mtu: 1413, wantedMtu: 1500 },
  ];
  assert.deepEqual(told, narrow);
  assert.deepEqual(paths.status().narrow, narrow);
  // Less is sent by now.
  size.wanted = 1400;
  await paths.round();
  assert.deepEqual(told.slice(2), [{ ...narrow[0], wantedMtu: 1400 }, 'n3']);
  paths.take([{ type: 'delete', kind: 'Node', name: { name: 'n2' } }]);
  await paths.round();
  assert.deepEqual(paths.status(), { checked: 1, narrow: [] });
});

test('FX-093: of a node that does not answer nothing is said', async () => {
  const { host, told, paths } = bench();
  host.setPathMtu('10.0.0.3' as Address, 0);
  await paths.round();
  assert.deepEqual([told, paths.status()], [[], { checked: 2, narrow: [] }]);
});

test('many nodes are asked in turns', async () => {
  const { host, paths } = bench();
  paths.take(Array.from({ length: 60 }, (_, i) => node(`m${i}`, { ipv4Address: `10.0.1.${i}/16` })));
  for (let i = 0; i < 60; i++) host.setPathMtu(`10.0.1.${i}` as Address, 1000);
  for (let round = 0; round < 4; round++) await paths.round();
  assert.equal(paths.status().narrow.length, 60);
});

test('settings: warn every five minutes unless the environment says otherwise', () => {
  assert.deepEqual(pathMtuSettings({}), { action: 'warn', everyMs: 300_000 });
  assert.deepEqual(pathMtuSettings({ PATH_MTU_PROBE: 'Lower', PATH_MTU_INTERVAL: '60' }), {
    action: 'lower',
    everyMs: 60_000,
  });
  assert.equal(pathMtuSettings({ PATH_MTU_PROBE: 'off' }).action, 'off');
});
