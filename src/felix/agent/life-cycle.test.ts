// The agent is told to end at any step of its start, and when it cannot go on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../lib/wait.ts';
import type { Datastore } from '../../datastore/mod.ts';
import type { Kernel } from '../../kernel/mod.ts';
import { Cluster, pod } from './testing.ts';
import type { AgentError } from './types.ts';

const limits = { timeoutMs: 10_000 };

/** An edge whose every call is told of before it is made. */
function watched<T extends object>(edge: T, onCall: (name: string) => void): T {
  return new Proxy(edge, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value === 'function')
        return (...args: unknown[]): unknown => {
          onCall(String(name));
          return Reflect.apply(value, target, args) as unknown;
        };
      return typeof value === 'object' && value !== null ? watched(value, onCall) : value;
    },
  });
}

/** Starts an agent that is told to end at its nth call of datastore or kernel; how many calls there were, and what is left. */
async function endedAt(nth: number) {
  using cluster = new Cluster();
  await cluster.prepare();
  await cluster.link('calia');
  cluster.store.put('WorkloadEndpoint', pod('a', '10.244.1.2'));
  let calls = 0;
  let open = 0;
  let ending: Promise<void> | undefined;
  const onCall = (): void => {
    calls++;
    if (calls === nth) ending = Promise.resolve().then(() => agent.stop());
  };
  const store = cluster.store.open();
  const kernel = cluster.host.kernel();
  const counted: Kernel = Object.assign(Object.create(Object.getPrototypeOf(kernel) as object), kernel, {
    subscribe: (...args: Parameters<Kernel['subscribe']>) => {
      const subscription = kernel.subscribe(...args);
      open++;
      return { ...subscription, close: () => (open--, subscription.close()) };
    },
  }) as Kernel;
  const agent = cluster.start(
    {},
    { datastore: watched<Datastore>(store, onCall), kernel: watched(counted, onCall) },
  );
  const ready = await agent.ready;
  if (ending === undefined) await agent.stop();
  await ending;
  return {
    calls,
    left: {
      phase: agent.status().phase,
      subscriptions: open,
      socket: cluster.files('.').includes('cni.sock'),
    },
    ready,
  };
}

test('an agent that is told to end at any step of its start leaves nothing running', async () => {
  const nothing = { phase: 'stopped', subscriptions: 0, socket: false };
  const whole = await endedAt(Number.POSITIVE_INFINITY);
  assert.ok(whole.ready.ok);
  assert.deepEqual(whole.left, nothing);
  for (let nth = 1; nth <= whole.calls; nth += 1 + Math.floor(nth / 12)) {
    const { left } = await endedAt(nth);
    assert.deepEqual(left, nothing, `told at call ${nth} of ${whole.calls}`);
  }
});

test('an agent that learns nothing new any more says so', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const store = watched(cluster.store.open(), (name) => {
    if (name === 'watch') throw new Error('a driver with a bug');
  });
  const agent = cluster.start({}, { datastore: store });
  try {
    let ended: AgentError | undefined;
    void agent.ended.then((error) => (ended = error));
    assert.equal((await until(() => ended, limits))?.code, 'DatastoreFailed');
  } finally {
    await agent.stop();
  }
});
