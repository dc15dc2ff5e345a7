// Address management under load: 20 nodes ask for 500 addresses each, all at once, every address for a handle of its own
// as pods do; then all are released. Stores: memory (the allocator alone), and the embedded API server over HTTP in a
// process of its own, without and with a disk. Nodes have what agents have: a client, an allocator, a warm view.
//   npm run bench -- ipam [--nodes N] [--addresses N] [--only memory|http|disk]
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  type Datastore,
  MemoryStore,
  openDatastore,
  startSyncer,
  type Syncer,
} from '../src/datastore/mod.ts';
import { createIpam, type Ipam, IpamCache, viewKinds } from '../src/ipam/mod.ts';
import { systemClock } from '../src/lib/clock.ts';
import { silentLogger } from '../src/lib/log.ts';
import { expect } from '../src/lib/result.ts';

type Stage = { readonly open: () => Promise<Datastore>; readonly end: () => Promise<void> };
type Node = {
  readonly name: string;
  readonly ipam: Ipam;
  readonly store: Datastore;
  readonly syncer: Syncer;
};

const flags = parseArgs({
  options: { nodes: { type: 'string' }, addresses: { type: 'string' }, only: { type: 'string' } },
}).values;
const nodeCount = Number(flags.nodes ?? 20);
const perNode = Number(flags.addresses ?? 500);
const stages: Readonly<Record<string, () => Promise<Stage>>> = {
  memory: () => {
    const store = new MemoryStore();
    return Promise.resolve({ open: () => Promise.resolve(store.open()), end: () => Promise.resolve() });
  },
  http: () => served(':memory:'),
  disk: () => served(undefined),
};

for (const [name, start] of Object.entries(stages)) {
  if (flags.only !== undefined && flags.only !== name) continue;
  const stage = await start();
  try {
    await measure(name, stage);
  } finally {
    await stage.end();
  }
}

async function measure(storeName: string, stage: Stage): Promise<void> {
  const admin = await stage.open();
  const spec = { cidr: '10.0.0.0/16', blockSize: 26, natOutgoing: true };
  expect(
    await admin.create('IPPool', {
      apiVersion: 'projectcalico.org/v3',
      kind: 'IPPool',
      metadata: { name: 'pool' },
      spec,
    }),
    'pool',
  );
  const nodes: Node[] = [];
  for (let i = 0; i < nodeCount; i++)
    nodes.push(await openNode(stage, admin, `node-${i}`, storeName === 'memory'));

  const given = await timed(nodes, async (node, handleId) => {
    const attributes = {
      pod: handleId,
      namespace: 'default',
      node: node.name,
      timestamp: new Date().toISOString(),
    };
    const assigned = await node.ipam.autoAssign({
      nodeName: node.name,
      num4: 1,
      num6: 0,
      handleId,
      attributes,
      intendedUse: 'Workload',
    });
    return expect(assigned, 'assign').v4.map(({ address }) => address);
  });
  const distinct = new Set(given.results.flat());
  const problems = expect(await (nodes[0] as Node).ipam.check(), 'check');
  report(storeName, 'assign', given, {
    addresses: distinct.size,
    duplicates: given.results.flat().length - distinct.size,
    problems: problems.length,
  });

  const released = await timed(nodes, async (node, handleId) =>
    expect(await node.ipam.releaseByHandle(handleId), 'release'),
  );
  report(storeName, 'release', released, { addresses: released.results.flat().length });

  for (const { syncer, store } of nodes) {
    await syncer.stop();
    await store.close();
  }
  await admin.close();
}

async function openNode(stage: Stage, admin: Datastore, name: string, isMemory: boolean): Promise<Node> {
  // The memory store keeps Calico's nodes itself; elsewhere they are views of Kubernetes' nodes.
  const created = isMemory
    ? await admin.create('Node', {
        apiVersion: 'projectcalico.org/v3',
        kind: 'Node',
        metadata: { name },
        spec: {},
      })
    : await admin.create('KubernetesNode', { apiVersion: 'v1', kind: 'Node', metadata: { name } });
  expect<unknown>(created, 'node');
  const store = await stage.open();
  const view = new IpamCache();
  const syncer = startSyncer(store, {
    kinds: [...viewKinds, { kind: 'Node', fieldSelector: `metadata.name=${name}` }],
    onUpdates: (updates) => view.apply(updates),
    logger: silentLogger,
  });
  await syncer.inSync();
  return { name, store, syncer, ipam: createIpam(store, { clock: systemClock, logger: silentLogger, view }) };
}

type Timed<T> = {
  readonly results: readonly T[];
  readonly seconds: number;
  readonly latenciesMs: readonly number[];
};

async function timed<T>(
  nodes: readonly Node[],
  act: (node: Node, handleId: string) => Promise<T>,
): Promise<Timed<T>> {
  const latenciesMs: number[] = [];
  const start = performance.now();
  const results = await Promise.all(
    nodes.flatMap((node) =>
      Array.from({ length: perNode }, async (_, i) => {
        const result = await act(node, `k8s-pod-network.${node.name}-${i}`);
        latenciesMs.push(performance.now() - start);
        return result;
      }),
    ),
  );
  return { results, seconds: (performance.now() - start) / 1000, latenciesMs };
}

function report(
  store: string,
  step: string,
  timing: Timed<unknown>,
  counts: Readonly<Record<string, number>>,
): void {
  const sorted = [...timing.latenciesMs].sort((a, b) => a - b);
  const quantile = (q: number): number => Math.round(sorted[Math.floor(q * (sorted.length - 1))] ?? 0);
  const perSecond = Math.round(sorted.length / timing.seconds);
  console.log(
    JSON.stringify({
      bench: 'ipam',
      store,
      step,
      nodes: nodeCount,
      requests: sorted.length,
      ...counts,
      seconds: Number(timing.seconds.toFixed(3)),
      perSecond,
      p50Ms: quantile(0.5),
      p99Ms: quantile(0.99),
    }),
  );
}

/** The embedded API server as its own process; `data` undefined: a directory on disk. */
async function served(data: string | undefined): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), 'bench-ipam-'));
  const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
  const child: ChildProcess = spawn(
    process.execPath,
    [main, 'apiserver', '--listen', '127.0.0.1:0', '--data', data ?? join(directory, 'data')],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, MARGAY_LOG: 'warn' } },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const lines = createInterface({ input: child.stdout as NonNullable<ChildProcess['stdout']> });
  const address = await new Promise<string>((resolve, reject) => {
    lines.once('line', resolve);
    void ended.then(() => reject(new Error('the API server did not start')));
  });
  const kubeconfig = join(directory, 'kubeconfig');
  const text = {
    'current-context': 'b',
    contexts: [{ name: 'b', context: { cluster: 'b' } }],
    clusters: [{ name: 'b', cluster: { server: address } }],
  };
  await writeFile(kubeconfig, JSON.stringify(text));
  return {
    open: async () => expect(await openDatastore({ kubeconfig, timeoutMs: 120_000 }, {}), 'open'),
    end: async () => {
      child.kill('SIGTERM');
      await ended;
      await rm(directory, { recursive: true, force: true });
    },
  };
}
