import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { modeNames } from '../modes.ts';
import { designNames } from '../topology/mod.ts';
import { lessonNamed, lessons } from './catalogue.ts';
import { sightingOf } from './frames.ts';
import { lessonLines, lessonList, lessonPage, walkLines } from './print.ts';
import { problemsOf } from './run.ts';
import type { Lesson, RawFrame, Sighting, Walk } from './types.ts';

const hex = (...bytes: readonly number[]): string =>
  bytes.map((b) => b.toString(16).padStart(2, '0')).join('');
const ip = (source: string, destination: string, protocol: number, ttl: number, payload: string): string => {
  const length = 20 + payload.length / 2;
  const address = (text: string): number[] => text.split('.').map(Number);
  return `${hex(0x45, 0, length >> 8, length & 255, 0, 1, 0, 0, ttl, protocol, 0, 0, ...address(source), ...address(destination))}${payload}`;
};
const ethernet = (payload: string, type = 0x0800): string =>
  `${hex(2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, type >> 8, type & 255)}${payload}`;
const echo = (type: number): string => hex(type, 0, 0, 0, 0, 1, 0, 1, 1, 2, 3, 4);
const request = ip('192.168.1.2', '192.168.2.3', 1, 63, echo(8));
const frame = (bytes: string, more: Partial<RawFrame> = {}): RawFrame => ({
  machine: 'worker1',
  device: 'eth0',
  direction: 'out',
  at: '1',
  ethernet: true,
  bytes,
  ...more,
});
const see = (bytes: string, more: Partial<RawFrame> = {}): Sighting | undefined =>
  sightingOf(frame(bytes, more), '192.168.1.2', '192.168.2.3');
const macs = { source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' };
const inner = { source: '192.168.1.2', destination: '192.168.2.3', ttl: 63 };

test('a bare echo request, its answer, and a router that says no', () => {
  const place = { machine: 'worker1', device: 'eth0', direction: 'out' };
  assert.deepEqual(see(ethernet(request)), { ...place, macs, inner, kind: 'request' });
  assert.equal(see(ethernet(ip('192.168.2.3', '192.168.1.2', 1, 60, echo(0))))?.kind, 'reply');
  const refusal = ip('10.0.0.254', '192.168.1.2', 1, 64, `${hex(3, 0, 0, 0, 0, 0, 0, 0)}${request}`);
  assert.equal(see(ethernet(refusal))?.kind, 'unreachable');
  assert.deepEqual(see(request, { ethernet: false }), { ...place, inner, kind: 'request' });
});

test('IP in IP and VXLAN show both pairs of addresses', () => {
  const wrapped = see(ethernet(ip('10.0.0.21', '30.0.0.23', 4, 61, request)));
  assert.deepEqual(wrapped?.outer, { source: '10.0.0.21', destination: '30.0.0.23', ttl: 61, how: 'ipip' });
  assert.deepEqual(wrapped?.inner, inner);
  const udp = hex(0xc0, 0, 0x12, 0xb5, 0, 0, 0, 0);
  const vxlan = see(
    ethernet(
      ip('10.0.0.21', '30.0.0.23', 17, 64, `${udp}${hex(8, 0, 0, 0, 0, 16, 0, 0)}${ethernet(request)}`),
    ),
  );
  assert.deepEqual(vxlan?.outer, {
    source: '10.0.0.21',
    destination: '30.0.0.23',
    ttl: 64,
    how: 'vxlan',
    vni: 4096,
  });
  assert.deepEqual(vxlan?.innerMacs, macs);
});

test('WireGuard shows the nodes, and nothing of what is inside', () => {
  const udp = (source: string, destination: string, type: number, length: number): string =>
    ethernet(
      ip(
        source,
        destination,
        17,
        64,
        hex(0xca, 0x6c, 0xca, 0x6c, 0, 0, 0, 0, type, ...Array(length - 9).fill(7)),
      ),
    );
  const nodes = { from: '10.0.0.21', to: '30.0.0.23' };
  const look = (bytes: string) => sightingOf(frame(bytes), '192.168.1.2', '192.168.2.3', nodes);
  const place = { machine: 'worker1', device: 'eth0', direction: 'out', macs };
  const outer = { source: '10.0.0.21', destination: '30.0.0.23', ttl: 64, how: 'wireguard' };
  assert.deepEqual(look(udp(nodes.from, nodes.to, 4, 136)), { ...place, outer, kind: 'request' });
  assert.equal(look(udp(nodes.to, nodes.from, 4, 136))?.kind, 'reply');
  assert.equal(look(udp(nodes.from, nodes.to, 4, 40)), undefined, 'a keepalive');
  assert.equal(look(udp(nodes.from, nodes.to, 1, 136)), undefined, 'a handshake');
  assert.equal(look(udp(nodes.from, '10.0.0.22', 4, 136)), undefined, 'of another node');
  const text = walkLines(walk({ sightings: [look(udp(nodes.from, nodes.to, 4, 136)) as Sighting] })).join(
    '\n',
  );
  assert.match(text, /10\.0\.0\.21 → 30\.0\.0\.23 WireGuard TTL 64 +\(encrypted\)/);
});

test('what is something else is not shown, whatever its bytes', () => {
  assert.equal(see(ethernet(ip('192.168.1.2', '192.168.9.9', 1, 63, echo(8)))), undefined);
  assert.equal(see(ethernet(request, 0x0806)), undefined);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.boolean(), (bytes, isEthernet) => {
      assert.equal(see(hex(...bytes), { ethernet: isEthernet }), undefined);
    }),
    { numRuns: 300 },
  );
  // Cut anywhere, it is the whole or nothing.
  for (let end = 0; end < ethernet(request).length; end += 2)
    assert.doesNotThrow(() => see(ethernet(request).slice(0, end)));
});

test('there is a lesson for every design and every mode', () => {
  assert.equal(new Set(lessons.map((l) => l.name)).size, lessons.length);
  for (const design of designNames)
    assert.ok(
      lessons.some((l) => l.design === design),
      design,
    );
  for (const mode of modeNames)
    assert.ok(
      lessons.some((l) => l.mode === mode),
      mode,
    );
  assert.equal(lessonList(lessons).length, lessons.length);
});

const sighting = (more: Partial<Sighting>): Sighting => ({
  machine: 'worker1',
  device: 'eth0',
  direction: 'out',
  macs,
  inner,
  kind: 'request',
  ...more,
});
const walk = (more: Partial<Walk> = {}): Walk => ({
  way: 'far',
  from: { pod: 'client', node: 'worker1', address: '192.168.1.2' },
  to: { pod: 'far', node: 'worker3', address: '192.168.2.3' },
  reached: true,
  ping: '64 bytes',
  sightings: [sighting({})],
  routes: [{ machine: 'worker1', destination: '192.168.2.3', route: 'default via 10.0.0.254' }],
  ...more,
});
const named = (name: string): Lesson => {
  const lesson = lessonNamed(name);
  assert.ok(lesson !== undefined);
  return lesson;
};

test('a walk is compared with what the lesson says', () => {
  const mesh = named('mesh');
  assert.deepEqual(problemsOf(mesh, walk()), []);
  assert.equal(problemsOf(mesh, walk({ reached: false })).length, 1);
  assert.match(problemsOf(named('ipip'), walk())[0] ?? '', /none, not ipip/);
  assert.match(problemsOf(mesh, walk({ sightings: [] }))[0] ?? '', /no request left/);
  assert.match(problemsOf(mesh, walk({ sightings: [sighting({}), sighting({})] }))[0] ?? '', /2 requests/);
  assert.equal(problemsOf(named('mesh-black-hole'), walk({ reached: false })).length, 0);
});

test('the table has a line for every device; inside of VXLAN one more; a page has the same', () => {
  const outer = { source: '10.0.0.21', destination: '30.0.0.23', ttl: 64, how: 'vxlan', vni: 4096 } as const;
  const one = walk({
    sightings: [
      sighting({ device: 'cali1', direction: 'in' }),
      sighting({ outer, innerMacs: macs }),
      sighting({ machine: 'worker3', device: 'tunl0', direction: 'in', macs: undefined } as never),
      sighting({ kind: 'reply', machine: 'pod far' }),
    ],
  });
  const text = walkLines(one).join('\n');
  assert.match(
    text,
    /worker1 +eth0 +out +\S+ → \S+ +10\.0\.0\.21 → 30\.0\.0\.23 VXLAN 4096 TTL 64 +192\.168\.1\.2 → /,
  );
  assert.match(text, /inside: 02:00:00:00:00:01 → 02:00:00:00:00:02/);
  assert.match(text, /\(no Ethernet\)/);
  assert.match(text, /The answer came by: pod far eth0/);
  assert.match(walkLines(walk()).join('\n'), /Nothing came back/);
  const report = {
    lesson: named('vxlan'),
    resources: 'kind: X\n',
    sessions: [],
    walks: [one],
    problems: ['so'],
  };
  assert.match(lessonLines(report).join('\n'), /Not as expected: so/);
  const page = lessonPage(report);
  assert.match(page, /^# VXLAN, always\n/);
  assert.equal(page.match(/^```/gm)?.length, 6);
});
