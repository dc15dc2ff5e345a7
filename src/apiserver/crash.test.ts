// The server killed in the middle of writes: what was acknowledged is there with its resourceVersion, watches go on.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { sleep } from '../lib/wait.ts';
import { itemsOf, type Json, sender, TestWatch } from './testing.ts';

const program = `
import { startApiServer } from ${JSON.stringify(new URL('./mod.ts', import.meta.url).href)};
import { silentLogger } from ${JSON.stringify(new URL('../lib/log.ts', import.meta.url).href)};
const started = await startApiServer({ listen: ['127.0.0.1:0'], data: process.argv[1], logger: silentLogger, limits: { historyEvents: 100 } });
if (!started.ok) throw new Error(started.error.message);
process.stdout.write(started.value.addresses[0] + '\\n');
`;

async function startProcess(t: TestContext, data: string): Promise<{ child: ChildProcess; url: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program, data], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer];
  return { child, url: line.toString().trim() };
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

const maps = '/api/v1/namespaces/default/configmaps';

test('kill -9 during writes loses nothing that was acknowledged', { timeout: 60_000 }, async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'margay-crash-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  /** name → the newest acknowledged state; undefined when its deletion was acknowledged. */
  const acknowledged = new Map<string, { revision: string; value: string } | undefined>();
  /** Names with a write whose answer did not come: they may be in either state. */
  const unsure = new Set<string>();
  let highest = 0;
  for (let round = 0; round < 3; round++) {
    const { child, url } = await startProcess(t, data);
    const send = sender(url);
    // Everything of the rounds before is there, with the same resourceVersions.
    const found = new Map(
      itemsOf((await send('GET', maps)).body['items']).map((item) => [
        String(item['metadata']?.['name']),
        item,
      ]),
    );
    for (const [name, state] of acknowledged) {
      if (unsure.has(name)) continue;
      const item: Json | undefined = found.get(name);
      assert.equal(item?.['metadata']?.['resourceVersion'], state?.revision, name);
      assert.equal(item?.['data']?.['value'], state?.value, name);
    }
    unsure.clear();
    acknowledged.clear();
    for (const [name, item] of found)
      acknowledged.set(name, {
        revision: String(item['metadata']?.['resourceVersion']),
        value: String(item['data']?.['value']),
      });

    const stop = new AbortController();
    const writer = async (id: number): Promise<void> => {
      for (let i = 0; !stop.signal.aborted; i++) {
        const name = `w${id}-${i % 15}`;
        const known = acknowledged.get(name);
        const value = `${round}.${i}.${'x'.repeat(500)}`;
        unsure.add(name);
        try {
          const reply =
            known === undefined
              ? await send('POST', maps, { metadata: { name }, data: { value } })
              : i % 7 === 0
                ? await send('DELETE', `${maps}/${name}`)
                : await send('PUT', `${maps}/${name}`, {
                    metadata: { name, resourceVersion: known.revision },
                    data: { value },
                  });
          assert.ok(reply.code === 200 || reply.code === 201, JSON.stringify(reply.body));
          const revision = reply.body['metadata']?.['resourceVersion'];
          acknowledged.set(name, revision === undefined ? undefined : { revision: String(revision), value });
          if (revision !== undefined) highest = Math.max(highest, Number(revision));
          unsure.delete(name);
        } catch (cause) {
          if (cause instanceof assert.AssertionError) throw cause;
          return;
        }
      }
    };
    const writers = Promise.all(Array.from({ length: 8 }, (_, id) => writer(id)));
    await sleep(400);
    await kill(child);
    stop.abort();
    await writers;
  }
  const { url } = await startProcess(t, data);
  const send = sender(url);
  const next = await send('POST', maps, { metadata: { name: 'after' } });
  assert.ok(Number(next.body['metadata']?.['resourceVersion']) > highest, 'no revision is given twice');
});

test('after a kill a watch resumes from its revision, or is told that it is too old', {
  timeout: 60_000,
}, async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'margay-crash-'));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const first = await startProcess(t, data);
  const send = sender(first.url);
  const revisions: string[] = [];
  for (let i = 0; i < 20; i++) {
    const { body } = await send('POST', maps, { metadata: { name: `m${i}` } });
    revisions.push(String(body['metadata']?.['resourceVersion']));
  }
  await kill(first.child);
  const second = await startProcess(t, data);
  const watch = await TestWatch.open(t, second.url, `${maps}?watch=true&resourceVersion=${revisions[16]}`);
  assert.deepEqual(await watch.take(3), ['ADDED m17', 'ADDED m18', 'ADDED m19']);
  // More changes than are kept: the old revision is no longer one to go on from.
  const more = sender(second.url);
  for (let i = 0; i < 130; i++)
    await more(
      'PATCH',
      `${maps}/m0`,
      { data: { i: String(i) } },
      { 'content-type': 'application/merge-patch+json' },
    );
  await kill(second.child);
  const third = await startProcess(t, data);
  const late = await TestWatch.open(t, third.url, `${maps}?watch=true&resourceVersion=${revisions[16]}`);
  const line = await late.next();
  assert.equal(line?.type, 'ERROR');
  assert.equal(line?.object['code'], 410);
});
