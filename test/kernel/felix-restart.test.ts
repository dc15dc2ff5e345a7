// Killing Felix at any moment and starting it again: nothing that is right is touched, and no packet of a pod is lost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from '../../src/lib/wait.ts';
import type { KernelEvent } from '../../src/kernel/mod.ts';
import { TestNode, unable } from './support/felix-node.ts';

const skip = unable() ?? false;
const program = fileURLToPath(new URL('support/felix-process.ts', import.meta.url));
const pods = { a: '10.244.1.2', b: '10.244.1.3' } as const;

function startFelix(node: TestNode) {
  const child = node.spawnHere(process.execPath, [
    program,
    node.path('node'),
    ...Object.entries(pods).map(([name, address]) => `${name}=${address}`),
  ]);
  let output = '';
  child.stdout?.on('data', (chunk) => {
    output += String(chunk);
  });
  const said = (word: string) =>
    until(() => (output.includes(word) ? true : undefined), { timeoutMs: 60_000, everyMs: 1 });
  const kill = async (): Promise<void> => {
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  };
  return { said, kill };
}

const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('kill -9 and restart under traffic: no packet lost, no event in the kernel', { skip }, async () => {
  await using node = await TestNode.make();
  for (const [name, address] of Object.entries(pods)) await node.pod(name, address);
  const first = startFelix(node);
  assert.ok(await first.said('ready'));
  assert.equal(await node.ping('a', pods.b), 63);
  const events: KernelEvent[] = [];
  // The kernel's own routes are not meant: IPv6 link-local addresses become valid while this runs.
  const subscription = node.kernel.subscribe(['routes', 'rules', 'nftables'], (event) => {
    const byKernel = (event.type === 'route' || event.type === 'route-deleted') && event.route.protocol === 2;
    if (!byKernel) events.push(event);
  });
  const between = node.run('a', ['ping', '-n', '-q', '-i', '0.01', '-c', '300', pods.b]);
  const outside = node.run('b', ['ping', '-n', '-q', '-i', '0.01', '-c', '300', '10.0.0.254']);
  await first.kill();
  for (const afterWriting of [0, 1, 3, 8, 20]) {
    const felix = startFelix(node);
    assert.ok(await felix.said('writing'));
    await delay(afterWriting);
    await felix.kill();
  }
  const last = startFelix(node);
  assert.ok(await last.said('ready'));
  for (const { output } of [await between, await outside])
    assert.match(output, /300 received, 0% packet loss/);
  await last.kill();
  subscription.close();
  assert.deepEqual(events, []);
});

test('FX-006: killed in the middle of its first programming, a later one finishes the work', {
  skip,
}, async () => {
  for (const afterWriting of [0, 3, 7]) {
    await using node = await TestNode.make();
    for (const [name, address] of Object.entries(pods)) await node.pod(name, address);
    // What an earlier run left: an endpoint that is gone, a block that is not ours any more.
    node.ip('node', 'route add 10.244.1.9 dev calia scope link proto boot metric 1024');
    node.ip('node', 'route add blackhole 10.244.9.0/26 proto bird');
    const killed = startFelix(node);
    assert.ok(await killed.said('writing'));
    await delay(afterWriting);
    await killed.kill();
    const second = startFelix(node);
    assert.ok(await second.said('ready'));
    assert.equal(await node.ping('a', pods.b), 63);
    const routes = node.ip('node', 'route show');
    assert.doesNotMatch(routes, /10\.244\.1\.9|10\.244\.9\.0/);
    await second.kill();
  }
});
