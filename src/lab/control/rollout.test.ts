// Versions of workloads: which number each has, what comes back, what is forgotten, and what a Deployment says meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet } from '../../model/mod.ts';
import { planRevisions, revisionName, templateOf } from './revisions.ts';
import { planDeployment, type RolloutPlan } from './rollout.ts';
import { planStatefulSet } from './stateful-sets.ts';

const began = Date.parse('2026-01-01T00:00:00Z');
const deployment = (image: string, change: Partial<Deployment['spec']> = {}): Deployment => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: {
    name: 'web',
    uid: 'd1',
    annotations: { 'kubernetes.io/change-cause': `to ${image}`, 'deployment.kubernetes.io/revision': '7' },
  },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'a', image }] } },
    ...change,
  },
});

/** Applies plans, with all pods ready at once, until nothing changes. */
function play(
  web: Deployment,
  start: readonly ReplicaSet[] = [],
): { sets: readonly ReplicaSet[]; last: RolloutPlan } {
  let sets = start;
  let now = web;
  for (let step = 0; step < 20; step++) {
    const plan = planDeployment(now, sets, began);
    const scaled = new Map(plan.scale.map(({ set, replicas }) => [set, replicas]));
    const { annotate } = plan;
    const next = sets
      .filter((set) => !plan.remove.includes(set))
      .map((set): ReplicaSet => {
        const replicas: number = scaled.get(set) ?? set.spec.replicas ?? 0;
        const annotations = set === annotate?.set ? annotate.annotations : set.metadata.annotations;
        return {
          ...set,
          metadata: { ...set.metadata, ...(annotations === undefined ? {} : { annotations }) },
          spec: { ...set.spec, replicas },
          status: { replicas, readyReplicas: replicas, availableReplicas: replicas },
        };
      });
    if (plan.create !== undefined)
      next.push({ ...plan.create, status: { replicas: 0, readyReplicas: 0, availableReplicas: 0 } });
    if (JSON.stringify(next) === JSON.stringify(sets)) return { sets, last: plan };
    sets = next;
    now = { ...now, status: plan.status };
  }
  throw new Error('no end');
}
const revisions = (sets: readonly ReplicaSet[]): readonly (readonly (string | undefined)[])[] =>
  sets.map(({ metadata: { annotations }, spec }) => [
    spec.template?.spec.containers[0]?.image,
    annotations?.['deployment.kubernetes.io/revision'],
    annotations?.['kubernetes.io/change-cause'],
    annotations?.['deployment.kubernetes.io/revision-history'],
  ]);

test('a version that comes back is the newest revision; the number it had is noted', () => {
  const one = play(deployment('one'));
  assert.equal(one.last.revision, '1');
  const two = play(deployment('two'), one.sets);
  assert.deepEqual(revisions(two.sets), [
    ['one', '1', 'to one', undefined],
    ['two', '2', 'to two', undefined],
  ]);
  const back = play(deployment('one'), two.sets);
  assert.equal(back.last.revision, '3');
  assert.deepEqual(revisions(back.sets), [
    ['one', '3', 'to one', '1'],
    ['two', '2', 'to two', undefined],
  ]);
  const again = play(deployment('one', { revisionHistoryLimit: 0 }), play(deployment('two'), back.sets).sets);
  assert.deepEqual(revisions(again.sets), [['one', '5', 'to one', '1,3']]);
});

test('paused: no new version, none at all when it was paused from the start; replicas count', () => {
  assert.deepEqual(play(deployment('one', { paused: true })).sets, []);
  const one = play(deployment('one'));
  const paused = play(deployment('two', { paused: true, replicas: 5 }), one.sets);
  assert.deepEqual(
    paused.sets.map(({ spec }) => [spec.template?.spec.containers[0]?.image, spec.replicas]),
    [['one', 5]],
  );
  assert.deepEqual(progress(paused.last), ['Unknown', 'DeploymentPaused']);
});

const progress = (plan: RolloutPlan): readonly (string | undefined)[] => {
  const condition = plan.status.conditions?.find(({ type }) => type === 'Progressing');
  return [condition?.status, condition?.reason];
};

test('Progressing: done, on its way, too late; another number of replicas is no rollout', () => {
  const one = play(deployment('one'));
  assert.deepEqual(progress(one.last), ['True', 'NewReplicaSetAvailable']);
  assert.equal(one.last.nextMs, undefined);
  const more = { ...deployment('one', { replicas: 9 }), status: one.last.status };
  assert.deepEqual(progress(planDeployment(more, one.sets, began)), ['True', 'NewReplicaSetAvailable']);

  const two = { ...deployment('two', { progressDeadlineSeconds: 30 }), status: one.last.status };
  const { create } = planDeployment(two, one.sets, began);
  assert.ok(create !== undefined);
  const stuck = [...one.sets, create];
  const first = planDeployment(two, stuck, began + 1000);
  assert.deepEqual([progress(first), first.nextMs], [['True', 'NewReplicaSetCreated'], began + 31_000]);
  const waiting = { ...two, status: first.status };
  assert.deepEqual(planDeployment(waiting, stuck, began + 30_000).status, first.status);
  const late = planDeployment(waiting, stuck, began + 31_000);
  assert.deepEqual([progress(late), late.nextMs], [['False', 'ProgressDeadlineExceeded'], undefined]);
  assert.deepEqual(
    planDeployment({ ...two, status: late.status }, stuck, began + 99_000).status,
    late.status,
  );
  // Undone: it is about another version now.
  const undone = planDeployment({ ...deployment('one'), status: late.status }, stuck, began + 99_000);
  assert.deepEqual(progress(undone), ['True', 'NewReplicaSetAvailable']);
});

const set = (image: string, revisionHistoryLimit = 10): StatefulSet => ({
  apiVersion: 'apps/v1',
  kind: 'StatefulSet',
  metadata: { name: 'db', uid: 's1', annotations: { 'kubernetes.io/change-cause': image } },
  spec: {
    replicas: 1,
    revisionHistoryLimit,
    selector: { matchLabels: { app: 'db' } },
    template: { metadata: { labels: { app: 'db' } }, spec: { containers: [{ name: 'a', image }] } },
  },
});
function revised(
  owner: StatefulSet | DaemonSet,
  before: readonly ControllerRevision[],
): ControllerRevision[] {
  const plan = planRevisions(owner, before, new Set());
  const kept = before
    .filter((one) => !plan.remove.includes(one))
    .map((one) => (one === plan.renumber?.of ? { ...one, revision: plan.renumber.revision } : one));
  return plan.create === undefined ? kept : [...kept, plan.create];
}
const listed = (all: readonly ControllerRevision[]): readonly unknown[] =>
  all.map((one) => [templateOf(one)?.spec.containers[0]?.image, one.revision]);

test('stateful and daemon sets: a revision per version; one that comes back is the newest; the oldest go', () => {
  const two = revised(set('two'), revised(set('one'), []));
  assert.deepEqual(listed(two), [
    ['one', 1],
    ['two', 2],
  ]);
  assert.deepEqual(two[0]?.data, {
    spec: { template: { ...set('one').spec.template, $patch: 'replace' } },
  });
  assert.equal(two[0]?.metadata.labels?.['app'], 'db');
  const back = revised(set('one'), two);
  assert.deepEqual(listed(back), [
    ['one', 3],
    ['two', 2],
  ]);
  assert.deepEqual(revised(set('one'), back), back);
  assert.deepEqual(listed(revised(set('one', 0), back)), [['one', 3]]);
  const inUse = new Set([revisionName(set('two'))]);
  assert.deepEqual(planRevisions(set('one', 0), back, inUse).remove, []);
});

test('below the partition, a pod that is made anew is of the version from before', () => {
  const all = revised(set('two'), revised(set('one'), []));
  const partial = {
    ...set('two'),
    spec: { ...set('two').spec, updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 1 } } },
    status: { currentRevision: revisionName(set('one')) },
  };
  const [pod] = planStatefulSet(partial, [], all).create;
  assert.equal(pod?.spec.containers[0]?.image, 'one');
  assert.equal(pod?.metadata.labels?.['controller-revision-hash'], revisionName(set('one')));
});
