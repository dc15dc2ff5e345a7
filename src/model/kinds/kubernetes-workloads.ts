// Kubernetes' kinds that make pods: deployments, replica sets, daemon sets, stateful sets, jobs by hand and by the clock.
// Unknown fields are kept and not judged: these objects belong to Kubernetes, and only what this project reads or writes is
// described.
import { defineKind } from '../kind-definition.ts';
import { array, numberOrString, openObject, optional, string, unknown } from '../schema.ts';
import { condition, count, flag, text, textMap } from './kubernetes-fields.ts';
import { objectReference } from './kubernetes-core.ts';
import { podTemplate } from './kubernetes-pod.ts';
import { labelSelector } from './kubernetes-policy.ts';

const workloadStatus = {
  observedGeneration: count(),
  replicas: count(),
  readyReplicas: count(),
  availableReplicas: count(),
  conditions: optional(array(condition)),
};

export const deployment = defineKind({
  kind: 'Deployment',
  apiVersion: 'apps/v1',
  plural: 'deployments',
  shortNames: ['deploy'],
  namespaced: true,
  description: 'A Deployment: replicas of a pod, replaced step by step.',
  fields: {
    spec: openObject({
      replicas: count(),
      selector: labelSelector,
      template: podTemplate,
      paused: flag(),
      minReadySeconds: count(),
      progressDeadlineSeconds: count(),
      revisionHistoryLimit: count(),
      strategy: optional(
        openObject({
          type: text(),
          rollingUpdate: optional(
            openObject({ maxSurge: optional(numberOrString()), maxUnavailable: optional(numberOrString()) }),
          ),
        }),
      ),
    }),
    status: optional(
      openObject({
        ...workloadStatus,
        updatedReplicas: count(),
        unavailableReplicas: count(),
        collisionCount: count(),
      }),
    ),
  },
});

export const replicaSet = defineKind({
  kind: 'ReplicaSet',
  apiVersion: 'apps/v1',
  plural: 'replicasets',
  shortNames: ['rs'],
  namespaced: true,
  description: 'A ReplicaSet: a number of equal pods.',
  fields: {
    spec: openObject({
      replicas: count(),
      selector: labelSelector,
      template: optional(podTemplate),
      minReadySeconds: count(),
    }),
    status: optional(openObject({ ...workloadStatus, fullyLabeledReplicas: count() })),
  },
});

export const daemonSet = defineKind({
  kind: 'DaemonSet',
  apiVersion: 'apps/v1',
  plural: 'daemonsets',
  shortNames: ['ds'],
  namespaced: true,
  description: 'A DaemonSet: one pod on every node.',
  fields: {
    spec: openObject({
      selector: labelSelector,
      template: podTemplate,
      minReadySeconds: count(),
      revisionHistoryLimit: count(),
      updateStrategy: optional(unknown()),
    }),
    status: optional(
      openObject({
        observedGeneration: count(),
        currentNumberScheduled: count(),
        desiredNumberScheduled: count(),
        numberAvailable: count(),
        numberMisscheduled: count(),
        numberReady: count(),
        numberUnavailable: count(),
        updatedNumberScheduled: count(),
        conditions: optional(array(condition)),
      }),
    ),
  },
});

export const statefulSet = defineKind({
  kind: 'StatefulSet',
  apiVersion: 'apps/v1',
  plural: 'statefulsets',
  shortNames: ['sts'],
  namespaced: true,
  description: 'A StatefulSet: pods with names and an order.',
  fields: {
    spec: openObject({
      replicas: count(),
      selector: labelSelector,
      template: podTemplate,
      serviceName: text(),
      podManagementPolicy: text(),
      /** PersistentVolumeClaims; their names are those of volumes of the pods. */
      volumeClaimTemplates: optional(array(openObject({ metadata: openObject({ name: text() }) }))),
      ordinals: optional(openObject({ start: count() })),
      revisionHistoryLimit: count(),
      updateStrategy: optional(
        openObject({ type: text(), rollingUpdate: optional(openObject({ partition: count() })) }),
      ),
    }),
    status: optional(
      openObject({
        ...workloadStatus,
        updatedReplicas: count(),
        currentReplicas: count(),
        currentRevision: text(),
        updateRevision: text(),
        collisionCount: count(),
      }),
    ),
  },
});

export const controllerRevision = defineKind({
  kind: 'ControllerRevision',
  apiVersion: 'apps/v1',
  plural: 'controllerrevisions',
  shortNames: [],
  namespaced: true,
  description: 'A ControllerRevision: what a DaemonSet or StatefulSet said at an earlier time.',
  fields: {
    /** A strategic merge patch that brings that time back. */
    data: optional(openObject({ spec: optional(openObject({ template: optional(podTemplate) })) })),
    revision: count(),
  },
});

const jobSpec = openObject({
  parallelism: count(),
  completions: count(),
  completionMode: text(),
  backoffLimit: count(),
  activeDeadlineSeconds: count(),
  ttlSecondsAfterFinished: count(),
  suspend: flag(),
  selector: optional(labelSelector),
  template: podTemplate,
});

export const job = defineKind({
  kind: 'Job',
  apiVersion: 'batch/v1',
  plural: 'jobs',
  namespaced: true,
  description: 'A Job: pods that run to their end.',
  fields: {
    spec: jobSpec,
    status: optional(
      openObject({
        active: count(),
        ready: count(),
        succeeded: count(),
        failed: count(),
        startTime: text(),
        completionTime: text(),
        conditions: optional(array(condition)),
      }),
    ),
  },
});

export const cronJob = defineKind({
  kind: 'CronJob',
  apiVersion: 'batch/v1',
  plural: 'cronjobs',
  shortNames: ['cj'],
  namespaced: true,
  description: 'A CronJob: a Job at each time of a schedule.',
  fields: {
    spec: openObject({
      schedule: string(),
      timeZone: text(),
      startingDeadlineSeconds: count(),
      concurrencyPolicy: text(),
      suspend: flag(),
      successfulJobsHistoryLimit: count(),
      failedJobsHistoryLimit: count(),
      jobTemplate: openObject({
        metadata: optional(openObject({ labels: textMap(), annotations: textMap() })),
        spec: jobSpec,
      }),
    }),
    status: optional(
      openObject({
        active: optional(array(objectReference)),
        lastScheduleTime: text(),
        lastSuccessfulTime: text(),
      }),
    ),
  },
});
