// Limits of bandwidth on a lab: annotations by kubectl, what tc shows on the node, and how long bytes take at least.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { interfaceNameFor } from '../../src/model/mod.ts';
import { TestLab, type TestPod, without } from '../support/lab.ts';
import { eventually } from '../support/lab-router.ts';

const skip = without('ip', 'tc', 'kubectl', 'unshare');
const transfer = fileURLToPath(new URL('../kernel/support/transfer.mjs', import.meta.url));
const qos = 'qos.projectcalico.org';
const port = interfaceNameFor('default', 'limited');
let lab: TestLab;

const pod = (name: string, annotations: Readonly<Record<string, string>> = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, annotations, labels: { app: 'limits' } },
  spec: { nodeName: 'worker1', containers: [{ name: 'main', image: 'pause' }] },
});

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('limits', ['--topology', 'flat', '--nodes', '2']);
  await lab.apply(
    pod('limited', { 'kubernetes.io/ingress-bandwidth': '8M', [`${qos}/ingressBurst`]: '80k' }),
  );
  await lab.apply(pod('odd', { [`${qos}/egressBandwidth`]: 'much' }));
  await lab.apply(pod('free'));
});
after(async () => {
  await lab?.down();
});

const kubectl = async (...argv: readonly string[]): Promise<string> => {
  const { code, out, err } = await lab.kubectl(...argv);
  assert.equal(code, 0, err);
  return out;
};
/** The buckets on worker1, as `device rate`. */
const buckets = async (): Promise<readonly string[]> => {
  const shown = await lab.sh('worker1', 'tc qdisc show');
  return [...shown.matchAll(/^qdisc tbf 1: dev (\S+) root .*?rate (\S+)/gm)]
    .map(([, device, rate]) => `${device?.startsWith('bwcali') ? 'bwcali' : device} ${rate}`)
    .sort();
};
const become = (...wanted: readonly string[]): Promise<unknown> =>
  eventually('the buckets', buckets, (found) => JSON.stringify(found) === JSON.stringify(wanted));

async function takes(from: TestPod, to: TestPod, bytes: number): Promise<number> {
  const node = process.execPath;
  const { code, out, err } = await lab.exec(
    'worker1',
    'sh',
    '-c',
    `nsenter --net=${to.netns} ${node} ${transfer} receive 5001 > /dev/null & receiver=$!
     sleep 0.5
     for try in 1 2 3 4 5 6 7 8 9 10; do
       nsenter --net=${from.netns} ${node} ${transfer} send ${to.address} 5001 ${bytes} 2> /dev/null && break
       sleep 0.5
     done
     kill $receiver`,
  );
  const took = Number(out.trim());
  assert.ok(code === 0 && Number.isFinite(took) && out.trim() !== '', `${out}${err}`);
  return took;
}

test('SR-014, RS-190, FX-120: limits by annotation from the first packet, changed by kubectl while the pod runs, gone with it', {
  skip,
}, async () => {
  const pods = await lab.pods('app=limits', 3);
  const [free, limited] = ['free', 'limited'].map((name) => pods.find((one) => one.name === name));
  assert.ok(free !== undefined && limited !== undefined);
  assert.deepEqual(await buckets(), [`${port} 8Mbit`], 'before the pod was ready');

  await kubectl('annotate', 'pod', 'limited', `${qos}/egressBandwidth=16M`, `${qos}/egressBurst=160k`);
  await become('bwcali 16Mbit', `${port} 8Mbit`);
  // 10 KB at once and 1 MB a second towards it; 20 KB and 2 MB from it.
  const inbound = await takes(free, limited, 1_000_000);
  assert.ok(inbound >= 990, `${inbound} ms`);
  const outbound = await takes(limited, free, 2_000_000);
  assert.ok(outbound >= 990, `${outbound} ms`);

  const device = await lab.sh('worker1', 'ip -o link show type ifb');
  const agentOf = async () =>
    (await lab.status()).processes.find((p) => p.machine === 'worker1' && p.name === 'agent')?.pid;
  const agent = await agentOf();
  await lab.sh('worker1', `kill -KILL ${agent}`);
  assert.deepEqual(await buckets(), ['bwcali 16Mbit', `${port} 8Mbit`], 'limits hold without the agent');
  // What it finds when it is back is newer than what it knew.
  await kubectl('annotate', '--overwrite', 'pod', 'limited', `${qos}/egressBandwidth=4M`);
  await eventually('the agent', agentOf, (pid) => pid !== undefined && pid !== agent);
  await become('bwcali 4Mbit', `${port} 8Mbit`);
  assert.equal(await lab.sh('worker1', 'ip -o link show type ifb'), device, 'the same device');

  await kubectl('annotate', 'pod', 'limited', 'kubernetes.io/ingress-bandwidth-', `${qos}/ingressBurst-`);
  await become('bwcali 4Mbit');
  await kubectl('delete', 'pod', 'limited', '--now');
  await become();
  assert.equal(await lab.sh('worker1', 'ip -o link show type ifb'), '');
});

test('RS-190: a limit that cannot be keeps no pod from running, and an event tells of it', {
  skip,
}, async () => {
  const events = await eventually(
    'the event',
    () =>
      kubectl(
        'get',
        'events',
        '--field-selector',
        'involvedObject.name=odd,reason=BadLimit',
        '-o',
        'jsonpath={.items[*].message}',
      ),
    (text) => text !== '',
  );
  assert.equal(events, `${qos}/egressBandwidth is left out: "much" is not a quantity.`);
  // An edit of a running pod is told of, too.
  await kubectl('annotate', 'pod', 'odd', '--overwrite', `${qos}/egressBandwidth=more`);
  await eventually(
    'the event of the edit',
    () => kubectl('get', 'events', '--field-selector', 'involvedObject.name=odd,reason=BadLimit'),
    (text) => text.includes('"more" is not a quantity'),
  );
});
