import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { expect } from '../../lib/result.ts';
import { MemoryStore } from '../../datastore/mod.ts';
import type { IPPool, Node } from '../../model/mod.ts';
import {
  begin,
  finish,
  type Modes,
  modesOf,
  modeText,
  planMigration,
  recordKey,
  rollBack,
} from './migration.ts';

const apiVersion = 'projectcalico.org/v3';
const pool = (spec: Partial<IPPool['spec']> = {}, annotations: Record<string, string> = {}): IPPool =>
  ({
    apiVersion,
    kind: 'IPPool',
    metadata: { name: 'p', annotations },
    spec: { cidr: '10.244.0.0/16', ipipMode: 'Never', vxlanMode: 'Never', ...spec },
  }) as IPPool;
const node = (name: string, spec: Node['spec'] = {}): Node => ({
  apiVersion,
  kind: 'Node',
  metadata: { name },
  spec,
});
const vxlan: Modes = { ipipMode: 'Never', vxlanMode: 'Always' };
const plan = (one: IPPool, to: Modes, felixRoutes?: string) =>
  planMigration({ pool: one, to, pools: [one], felixRoutes, bgpRoutes: undefined });

test('SR-118: the plan says what changes and what people should know; what cannot be is refused', () => {
  const planned = expect(plan(pool(), vxlan), 'plan');
  assert.deepEqual(planned.steps[0], 'edit p: no encapsulation → VXLAN Always');
  assert.match(planned.notes.join('\n'), /50 bytes smaller/);
  const back = expect(plan(pool({ vxlanMode: 'Always' }), { ipipMode: 'Never', vxlanMode: 'Never' }), 'plan');
  assert.match(back.notes.join('\n'), /keep their smaller MTU[^]*must know the routes/);
  const ipip: Modes = { ipipMode: 'CrossSubnet', vxlanMode: 'Never' };
  assert.match(
    expect(plan(pool(), ipip, 'Disabled'), 'plan').notes.join('\n'),
    /IPIP would be written by nobody/,
  );
  const code = (result: ReturnType<typeof plan>): string => (result.ok ? 'ok' : result.error.code);
  assert.equal(code(plan(pool(), { ipipMode: 'Always', vxlanMode: 'Always' })), 'BadModes');
  assert.equal(code(plan(pool({ cidr: 'fd00::/48' }), ipip)), 'BadModes');
  assert.equal(code(plan(pool({ vxlanMode: 'Always' }), vxlan)), 'NothingToDo');
  const record = JSON.stringify({ from: vxlan, to: ipip });
  assert.equal(code(plan(pool({}, { [recordKey]: record }), vxlan)), 'UnderWay');
});

test('SR-118: a migration ends when the nodes have followed, is resumed when they had not, and is taken back', async () => {
  const memory = new MemoryStore();
  memory.put('IPPool', pool());
  memory.put('Node', node('n1'), node('n2'));
  const store = memory.open();
  const told: string[] = [];
  const context = { store, clock: systemClock, tell: (line: string) => void told.push(line), timeoutMs: 300 };
  const current = async () => expect(await store.get('IPPool', { name: 'p' }), 'pool');
  expect(await begin(context, expect(plan(await current(), vxlan), 'plan')), 'begin');
  assert.equal(modeText(modesOf(await current())), 'VXLAN Always');
  const late = await finish(context, 'p');
  assert.equal(late.ok ? '' : late.error.code, 'NotConverged');
  assert.match(late.ok ? '' : late.error.message, /n1: its vxlanTunnelAddress is missing/);
  assert.ok((await current()).metadata.annotations?.[recordKey] !== undefined, 'the way back is kept');
  // The agents follow; the same command goes on.
  const follow = async (address: (n: number) => string | undefined): Promise<void> => {
    for (const n of [1, 2]) {
      const stored = expect(await store.get('Node', { name: `n${n}` }), 'node');
      const text = address(n);
      const spec = text === undefined ? {} : { ipv4VXLANTunnelAddr: text };
      expect(await store.update('Node', { ...stored, spec }), 'update');
    }
  };
  await follow((n) => `10.244.${n}.1`);
  expect(await finish(context, 'p'), 'resume');
  assert.equal((await current()).metadata.annotations?.[recordKey], undefined);
  assert.match(told.at(-1) ?? '', /all 2 nodes/);
  const nothing = await rollBack(context, 'p');
  assert.equal(nothing.ok ? '' : nothing.error.code, 'NotUnderWay');
  // Again, and taken back before anybody moved.
  const none: Modes = { ipipMode: 'Never', vxlanMode: 'Never' };
  expect(await begin(context, expect(plan(await current(), none), 'plan')), 'begin');
  assert.deepEqual(expect(await rollBack(context, 'p'), 'back'), vxlan);
  assert.equal(modeText(modesOf(await current())), 'VXLAN Always');
  assert.equal((await current()).metadata.annotations?.[recordKey], undefined);
});
