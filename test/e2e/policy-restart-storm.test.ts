// The agent killed at any moment, fifty times, under traffic and while policy changes: what policy allows is never lost, and
// what it denies never comes through. Counted at the receivers; every datagram is a flow of its own, so each is judged.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { interfaceNameFor } from '../../src/model/mod.ts';
import { bundled } from '../support/lab.ts';
import { Cluster, killed } from '../kernel/support/felix-cluster.ts';
import { firstWord, TestNode, unable } from '../kernel/support/felix-node.ts';

const skip = unable('curl', 'nft') ?? false;
const datagrams = fileURLToPath(new URL('../kernel/support/datagrams.mjs', import.meta.url));
const pods = { a: '10.244.1.2', b: '10.244.1.3', c: '10.244.1.4' } as const;
const restarts = 50;
const allowed = 5000;
const denied = 5001;

test('FX-006, FX-017: fifty kills of the agent under traffic and changes of policy: no allowed packet lost, no denied one through', {
  skip,
  timeout: 180_000,
}, async () => {
  await using node = await TestNode.make();
  await using cluster = new Cluster(node, await bundled());
  for (const [name, address] of Object.entries(pods))
    await node.pod(name, address, interfaceNameFor('default', name));
  await cluster.startApiServer();
  await cluster.createNode();
  await cluster
    .request('POST', '/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'default' },
    })
    .catch(() => undefined);
  for (const [name, address] of Object.entries(pods)) await cluster.createPod(name, address, { app: name });
  await cluster.apply(
    policy('allow', { app: 'b' }, [
      { from: [{ podSelector: { matchLabels: { app: 'a' } } }], ports: [{ protocol: 'UDP', port: allowed }] },
    ]),
  );
  await cluster.apply(policy('deny', { app: 'c' }, []));
  let agent = cluster.startAgent('info');
  await cluster.ready();

  const receivers = {
    b: await counter(node, 'b', ['receive', String(allowed), String(denied)]),
    c: await counter(node, 'c', ['receive', String(allowed)]),
  };
  const sender = await counter(node, 'a', [
    'send',
    '4',
    `${pods.b}:${allowed}`,
    `${pods.b}:${denied}`,
    `${pods.c}:${allowed}`,
  ]);
  await using churn = new Churn(cluster);
  let writes = 0;
  const subscription = node.kernel.subscribe(['nftables'], (event) => {
    if (event.type === 'nftables') writes++;
  });
  for (let i = 0; i < restarts; i++) {
    // Half of them on the way to their first synchronisation, half soon after it.
    if (i % 2 === 0) await delay(20 + ((i * 37) % 400));
    else {
      // On a busy machine it may be long on its way; then it is killed there.
      await Promise.race([synced(agent), delay(1500)]);
      await delay((i * 13) % 150);
    }
    await killed(agent);
    agent = cluster.startAgent('info');
  }
  await cluster.ready();
  await churn.stop();
  subscription.close();
  const sent = await sender.finish();
  await delay(200);
  const atB = await receivers.b.finish();
  const atC = await receivers.c.finish();
  assert.ok((sent[`${pods.b}:${allowed}`] ?? 0) > 2000, JSON.stringify(sent));
  assert.equal(atB[allowed], sent[`${pods.b}:${allowed}`], 'no allowed datagram is lost');
  assert.equal(atB[denied], 0, 'no denied datagram comes through at an open pod');
  assert.equal(atC[allowed], 0, 'no denied datagram comes through at a closed pod');
  // On a very busy machine most runs of the agent end before their first one.
  assert.ok(writes > 0, `${writes} transactions while the agent was killed again and again`);
  assert.ok(churn.changes > 50, `${churn.changes} changes of policy`);
  const listed = (await node.run('node', ['nft', 'list', 'table', 'ip', 'calico'])).output;
  assert.equal(
    Number(
      /counter packets (\d+) bytes \d+ return comment "[^"]* default knp:default\/allow ingress\[0\] allow"/.exec(
        listed,
      )?.[1],
    ),
    atB[allowed],
    'the rule’s counter has lived through all of it',
  );
  await killed(agent);
});

/** The agent has said that the kernel is as it should be. */
function synced(agent: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    const look = (text: string): void => {
      if (text.includes('Dataplane in sync')) resolve();
    };
    agent.stdout?.setEncoding('utf8').on('data', look);
  });
}

const policy = (name: string, selected: object, ingress: readonly object[]): object => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace: 'default' },
  spec: { podSelector: { matchLabels: selected }, policyTypes: ['Ingress'], ingress },
});

/** Policies that come, change and go, none of which says anything about the counted datagrams. */
class Churn {
  readonly #cluster: Cluster;
  readonly #done: Promise<void>;
  #isStopped = false;
  changes = 0;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#done = this.#run();
    // Heard in `stop`.
    this.#done.catch(() => undefined);
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#isStopped; i++) {
      const name = `churn-${i % 5}`;
      const ports = [
        { protocol: 'TCP', port: 6000 + (i % 97) },
        { protocol: 'UDP', port: 7000 + (i % 89) },
      ];
      const selected = i % 2 === 0 ? { app: 'b' } : {};
      await this.#cluster.apply(policy(name, selected, [{ ports }]));
      if (i % 3 === 2)
        await this.#cluster.remove(`/apis/networking.k8s.io/v1/namespaces/default/networkpolicies/${name}`);
      this.changes++;
      await delay(60);
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#done;
  }

  /** What the test's end takes away under its hands is of no account. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => undefined);
  }
}

async function counter(node: TestNode, pod: string, argv: readonly string[]) {
  const child: ChildProcess = node.spawn(pod, [process.execPath, datagrams, ...argv]);
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text));
  assert.match(await firstWord(child), /^ready/);
  return {
    async finish(): Promise<Record<string, number>> {
      const ended = new Promise((resolve) => child.once('close', resolve));
      child.stdin?.end();
      await ended;
      return JSON.parse(output.slice(output.indexOf('{'))) as Record<string, number>;
    },
  };
}

const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
