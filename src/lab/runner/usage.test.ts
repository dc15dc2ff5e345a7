import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../lib/clock.ts';
import { nodeNamespaceOf, type ProcessUsage, readProcess, type UsedContainer, usageMeter } from './usage.ts';

const process1 = (pid: number, cpuSeconds: number, change: Partial<ProcessUsage> = {}): ProcessUsage => ({
  pid,
  startTicks: `t${pid}`,
  cpuSeconds,
  memoryBytes: 1000,
  pidNamespace: 'pid:root',
  nodeNamespace: 'uts:node',
  ...change,
});
const web: UsedContainer = { namespace: 'shop', pod: 'web', container: 'main', initPid: 20 };
const inWeb = { pidNamespace: 'pid:web', nodeNamespace: 'uts:web' };

test('what is used between two looks: a container has the processes of its namespace, a node its own and those', async () => {
  const clock = new VirtualClock(1_000_000);
  let processes = [
    process1(1, 50, { nodeNamespace: 'uts:other' }),
    process1(10, 5),
    process1(20, 1, inWeb),
    process1(21, 2, inWeb),
  ];
  let pauses = 0;
  const measure = usageMeter({
    containers: () => [web, { ...web, container: 'gone', initPid: 99 }],
    processes: () => processes,
    nodeNamespace: 'uts:node',
    clock,
    pause: async (ms) => {
      pauses++;
      clock.advance(ms);
      processes = processes.map((one) => ({ ...one, cpuSeconds: one.cpuSeconds + 0.25 }));
    },
  });
  const first = await measure();
  assert.deepEqual(first, {
    atMs: 1_001_000,
    windowMs: 1000,
    node: { cpuCores: 0.75, memoryBytes: 3000 },
    containers: [{ namespace: 'shop', pod: 'web', container: 'main', cpuCores: 0.5, memoryBytes: 2000 }],
  });
  assert.equal(await measure(), first, 'who asks at once gets the same');
  clock.advance(10_000);
  processes = [process1(10, 5.25), process1(20, 9, { ...inWeb, startTicks: 'again' })];
  const later = await measure();
  assert.equal(later.windowMs, 10_000);
  assert.equal(later.containers[0]?.cpuCores, 0.9, 'a container that began since then: all it did');
  assert.equal(pauses, 1);
  clock.advance(61_000);
  await Promise.all([measure(), measure()]);
  assert.equal(pauses, 2, 'too long ago: looked at anew, once for both');
});

test('the kernel tells of this process', () => {
  const own = readProcess(process.pid);
  assert.ok(own !== undefined && own.cpuSeconds > 0 && own.memoryBytes > 1_000_000);
  assert.equal(own.nodeNamespace, nodeNamespaceOf('self'));
  assert.equal(readProcess(0x3fffffff), undefined);
});
