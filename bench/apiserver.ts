// The embedded API server: creations per second, lists of 10,000 pods, one change to 200 watches; beside Debian's etcd for the
// calls that compare. Servers are processes of their own, on loopback, durable on the same disk. etcd is spoken to by its JSON
// gateway, which costs it something: clients in Go would use gRPC.
//   npm run bench -- apiserver [--pods N] [--watches N] [--changes N] [--clients N]
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const flags = parseArgs({
  options: {
    pods: { type: 'string', default: '10000' },
    watches: { type: 'string', default: '200' },
    changes: { type: 'string', default: '50' },
    clients: { type: 'string', default: '16' },
  },
}).values;
const [pods, watches, changes, clients] = [flags.pods, flags.watches, flags.changes, flags.clients].map(
  Number,
) as [number, number, number, number];
const lists = 10;

/** What both can do: store an object under a name, read all of them, tell of changes. */
type Contender = {
  readonly name: string;
  readonly process: ChildProcess;
  readonly url: string;
  readonly put: (
    name: string,
    text: string,
  ) => { readonly path: string; readonly method: string; readonly body: string };
  readonly change: (
    name: string,
    text: string,
  ) => { readonly path: string; readonly method: string; readonly body: string };
  readonly list: { readonly path: string; readonly method: string; readonly body?: string };
  readonly watch: { readonly path: string; readonly method: string; readonly body?: string };
};

const directory = mkdtempSync(join(tmpdir(), 'margay-bench-apiserver-'));
const agent = new Agent({ keepAlive: true, maxSockets: clients });
const pod = (name: string, note = ''): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'default',
      labels: { app: 'web', tier: 'front', 'pod-template-hash': '5d4f8b7c9' },
      annotations: { note },
    },
    spec: {
      nodeName: 'worker1',
      serviceAccountName: 'default',
      containers: [
        {
          name: 'web',
          image: 'registry.example/web:v1.2.3',
          ports: [{ containerPort: 80, protocol: 'TCP' }],
          env: Array.from({ length: 6 }, (_, i) => ({
            name: `SETTING_${i}`,
            value: `value-${i}-`.padEnd(24, 'x'),
          })),
          resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { cpu: '500m', memory: '256Mi' } },
        },
      ],
    },
  });

const say = (fields: object): void => {
  console.log(
    JSON.stringify({
      bench: 'apiserver',
      ...fields,
      load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
      cores: cpus().length,
    }),
  );
};
const quantile = (sorted: readonly number[], share: number): number =>
  Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 100) / 100;
const sortedNumbers = (list: readonly number[]): readonly number[] => list.toSorted((a, b) => a - b);

function ask(
  url: string,
  call: { readonly path: string; readonly method: string; readonly body?: string },
): Promise<{ readonly code: number; readonly bytes: number; readonly text: string }> {
  return new Promise((done, failed) => {
    const sent = request(
      `${url}${call.path}`,
      {
        method: call.method,
        agent,
        headers: call.body === undefined ? {} : { 'content-type': 'application/json' },
      },
      (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('end', () => {
          const whole = Buffer.concat(parts);
          done({
            code: answer.statusCode ?? 0,
            bytes: whole.length,
            text: whole.length < 4096 ? whole.toString() : '',
          });
        });
      },
    );
    sent.on('error', failed);
    sent.end(call.body);
  });
}

async function margay(data: string): Promise<Contender> {
  const child = spawn(
    process.execPath,
    [resolve('dist/margay.js'), 'apiserver', '--listen', '127.0.0.1:0', '--data', data],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const url = await new Promise<string>((done) => {
    child.stdout.setEncoding('utf8').once('data', (line: string) => done(line.trim()));
  });
  const all = '/api/v1/namespaces/default/pods';
  return {
    name: data === ':memory:' ? 'margay, memory' : 'margay',
    process: child,
    url,
    put: (_name, text) => ({ path: all, method: 'POST', body: text }),
    change: (name, text) => ({ path: `${all}/${name}`, method: 'PUT', body: text }),
    list: { path: all, method: 'GET' },
    watch: { path: `${all}?watch=1&resourceVersion=`, method: 'GET' },
  };
}

async function etcd(): Promise<Contender | undefined> {
  if (spawnSync('etcd', ['--version']).error !== undefined) return undefined;
  const [client, peer] = ['127.0.0.1:23790', '127.0.0.1:23800'].map((place) => `http://${place}`) as [
    string,
    string,
  ];
  const child = spawn(
    'etcd',
    [
      '--data-dir',
      join(directory, 'etcd'),
      '--listen-client-urls',
      client,
      '--advertise-client-urls',
      client,
      '--listen-peer-urls',
      peer,
      '--initial-advertise-peer-urls',
      peer,
      '--initial-cluster',
      `default=${peer}`,
    ],
    { stdio: 'ignore', env: { ...process.env, ETCD_LOG_LEVEL: 'error' } },
  );
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const put = (name: string, text: string) => ({
    path: '/v3/kv/put',
    method: 'POST',
    body: JSON.stringify({ key: base64(`/registry/pods/default/${name}`), value: base64(text) }),
  });
  const range = { key: base64('/registry/pods/'), range_end: base64('/registry/pods0') };
  for (let i = 0; ; i++) {
    const answer = await ask(client, put('ready', '')).catch(() => undefined);
    if (answer?.code === 200) break;
    if (i > 100) throw new Error('etcd does not answer');
    await new Promise((done) => setTimeout(done, 100));
  }
  return {
    name: 'etcd',
    process: child,
    url: client,
    put,
    change: put,
    list: { path: '/v3/kv/range', method: 'POST', body: JSON.stringify(range) },
    watch: { path: '/v3/watch', method: 'POST', body: JSON.stringify({ create_request: range }) },
  };
}

async function creations({ name, url, put }: Contender): Promise<void> {
  const times: number[] = [];
  let next = 0;
  const started = performance.now();
  const client = async (): Promise<void> => {
    for (let i = next++; i < pods; i = next++) {
      const at = performance.now();
      const { code, text } = await ask(url, put(`pod-${i}`, pod(`pod-${i}`)));
      if (code !== 200 && code !== 201) throw new Error(`${name}: ${code} ${text}`);
      times.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const perSecond = Math.round(pods / ((performance.now() - started) / 1000));
  const sorted = sortedNumbers(times);
  say({
    server: name,
    what: 'create',
    objects: pods,
    clients,
    perSecond,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  });
}

async function listings({ name, url, list }: Contender): Promise<void> {
  const times: number[] = [];
  let size = 0;
  for (let i = 0; i < lists; i++) {
    const at = performance.now();
    const { code, bytes } = await ask(url, list);
    if (code !== 200) throw new Error(`${name}: list ${code}`);
    times.push(performance.now() - at);
    size = bytes;
  }
  const sorted = sortedNumbers(times);
  say({
    server: name,
    what: 'list',
    objects: pods,
    lists,
    megabytes: Math.round(size / 1e5) / 10,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  });
}

/** Each watch has a connection of its own; a change is told by the note it writes. */
async function fanOut(contender: Contender): Promise<void> {
  const { name, url, watch, change, list } = contender;
  const sentAt = new Map<string, number>();
  const delays: number[] = [];
  let waiting: (() => void) | undefined;
  const open: (() => void)[] = [];
  let path = watch.path;
  if (path.endsWith('resourceVersion=')) {
    const { text } = await ask(url, { path: `${list.path}?limit=1`, method: 'GET' });
    path += /"resourceVersion":"(\d+)"/.exec(text)?.[1] ?? '';
  }
  const note = name === 'etcd' ? /"value":"([^"]+)"/g : /"note":"(change-\d+)"/g;
  for (let i = 0; i < watches; i++)
    await new Promise<void>((ready, failed) => {
      const sent = request(
        `${url}${path}`,
        { method: watch.method, agent: false, headers: { 'content-type': 'application/json' } },
        (answer) => {
          let rest = '';
          answer.setEncoding('utf8').on('data', (part: string) => {
            const lines = (rest + part).split('\n');
            rest = lines.pop() ?? '';
            for (const line of lines)
              for (const [, said = ''] of line.matchAll(note)) {
                const text = name === 'etcd' ? Buffer.from(said, 'base64').toString() : said;
                const began = sentAt.get(/change-\d+/.exec(text)?.[0] ?? '');
                if (began === undefined) continue;
                delays.push(performance.now() - began);
                if (delays.length % watches === 0) waiting?.();
              }
          });
          answer.on('error', () => undefined);
          ready();
        },
      );
      sent.on('error', failed);
      sent.end(watch.body);
      open.push(() => sent.destroy());
    });
  await new Promise((done) => setTimeout(done, 500));
  for (let i = 0; i < changes; i++) {
    const told = new Promise<void>((done) => (waiting = done));
    sentAt.set(`change-${i}`, performance.now());
    const { code, text } = await ask(url, change('pod-0', pod('pod-0', `change-${i}`)));
    if (code !== 200) throw new Error(`${name}: change ${code} ${text}`);
    await told;
  }
  for (const close of open) close();
  const sorted = sortedNumbers(delays);
  say({
    server: name,
    what: 'fan-out',
    watches,
    changes,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  });
}

if (spawnSync(process.execPath, [resolve('tools/build.mjs')], { stdio: 'inherit' }).status !== 0)
  process.exit(1);
try {
  const contenders = [() => margay(join(directory, 'margay')), etcd, () => margay(':memory:')];
  for (const start of contenders) {
    const contender = await start();
    if (contender === undefined) {
      say({ server: 'etcd', what: 'not installed: etcd-server' });
      continue;
    }
    try {
      await creations(contender);
      await listings(contender);
      await fanOut(contender);
    } finally {
      contender.process.kill('SIGKILL');
    }
  }
} finally {
  agent.destroy();
  rmSync(directory, { recursive: true, force: true });
}
