// StatefulSets and Jobs, played step by step.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Job, Pod, StatefulSet } from '../../model/mod.ts';
import { planJob } from './jobs.ts';
import { isReady } from './pods.ts';
import { planStatefulSet } from './stateful-sets.ts';

const template = (image: string): StatefulSet['spec']['template'] => ({
  metadata: { labels: { app: 'db' } },
  spec: { containers: [{ name: 'a', image }] },
});
const set = (spec: Partial<StatefulSet['spec']> = {}): StatefulSet => ({
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: 'db', namespace: 'shop', uid: 's1' },
  spec: {
    replicas: 3,
    serviceName: 'db',
    selector: { matchLabels: { app: 'db' } },
    template: template('one'),
    ...spec,
  },
});
const readyPod = (pod: Pod): Pod => ({
  ...pod,
  status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
});

/** Applies plans until nothing changes; what happened, in order. */
function play(sets: StatefulSet, start: readonly Pod[] = []): { log: string[]; pods: readonly Pod[] } {
  let pods: readonly Pod[] = start;
  const log: string[] = [];
  for (let step = 0; step < 40; step++) {
    const plan = planStatefulSet(sets, pods);
    if (plan.create.length + plan.remove.length === 0) {
      const waiting = pods.find((pod) => !isReady(pod));
      if (waiting === undefined) return { log, pods };
      pods = pods.map((pod) => (pod === waiting ? readyPod(pod) : pod));
      continue;
    }
    for (const pod of plan.create) log.push(`+${pod.metadata.name} ${pod.spec.containers[0]?.image}`);
    for (const pod of plan.remove) log.push(`-${pod.metadata.name}`);
    pods = [...pods.filter((pod) => !plan.remove.includes(pod)), ...plan.create];
  }
  throw new Error(`no end: ${log.join(', ')}`);
}

test('a pod of a StatefulSet has a volume for each claim, by the name of its template', () => {
  const claims = { volumeClaimTemplates: [{ metadata: { name: 'data' } }] };
  const [pod] = planStatefulSet(set(claims), []).create;
  assert.deepEqual(pod?.spec?.volumes, [{ name: 'data', persistentVolumeClaim: { claimName: 'data-db-0' } }]);
});

test('pods come one after the other, each when the one before is ready; names, hosts and labels tell the place', () => {
  const first = planStatefulSet(set(), []);
  assert.deepEqual(
    first.create.map(({ metadata }) => metadata.name),
    ['db-0'],
  );
  assert.deepEqual(planStatefulSet(set(), first.create).create, []);
  const { log, pods } = play(set());
  assert.deepEqual(log, ['+db-0 one', '+db-1 one', '+db-2 one']);
  const last = pods.at(-1);
  assert.equal(last?.spec.hostname, 'db-2');
  assert.equal(last?.spec.subdomain, 'db');
  assert.equal(last?.metadata.labels?.['apps.kubernetes.io/pod-index'], '2');
  assert.equal(planStatefulSet(set(), pods).status.readyReplicas, 3);
});

test('Parallel: all at once', () => {
  assert.equal(planStatefulSet(set({ podManagementPolicy: 'Parallel' }), []).create.length, 3);
});

test('fewer replicas: from the last; a new template: from the last, one at a time; a partition keeps the first', () => {
  const { pods } = play(set());
  assert.deepEqual(play(set({ replicas: 1 }), pods).log, ['-db-2', '-db-1']);
  assert.deepEqual(play(set({ template: template('two') }), pods).log, [
    '-db-2',
    '+db-2 two',
    '-db-1',
    '+db-1 two',
    '-db-0',
    '+db-0 two',
  ]);
  const partial = set({
    template: template('two'),
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 2 } },
  });
  assert.deepEqual(play(partial, pods).log, ['-db-2', '+db-2 two']);
  assert.deepEqual(
    play(set({ template: template('two'), updateStrategy: { type: 'OnDelete' } }), pods).log,
    [],
  );
});

test('a broken new version does not go further than its first pod, and a repaired one replaces it', () => {
  const { pods } = play(set());
  const two = set({ template: template('broken') });
  const without = pods.filter((pod) => pod.metadata.name !== 'db-2');
  const [broken] = planStatefulSet(two, without).create;
  assert.ok(broken !== undefined);
  assert.deepEqual(planStatefulSet(two, [...without, broken]).remove, []);
  assert.deepEqual(
    planStatefulSet(set({ template: template('good') }), [...without, broken]).remove.map(
      (p) => p.metadata.name,
    ),
    ['db-2'],
  );
});

const job = (spec: Partial<Job['spec']> = {}, status?: Job['status']): Job => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: 'sum', namespace: 'shop', uid: 'j1' },
  spec: { completions: 3, parallelism: 2, template: { spec: { containers: [{ name: 'a' }] } }, ...spec },
  ...(status === undefined ? {} : { status }),
});
const began = Date.parse('2026-01-01T00:00:00Z');
let serial = 0;
const ended = (pod: Pod, phase: 'Succeeded' | 'Failed' | 'Running', at = '2026-01-01T00:00:00Z'): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, name: `p${serial++}` },
  status: {
    phase,
    containerStatuses: [
      { name: 'a', ready: false, restartCount: 0, state: { terminated: { exitCode: 0, finishedAt: at } } },
    ],
  },
});

test('a job runs as many as it may at once until enough succeeded', () => {
  const first = planJob(job(), [], began);
  assert.equal(first.create.length, 2);
  assert.equal(first.status.active, 2);
  const done = first.create.map((pod) => ended(pod, 'Succeeded'));
  const second = planJob(job({}, first.status), done, began);
  assert.equal(second.create.length, 1);
  const all = [...done, ...second.create.map((pod) => ended(pod, 'Succeeded'))];
  const third = planJob(job({}, second.status), all, began + 5000);
  assert.deepEqual(third.create, []);
  assert.deepEqual(
    third.status.conditions?.map(({ type, status }) => [type, status]),
    [['Complete', 'True']],
  );
  assert.equal(third.status.completionTime, '2026-01-01T00:00:05Z');
  const later = planJob(job({ ttlSecondsAfterFinished: 10 }, third.status), all, began + 15_000);
  assert.equal(later.isStale, true);
  assert.equal(
    planJob(job({ ttlSecondsAfterFinished: 11 }, third.status), all, began + 15_000).isStale,
    false,
  );
});

test('failed pods are replaced after a time that doubles, until the limit; then the rest ends', () => {
  const one = job({ completions: 1, parallelism: 1, backoffLimit: 1 });
  const [pod] = planJob(one, [], began).create;
  assert.ok(pod !== undefined);
  const failed = ended(pod, 'Failed');
  assert.equal(planJob(one, [failed], began + 9_000).create.length, 0);
  assert.equal(planJob(one, [failed], began + 10_000).create.length, 1);
  const over = planJob(one, [failed, ended(pod, 'Failed')], began + 60_000);
  assert.deepEqual(over.create, []);
  assert.equal(over.status.conditions?.[0]?.reason, 'BackoffLimitExceeded');
  const running = ended(pod, 'Running');
  const stopped = planJob(job({ parallelism: 3, backoffLimit: 0 }), [failed, running], began);
  assert.deepEqual(stopped.remove, [running]);
  assert.equal(stopped.status.active, 0);
});

test('an indexed job: each index once, with its number in the environment; suspended ones have no pods', () => {
  const indexed = job({ completionMode: 'Indexed' });
  const plan = planJob(indexed, [], began);
  const index = (pod: Pod) =>
    pod.spec.containers[0]?.env?.find(({ name }) => name === 'JOB_COMPLETION_INDEX')?.value;
  assert.deepEqual(plan.create.map(index), ['0', '1']);
  const [zero, one] = plan.create;
  assert.ok(zero !== undefined && one !== undefined);
  const next = planJob(indexed, [ended(zero, 'Succeeded'), ended(one, 'Running')], began);
  assert.deepEqual(next.create.map(index), ['2']);
  const suspended = planJob(job({ suspend: true }), [ended(one, 'Running')], began);
  assert.deepEqual([suspended.create.length, suspended.remove.length], [0, 1]);
});

test('a deadline ends a job', () => {
  const [pod] = planJob(job(), [], began).create;
  assert.ok(pod !== undefined);
  const late = planJob(
    job({ activeDeadlineSeconds: 60 }, { startTime: '2026-01-01T00:00:00Z' }),
    [ended(pod, 'Running')],
    began + 60_000,
  );
  assert.equal(late.status.conditions?.[0]?.reason, 'DeadlineExceeded');
  assert.equal(late.remove.length, 1);
});
