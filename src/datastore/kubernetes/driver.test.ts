// The Kubernetes driver against a server that follows a script: what a well-behaved server does not do.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BlockAffinity, IPPool } from '../../model/mod.ts';
import type { Datastore, WatchEvent } from '../types.ts';
import { KubernetesDatastore, type KubernetesOptions, readKubeconfig } from './mod.ts';

type Seen = {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
};
type Reply = (request: Seen, response: ServerResponse) => void;

/** Answers the n-th request with the n-th reply, the last one for all that follow. */
async function scripted(
  replies: readonly Reply[],
  options: KubernetesOptions,
  run: (store: Datastore, seen: Seen[]) => Promise<void>,
): Promise<void> {
  const seen: Seen[] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const one: Seen = {
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      };
      seen.push(one);
      const reply = replies[Math.min(seen.length, replies.length) - 1];
      reply?.(one, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const store = new KubernetesDatastore(
    {
      server: new URL(`http://127.0.0.1:${port}`),
      tls: {},
      credentials: () => Promise.resolve({ headers: { authorization: 'Bearer secret' } }),
    },
    { timeoutMs: 2000, ...options },
  );
  try {
    await run(store, seen);
  } finally {
    await store.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Reply =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
const status = (code: number, reason: string): Reply =>
  json(code, { kind: 'Status', status: 'Failure', reason, message: `it is ${reason}`, code });
const pool = (name: string, resourceVersion: string): IPPool => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name, resourceVersion },
  spec: { cidr: '10.0.0.0/16' },
});
const event = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`;

test('Status objects become errors by reason, anything else by code', async () => {
  const cases: readonly [Reply, string][] = [
    [status(404, 'NotFound'), 'NotFound'],
    [status(409, 'AlreadyExists'), 'AlreadyExists'],
    [status(409, 'Conflict'), 'Conflict'],
    [status(410, 'Expired'), 'TooOld'],
    [status(422, 'Invalid'), 'Invalid'],
    [status(403, 'Forbidden'), 'Forbidden'],
    [status(500, 'InternalError'), 'Unavailable'],
    [(_q, response) => void response.writeHead(502).end('<html>bad gateway</html>'), 'Unavailable'],
    [(_q, response) => void response.writeHead(200).end('not json'), 'Unavailable'],
    [(_q, response) => void response.socket?.destroy(), 'Unavailable'],
    [() => {}, 'Timeout'],
  ];
  for (const [reply, code] of cases) {
    await scripted([reply], { timeoutMs: 300 }, async (store) => {
      const read = await store.get('IPPool', { name: 'x' });
      assert.equal(read.ok ? 'ok' : read.error.code, code);
    });
  }
});

test('requests carry credentials; writes say what they need', async () => {
  await scripted([json(200, pool('a', '8'))], {}, async (store, seen) => {
    await store.update('IPPool', pool('a', '7'));
    await store.patch(
      'IPPool',
      { name: 'a' },
      { type: 'merge', body: { spec: { disabled: true } } },
      { dryRun: true },
    );
    await store.delete('IPPool', { name: 'a' }, { uid: 'u', resourceVersion: '8', gracePeriodSeconds: 0 });
    await store.list('IPPool', { labelSelector: 'a=b', limit: 5, continue: 'token' });
    assert.equal(seen[0]?.headers.authorization, 'Bearer secret');
    assert.deepEqual(
      seen.map(({ method, url }) => `${method} ${url}`),
      [
        'PUT /apis/projectcalico.org/v3/ippools/a',
        'PATCH /apis/projectcalico.org/v3/ippools/a?dryRun=All',
        'DELETE /apis/projectcalico.org/v3/ippools/a',
        'GET /apis/projectcalico.org/v3/ippools?labelSelector=a%3Db&limit=5&continue=token',
      ],
    );
    assert.equal(seen[1]?.headers['content-type'], 'application/merge-patch+json');
    assert.deepEqual(JSON.parse(seen[2]?.body ?? ''), {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      gracePeriodSeconds: 0,
      preconditions: { uid: 'u', resourceVersion: '8' },
    });
  });
});

test('a server that is busy is asked again, within the deadline', async () => {
  const busy = json(429, { kind: 'Status', reason: 'TooManyRequests', code: 429 }, { 'retry-after': '0' });
  await scripted([busy, busy, json(200, pool('a', '1'))], {}, async (store, seen) => {
    const read = await store.get('IPPool', { name: 'a' });
    assert.ok(read.ok);
    assert.equal(seen.length, 3);
  });
  await scripted([busy], { timeoutMs: 250 }, async (store) => {
    const read = await store.get('IPPool', { name: 'a' });
    assert.equal(read.ok ? 'ok' : read.error.code, 'Unavailable');
  });
});

test('an aborted request ends at once', async () => {
  await scripted([() => {}], {}, async (store) => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 20);
    const read = await store.get('IPPool', { name: 'a' }, abort.signal);
    assert.equal(read.ok ? 'ok' : read.error.code, 'Timeout');
  });
});

test('a watch is resumed from its last revision when the server ends it, and lines may arrive in pieces', async () => {
  const text = event('ADDED', pool('a', '11')) + event('MODIFIED', pool('ä', '12'));
  const bytes = Buffer.from(text);
  const inPieces: Reply = (_request, response) => {
    response.writeHead(200);
    // Cut inside the letter of two bytes.
    const cut = bytes.indexOf(Buffer.from('ä')) + 1;
    response.write(bytes.subarray(0, 5));
    response.write(bytes.subarray(5, cut));
    setTimeout(() => response.end(bytes.subarray(cut)), 20);
  };
  const bookmark: Reply = (_request, response) => {
    response.writeHead(200);
    response.end(event('BOOKMARK', { metadata: { resourceVersion: '20' } }));
  };
  const gone: Reply = (_request, response) => {
    response.writeHead(200);
    response.end(
      event('DELETED', pool('a', '21')) +
        event('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' }),
    );
  };
  await scripted([inPieces, bookmark, gone], {}, async (store, seen) => {
    const events: WatchEvent<IPPool>[] = [];
    for await (const one of store.watch(
      'IPPool',
      '10',
      { labelSelector: 'x=y' },
      new AbortController().signal,
    ))
      events.push(one);
    assert.deepEqual(
      events.map((e) =>
        e.type === 'error'
          ? e.error.code
          : e.type === 'bookmark'
            ? `bookmark ${e.revision}`
            : `${e.type} ${e.object.metadata.name} ${e.revision}`,
      ),
      ['added a 11', 'modified ä 12', 'bookmark 20', 'deleted a 21', 'TooOld'],
    );
    const from = seen.map(({ url }) => new URL(url, 'http://x').searchParams);
    assert.deepEqual(
      from.map((q) => q.get('resourceVersion')),
      ['10', '12', '20'],
    );
    assert.ok(
      from.every(
        (q) =>
          q.get('allowWatchBookmarks') === 'true' &&
          q.get('labelSelector') === 'x=y' &&
          Number(q.get('timeoutSeconds')) >= 300,
      ),
    );
  });
});

test('a watch that is cut off says so, one that is refused says why', async () => {
  const cut: Reply = (_request, response) => {
    response.writeHead(200);
    response.write(event('ADDED', pool('a', '1')));
    setTimeout(() => response.socket?.destroy(), 20);
  };
  const codes = async (store: Datastore): Promise<string[]> => {
    const list: string[] = [];
    for await (const one of store.watch('IPPool', '1', {}, new AbortController().signal))
      list.push(one.type === 'error' ? one.error.code : one.type);
    return list;
  };
  await scripted([cut], {}, async (store) => assert.deepEqual(await codes(store), ['added', 'Unavailable']));
  await scripted([status(410, 'Expired')], {}, async (store) =>
    assert.deepEqual(await codes(store), ['TooOld']),
  );
  await scripted([status(403, 'Forbidden')], {}, async (store) =>
    assert.deepEqual(await codes(store), ['Forbidden']),
  );
});

test('SR-047, RS-003: the classic group keeps metadata in an annotation and knows other names', async () => {
  const affinity: BlockAffinity = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'BlockAffinity',
    metadata: {
      name: 'a-10-0-0-0-26',
      labels: { 'projectcalico.org/ip-version': '4' },
      annotations: { note: 'x' },
    },
    spec: { state: 'pending', node: 'a', type: 'host', cidr: '10.0.0.0/26', deleted: false },
  };
  const echo: Reply = (request, response) => {
    const object = JSON.parse(request.body) as { metadata: object };
    const stored = {
      ...object,
      metadata: {
        ...object.metadata,
        uid: 'u',
        resourceVersion: '5',
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
    };
    response.writeHead(201).end(JSON.stringify(stored));
  };
  await scripted(
    [echo, json(200, { items: [], metadata: {} })],
    { apiGroup: 'crd.projectcalico.org/v1' },
    async (store, seen) => {
      const created = await store.create('BlockAffinity', affinity);
      assert.ok(created.ok);
      assert.deepEqual(created.value, {
        ...affinity,
        metadata: {
          ...affinity.metadata,
          uid: 'u',
          resourceVersion: '5',
          creationTimestamp: '2026-01-01T00:00:00Z',
        },
      });
      const sent = JSON.parse(seen[0]?.body ?? '') as {
        apiVersion: string;
        metadata: { labels: object; annotations: Record<string, string> };
        spec: { deleted: unknown };
      };
      assert.equal(seen[0]?.url, '/apis/crd.projectcalico.org/v1/blockaffinities');
      assert.equal(sent.apiVersion, 'crd.projectcalico.org/v1');
      assert.equal(sent.spec.deleted, 'false');
      assert.deepEqual(sent.metadata.labels, affinity.metadata.labels, 'lists by label work on the server');
      assert.deepEqual(JSON.parse(sent.metadata.annotations['projectcalico.org/metadata'] ?? ''), {
        annotations: { note: 'x' },
        labels: { 'projectcalico.org/ip-version': '4' },
        creationTimestamp: null,
      });
      await store.list('IPAMConfiguration');
      assert.equal(seen[1]?.url, '/apis/crd.projectcalico.org/v1/ipamconfigs');
      await store.list('Pod');
      assert.equal(seen[2]?.url, '/api/v1/pods');
    },
  );
  const written = {
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'IPPool',
    metadata: {
      name: 'p',
      uid: 'outer',
      resourceVersion: '9',
      creationTimestamp: '2026-01-01T00:00:00Z',
      annotations: {
        'projectcalico.org/metadata':
          '{"uid":"inner","labels":{"a":"b"},"creationTimestamp":"2020-01-01T00:00:00Z"}',
      },
    },
    spec: { cidr: '10.0.0.0/16' },
  };
  await scripted([json(200, written)], { apiGroup: 'crd.projectcalico.org/v1' }, async (store) => {
    const read = await store.get('IPPool', { name: 'p' });
    assert.ok(read.ok);
    assert.deepEqual(read.value.metadata, {
      name: 'p',
      uid: 'outer',
      resourceVersion: '9',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { a: 'b' },
    });
    assert.equal(read.value.apiVersion, 'projectcalico.org/v3');
  });
});

test('kubeconfig: data and files, tokens, contexts', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
  await writeFile(join(directory, 'ca.pem'), 'CA');
  await writeFile(join(directory, 'token'), 'from-file\n');
  const path = join(directory, 'config');
  await writeFile(
    path,
    `apiVersion: v1
kind: Config
current-context: one
contexts:
  - { name: one, context: { cluster: c, user: data } }
  - { name: two, context: { cluster: c, user: file } }
clusters:
  - name: c
    cluster: { server: "https://example.test:6443/base", certificate-authority: ca.pem, tls-server-name: kubernetes }
users:
  - name: data
    user: { client-certificate-data: ${Buffer.from('CERT').toString('base64')}, client-key-data: ${Buffer.from('KEY').toString('base64')} }
  - name: file
    user: { tokenFile: token }
`,
  );
  const one = await readKubeconfig(path);
  assert.ok(one.ok);
  assert.equal(one.value.server.href, 'https://example.test:6443/base');
  assert.deepEqual(one.value.tls, { ca: 'CA', cert: 'CERT', key: 'KEY', servername: 'kubernetes' });
  const two = await readKubeconfig(path, 'two');
  assert.ok(two.ok);
  assert.deepEqual(await two.value.credentials(), { headers: { authorization: 'Bearer from-file' } });
  const none = await readKubeconfig(path, 'three');
  assert.ok(!none.ok && none.error.code === 'BadKubeconfig');
  await rm(directory, { recursive: true });
});

test('kubeconfig: a credential plug-in is run by the client library', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
  const plugin = join(directory, 'plugin.sh');
  const answer =
    '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"from-plugin"}}';
  await writeFile(plugin, `#!/bin/sh\necho '${answer}'\n`, { mode: 0o755 });
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://example.test' } }],
    users: [
      {
        name: 'u',
        user: {
          exec: { apiVersion: 'client.authentication.k8s.io/v1', command: plugin, interactiveMode: 'Never' },
        },
      },
    ],
  };
  await writeFile(join(directory, 'config'), JSON.stringify(config));
  const read = await readKubeconfig(join(directory, 'config'));
  assert.ok(read.ok);
  const { headers } = await read.value.credentials();
  assert.equal(headers['Authorization'] ?? headers['authorization'], 'Bearer from-plugin');
  await rm(directory, { recursive: true });
});
