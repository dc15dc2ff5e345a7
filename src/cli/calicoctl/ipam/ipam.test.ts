// What the commands of address management compute.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prefix } from '../../../lib/ip/mod.ts';
import type { IPAMBlock, IPPool, WorkloadEndpoint } from '../../../model/mod.ts';
import { shortNumber } from './show.ts';
import { partsOf } from './split.ts';
import { survey } from './survey.ts';

test('CT-030: numbers of at most five digits', () => {
  assert.deepEqual([64, 65536, 262144n, 1n << 80n].map(shortNumber), [
    '64',
    '65536',
    '2.6214e+05',
    '1.2089e+24',
  ]);
});

test('CT-034: parts of a pool hold whole blocks', () => {
  assert.deepEqual(partsOf(prefix('10.0.0.0/24'), 4, 26), [
    '10.0.0.0/26',
    '10.0.0.64/26',
    '10.0.0.128/26',
    '10.0.0.192/26',
  ]);
  assert.equal(partsOf(prefix('10.0.0.0/24'), 8, 26), undefined);
});

const block: IPAMBlock = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPAMBlock',
  metadata: { name: '10-0-0-0-26' },
  spec: {
    cidr: '10.0.0.0/26',
    affinity: 'host:n1',
    allocations: [0, 1, 2, ...Array<null>(61).fill(null)],
    unallocated: Array.from({ length: 61 }, (_, i) => i + 3),
    attributes: [
      { handle_id: 'h1', secondary: { node: 'n1', pod: 'p1', namespace: 'default' } },
      { handle_id: 'h2', secondary: { node: 'n2', pod: 'p2', namespace: 'default' } },
      { handle_id: 'h3', secondary: { node: 'n1' }, releasedAt: '2026-01-01T00:00:00Z' },
    ],
    sequenceNumberForAllocation: { 1: 7 },
  },
};
const pool = { metadata: { name: 'p' }, spec: { cidr: '10.0.0.0/24' } } as unknown as IPPool;
const endpoint = (name: string, ...ipNetworks: string[]): WorkloadEndpoint =>
  ({ metadata: { name, namespace: 'default' }, spec: { ipNetworks } }) as unknown as WorkloadEndpoint;
const handle = (handleID: string) =>
  ({
    apiVersion: '',
    kind: 'IPAMHandle',
    metadata: { name: handleID, uid: 'u', resourceVersion: '3' },
    spec: { handleID, block: {} },
  }) as const;

test('CT-032: leaks, addresses that nobody gave out, handles without addresses and addresses without handles', () => {
  const found = survey({
    blocks: [block],
    pools: [pool],
    nodes: [],
    services: [],
    endpoints: [endpoint('p1', '10.0.0.0/32'), endpoint('p3', '10.0.0.9/32', '192.0.2.1/32')],
    handles: [handle('h1'), handle('h9')],
    assignIPs: 'AllServices',
  });
  assert.deepEqual(
    found.leaked.map(({ ip, handle: id, sequenceNumber, borrowed }) => [ip, id, sequenceNumber, borrowed]),
    [['10.0.0.1', 'h2', 7, true]],
  );
  assert.deepEqual([found.unallocated, found.foreign], [['10.0.0.9'], ['192.0.2.1']]);
  assert.deepEqual(found.leakedHandles, [{ ID: 'h9', UID: 'u', Revision: '3' }]);
  assert.deepEqual(found.missingHandles, ['h2']);
  assert.equal(found.allocations.get('10.0.0.0')?.[0]?.owners?.[0], 'Workload(default/p1)');
});
