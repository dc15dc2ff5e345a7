import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../datastore/mod.ts';
import { silentLogger } from '../lib/log.ts';
import { until } from '../lib/wait.ts';
import type { IPPool } from '../model/mod.ts';
import { startPoolStatus } from './mod.ts';

const pool = (name: string, cidr: string, spec: object = {}): IPPool =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name },
    spec: { cidr, ...spec },
  }) as IPPool;

test('RS-029: pools say whether addresses are given out of them, and why not', async () => {
  const store = new MemoryStore();
  store.put(
    'IPPool',
    pool('second', '10.1.0.0/16'),
    pool('first', '10.0.0.0/8'),
    pool('off', '10.9.0.0/16', { disabled: true }),
    pool('apart', 'fd00::/48'),
    { ...pool('junk', ''), spec: undefined } as unknown as IPPool,
  );
  const controller = startPoolStatus({ datastore: store.open(), logger: silentLogger });
  const said = (name: string): string => {
    const found = store.all('IPPool').find(({ metadata }) => metadata.name === name);
    const condition = found?.status?.conditions?.find(({ type }) => type === 'Allocatable');
    return condition === undefined ? 'nothing' : `${condition.status} ${condition.reason}`;
  };
  const becomes = async (name: string, wanted: string): Promise<void> => {
    await until(() => Promise.resolve(said(name) === wanted || undefined), { timeoutMs: 5000, everyMs: 5 });
    assert.equal(said(name), wanted);
  };
  try {
    await becomes('first', 'True OK');
    await becomes('apart', 'True OK');
    await becomes('off', 'False PoolDisabled');
    await becomes('second', 'False CIDROverlap');
    assert.ok((await store.open().delete('IPPool', { name: 'first' })).ok);
    await becomes('second', 'True OK');
  } finally {
    await controller.stop();
  }
});
