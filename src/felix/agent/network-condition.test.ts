// NetworkUnavailable as a datastore would be told, and a speaker that is played on a real socket.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { ok } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { Datastore } from '../../datastore/mod.ts';
import { NetworkCondition } from './network-condition.ts';

type Condition = { readonly type: string; readonly status: string };

async function withNode(
  backend: string,
  check: (world: {
    readonly condition: NetworkCondition;
    readonly status: () => Promise<string | undefined>;
    readonly speaker: (answer: string) => Promise<Server>;
  }) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'margay-condition-'));
  const bgpSocket = join(directory, 'bgp.sock');
  // A strategic patch of one condition is the server's to merge.
  let condition: Condition | undefined;
  const store = {
    patch: (_kind: string, _name: object, { body }: { body: { status: { conditions: Condition[] } } }) => {
      condition = body.status.conditions[0];
      return Promise.resolve(ok(undefined));
    },
  } as unknown as Datastore;
  const options = { datastore: store, nodeName: 'n1', backend, bgpSocket };
  const tested = new NetworkCondition({ ...options, clock: systemClock, logger: silentLogger });
  const servers: Server[] = [];
  try {
    await check({
      condition: tested,
      status: () => Promise.resolve(condition?.type === 'NetworkUnavailable' ? condition.status : undefined),
      speaker: (answer) =>
        new Promise((resolve) => {
          rmSync(bgpSocket, { force: true });
          const server = createServer((socket) => {
            socket.on('error', () => undefined);
            socket.once('data', () => socket.end(`${answer}\n`));
          });
          servers.push(server);
          server.listen(bgpSocket, () => resolve(server));
        }),
    });
  } finally {
    await tested.stop();
    for (const server of servers) server.close();
    rmSync(directory, { recursive: true });
  }
}
const becomes = (status: () => Promise<string | undefined>, wanted: string): Promise<true | undefined> =>
  until(async () => ((await status()) === wanted ? true : undefined), { timeoutMs: 5_000, everyMs: 20 });

test('BG-078: the condition waits for a speaker that answers and is not recovering; it is set back at the end', async () => {
  await withNode('bird', async ({ condition, status, speaker }) => {
    condition.start();
    await new Promise((resolve) => setTimeout(resolve, 350));
    assert.equal(await status(), undefined);
    const early = await speaker('{"ok":true,"result":{"recovery":"deferring"}}');
    await new Promise((resolve) => setTimeout(resolve, 350));
    assert.equal(await status(), undefined);
    await new Promise((resolve) => early.close(resolve));
    await speaker('{"ok":true,"result":{"recovery":"done"}}');
    assert.equal(await becomes(status, 'False'), true);
    await condition.stop();
    assert.equal(await status(), 'True');
  });
});

test('BG-078: without BGP nobody is waited for; another network is left alone', async () => {
  await withNode('vxlan', async ({ condition, status }) => {
    condition.start();
    assert.equal(await becomes(status, 'False'), true);
  });
  await withNode('none', async ({ condition, status }) => {
    condition.start();
    await condition.stop();
    assert.equal(await status(), undefined);
  });
  // Stopped before it was up: nothing was said, nothing is taken back.
  await withNode('bird', async ({ condition, status }) => {
    condition.start();
    await condition.stop();
    assert.equal(await status(), undefined);
  });
});
