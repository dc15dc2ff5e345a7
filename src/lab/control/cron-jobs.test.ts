import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CronJob, Job } from '../../model/mod.ts';
import { type CronJobPlan, planCronJob } from './cron-jobs.ts';

const created = '2026-11-21T20:00:30Z';
const cronJob = (spec: Partial<CronJob['spec']> = {}, status: CronJob['status'] = {}): CronJob => ({
  apiVersion: 'batch/v1',
  kind: 'CronJob',
  metadata: { name: 'tick', namespace: 'default', uid: 'c', creationTimestamp: created },
  spec: {
    schedule: '*/5 * * * *',
    jobTemplate: {
      metadata: { labels: { a: 'b' } },
      spec: { template: { spec: { containers: [{ name: 'main' }], restartPolicy: 'Never' } } },
    },
    ...spec,
  },
  status,
});
const job = (name: string, end?: 'Complete' | 'Failed', startTime = '2026-11-21T20:05:00Z'): Job => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: {
    name,
    namespace: 'default',
    uid: name,
    ownerReferences: [{ apiVersion: 'batch/v1', kind: 'CronJob', name: 'tick', uid: 'c', controller: true }],
  },
  spec: { template: { spec: { containers: [] } } },
  status: {
    startTime,
    ...(end === 'Complete' ? { completionTime: '2026-11-21T20:06:00Z' } : {}),
    ...(end === undefined ? {} : { conditions: [{ type: end, status: 'True' }] }),
  },
});
const at = (cron: CronJob, jobs: readonly Job[], time: string): CronJobPlan =>
  planCronJob(cron, jobs, Date.parse(`2026-11-21T${time}Z`));
const reasons = (plan: CronJobPlan): readonly string[] => plan.events.map(({ reason }) => reason);

test('a job at its time, named by it; before it nothing but when to look again', () => {
  const before = at(cronJob(), [], '20:04:59');
  assert.equal(before.create, undefined);
  assert.equal(before.nextMs, Date.parse('2026-11-21T20:05:00Z'));
  const plan = at(cronJob(), [], '20:05:01');
  assert.equal(plan.create?.metadata.name, `tick-${Date.parse('2026-11-21T20:05:00Z') / 60_000}`);
  assert.deepEqual(plan.create?.metadata.labels, { a: 'b' });
  assert.equal(
    plan.create?.metadata.annotations?.['batch.kubernetes.io/cronjob-scheduled-timestamp'],
    '2026-11-21T20:05:00Z',
  );
  assert.equal(plan.create?.metadata.ownerReferences?.[0]?.uid, 'c');
  assert.equal(plan.status.lastScheduleTime, '2026-11-21T20:05:00Z');
  const after = at(cronJob({}, plan.status), [job('x')], '20:05:02');
  assert.equal(after.create, undefined);
  assert.deepEqual(
    after.status.active?.map(({ name }) => name),
    ['x'],
  );
});

test('of missed times the last; not those before the deadline; none while suspended', () => {
  const missed = at(cronJob(), [], '22:12:00');
  assert.equal(missed.status.lastScheduleTime, '2026-11-21T22:10:00Z');
  assert.equal(at(cronJob({ startingDeadlineSeconds: 60 }), [], '22:12:00').create, undefined);
  assert.notEqual(at(cronJob({ startingDeadlineSeconds: 200 }), [], '22:12:00').create, undefined);
  const suspended = at(cronJob({ suspend: true }), [], '22:12:00');
  assert.deepEqual([suspended.create, suspended.nextMs], [undefined, undefined]);
  assert.deepEqual(reasons(at(cronJob({ schedule: '* * * * *' }), [], '22:12:00')), ['TooManyMissedTimes']);
});

test('a job that still runs: another beside it, none, or another in its place', () => {
  const running = [job('old')];
  const allowed = at(cronJob(), running, '20:05:01');
  assert.notEqual(allowed.create, undefined);
  assert.deepEqual(allowed.remove, []);
  const forbidden = at(cronJob({ concurrencyPolicy: 'Forbid' }), running, '20:05:01');
  assert.deepEqual([forbidden.create, reasons(forbidden)], [undefined, ['JobAlreadyActive']]);
  const replaced = at(cronJob({ concurrencyPolicy: 'Replace' }), running, '20:05:01');
  assert.notEqual(replaced.create, undefined);
  assert.deepEqual(
    replaced.remove.map(({ metadata }) => metadata.name),
    ['old'],
  );
  assert.deepEqual(replaced.status.active, []);
});

test('jobs that ended: told once, the newest kept', () => {
  const ended = ['1', '2', '3', '4'].map((n) => job(`ok-${n}`, 'Complete', `2026-11-21T20:0${n}:00Z`));
  const failed = [
    job('bad-1', 'Failed', '2026-11-21T20:01:00Z'),
    job('bad-2', 'Failed', '2026-11-21T20:02:00Z'),
  ];
  const status = { active: [{ name: 'ok-4', uid: 'ok-4' }], lastScheduleTime: '2026-11-21T20:05:00Z' };
  const plan = at(cronJob({}, status), [...ended, ...failed], '20:06:30');
  assert.deepEqual(
    plan.remove.map(({ metadata }) => metadata.name),
    ['ok-1', 'bad-1'],
  );
  assert.deepEqual(reasons(plan), ['SawCompletedJob', 'SuccessfulDelete', 'SuccessfulDelete']);
  assert.equal(plan.status.lastSuccessfulTime, '2026-11-21T20:06:00Z');
  const none = at(cronJob({ successfulJobsHistoryLimit: 0 }, plan.status), ended, '20:06:30');
  assert.equal(none.remove.length, 4);
});

test('a schedule or zone that is none is told, and nothing starts', () => {
  assert.deepEqual(reasons(at(cronJob({ schedule: 'x' }), [], '22:00:00')), ['UnparseableSchedule']);
  const zone = at(cronJob({ timeZone: 'Mars/Olympus' }), [], '22:00:00');
  assert.deepEqual([zone.create, reasons(zone)], [undefined, ['UnknownTimeZone']]);
  const berlin = cronJob({ schedule: '0 22 * * *', timeZone: 'Europe/Berlin' });
  assert.equal(at(berlin, [], '21:00:00').status.lastScheduleTime, '2026-11-21T21:00:00Z');
});
