// The fan-out server: how long a snapshot to many clients takes, how long one change takes until the last of them has it, and what
// a client costs in memory. The clients are sockets of another process that read lines and count them, so that what is measured
// is the server (and the machine's loopback). One JSON object per line. Arguments: [OBJECTS CLIENTS].
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { MemoryStore } from '../src/datastore/mod.ts';
import { silentLogger } from '../src/lib/log.ts';
import { expect } from '../src/lib/result.ts';
import type { ResourceOf } from '../src/model/mod.ts';
import { startTyphaServer } from '../src/typha/mod.ts';

type Told =
  | { readonly type: 'listed'; readonly bytes: number }
  | { readonly type: 'changed'; readonly change: number; readonly atMs: number };

const changes = 200;
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;
const rounded = (value: number): number => Math.round(value * 100) / 100;
const at = (sorted: readonly number[], quantile: number): number =>
  rounded(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? 0);

/** An endpoint of a pod as agents follow it. */
const endpoint = (i: number, change: number): ResourceOf<'WorkloadEndpoint'> => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'WorkloadEndpoint',
  metadata: {
    name: `node--${i % 100}-k8s-pod--${i}-eth0`,
    namespace: 'default',
    labels: {
      app: `app-${i % 50}`,
      'pod-template-hash': '6d4b75cb6d',
      'projectcalico.org/namespace': 'default',
      'projectcalico.org/orchestrator': 'k8s',
    },
    annotations: { change: String(change) },
  },
  spec: {
    orchestrator: 'k8s',
    node: `node-${i % 100}`,
    pod: `pod-${i}`,
    endpoint: 'eth0',
    containerID: '4bf0a26ab05d1c9c2d6e8c7e35a7d1f27c0f1b4a0d8a9cf1e3f7d2a6b5c4e3d2',
    interfaceName: `cali${i.toString(16).padStart(11, '0')}`,
    ipNetworks: [`10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32`],
    profiles: ['kns.default', 'ksa.default.default'],
    ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
  },
});

async function measure(objects: number, clients: number): Promise<void> {
  const store = new MemoryStore();
  for (let i = 0; i < objects; i++) store.put('WorkloadEndpoint', endpoint(i, 0));
  const server = expect(
    await startTyphaServer(store.open(), {
      host: '127.0.0.1',
      port: 0,
      name: 'bench',
      kinds: ['WorkloadEndpoint'],
      maxConnections: clients,
      logger: silentLogger,
    }),
    'server',
  );
  const child = fork(fileURLToPath(import.meta.url), ['clients', String(server.port), String(clients)]);
  try {
    while (server.status().datastore !== 'in-sync') await new Promise((resolve) => setTimeout(resolve, 10));
    globalThis.gc?.();
    const before = process.memoryUsage.rss();
    const began = nowMs();
    child.send('begin');
    const listed = await told(child, 'listed');
    const snapshotMs = nowMs() - began;
    globalThis.gc?.();
    const perClientKb = (process.memoryUsage.rss() - before) / clients / 1024;
    const delays: number[] = [];
    for (let change = 1; change <= changes; change++) {
      const changed = told(child, 'changed');
      const from = nowMs();
      store.put('WorkloadEndpoint', endpoint(change % objects, change));
      delays.push((await changed).atMs - from);
    }
    delays.sort((a, b) => a - b);
    console.log(
      JSON.stringify({
        bench: 'typha',
        objects,
        clients,
        snapshotMs: Math.round(snapshotMs),
        snapshotMbPerS: rounded(listed.bytes / 1e6 / (snapshotMs / 1000)),
        changeToAllP50Ms: at(delays, 0.5),
        changeToAllP99Ms: at(delays, 0.99),
        serverKbPerClient: rounded(perClientKb),
      }),
    );
  } finally {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    await server.stop(0);
  }
}

function told<T extends Told['type']>(child: ChildProcess, type: T): Promise<Extract<Told, { type: T }>> {
  return new Promise((resolve, reject) => {
    const end = (): void => reject(new Error('the clients ended'));
    child.once('exit', end);
    child.once('message', (message: Told) => {
      child.off('exit', end);
      if (message.type === type) resolve(message as Extract<Told, { type: T }>);
      else reject(new Error(`the clients said ${message.type}`));
    });
  });
}

/** The other process: sockets that greet, follow, and count the lines behind the snapshot. */
function runClients(port: number, count: number): void {
  let listed = 0;
  let bytes = 0;
  let pending = count;
  let change = 1;
  const say = (message: Told): void => void process.send?.(message);
  const start = (): void => {
    for (let i = 0; i < count; i++) {
      let hadAll = false;
      let tail = '';
      const socket = connect(port, '127.0.0.1', () => {
        socket.write(`${JSON.stringify({ hello: { protocol: 1, host: `h${i}`, type: 'felix' } })}\n`);
        socket.write('{"follow":"WorkloadEndpoint","round":1}\n');
      });
      socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (!hadAll) {
          tail = (tail + chunk.subarray(-200).toString('latin1')).slice(-200);
          if (!tail.includes('{"listed"')) return;
          hadAll = true;
          if (++listed === count) say({ type: 'listed', bytes });
          return;
        }
        if (!chunk.includes('{"set"') || --pending > 0) return;
        pending = count;
        say({ type: 'changed', change: change++, atMs: nowMs() });
      });
    }
  };
  process.once('message', start);
}

const [first, second, third] = process.argv.slice(2);
if (first === 'clients') runClients(Number(second), Number(third));
else if (first !== undefined) await measure(Number(first), Number(second ?? 100));
else
  for (const [objects, clients] of [
    [10_000, 100],
    [1_000, 1_000],
    [1_000, 4_000],
  ] as const)
    await measure(objects, clients);
