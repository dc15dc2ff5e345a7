// Deployments and the other kinds that make pods.
import { conditions, kindOf, labelSelector, objectMeta, objectReference } from './meta.ts';
import {
  anything,
  choice,
  each,
  flag,
  integer,
  intOrText,
  list,
  named,
  object,
  text,
  textMap,
} from './notation.ts';
import { podTemplate } from './pod.ts';

const rolling = object(each('maxSurge maxUnavailable', intOrText));

export const deployment = kindOf({
  spec: object(
    {
      ...each('replicas minReadySeconds revisionHistoryLimit progressDeadlineSeconds', integer),
      paused: flag,
      selector: labelSelector,
      template: podTemplate,
      strategy: choice({ type: text, rollingUpdate: rolling }),
    },
    'selector',
    'template',
  ),
  status: object({
    ...each(
      'observedGeneration replicas updatedReplicas readyReplicas availableReplicas unavailableReplicas terminatingReplicas collisionCount',
      integer,
    ),
    conditions,
  }),
});

export const replicaSet = kindOf({
  spec: object(
    { ...each('replicas minReadySeconds', integer), selector: labelSelector, template: podTemplate },
    'selector',
  ),
  status: object({
    ...each(
      'replicas fullyLabeledReplicas readyReplicas availableReplicas terminatingReplicas observedGeneration',
      integer,
    ),
    conditions,
  }),
});

export const replicationController = kindOf({
  spec: object({ ...each('replicas minReadySeconds', integer), selector: textMap, template: podTemplate }),
  status: object({
    ...each('replicas fullyLabeledReplicas readyReplicas availableReplicas observedGeneration', integer),
    conditions,
  }),
});

export const daemonSet = kindOf({
  spec: object(
    {
      ...each('minReadySeconds revisionHistoryLimit', integer),
      selector: labelSelector,
      template: podTemplate,
      updateStrategy: object({ type: text, rollingUpdate: rolling }),
    },
    'selector',
    'template',
  ),
  status: object({
    ...each(
      'currentNumberScheduled numberMisscheduled desiredNumberScheduled numberReady observedGeneration updatedNumberScheduled numberAvailable numberUnavailable collisionCount',
      integer,
    ),
    conditions,
  }),
});

export const statefulSet = kindOf({
  spec: object(
    {
      ...each('replicas revisionHistoryLimit minReadySeconds', integer),
      ...each('serviceName podManagementPolicy', text),
      selector: labelSelector,
      template: podTemplate,
      volumeClaimTemplates: list(anything),
      updateStrategy: object({
        type: text,
        rollingUpdate: object({ partition: integer, maxUnavailable: intOrText }),
      }),
      persistentVolumeClaimRetentionPolicy: object(each('whenDeleted whenScaled', text)),
      ordinals: object({ start: integer }),
    },
    'selector',
    'template',
  ),
  status: object({
    ...each(
      'observedGeneration replicas readyReplicas currentReplicas updatedReplicas collisionCount availableReplicas',
      integer,
    ),
    ...each('currentRevision updateRevision', text),
    conditions,
  }),
});

const jobSpec = object(
  {
    ...each(
      'parallelism completions activeDeadlineSeconds backoffLimit backoffLimitPerIndex maxFailedIndexes ttlSecondsAfterFinished',
      integer,
    ),
    ...each('completionMode podReplacementPolicy managedBy', text),
    ...each('manualSelector suspend', flag),
    selector: labelSelector,
    template: podTemplate,
    ...each('podFailurePolicy successPolicy', anything),
  },
  'template',
);
export const job = kindOf({
  spec: jobSpec,
  status: object({
    conditions,
    ...each('startTime completionTime completedIndexes failedIndexes', text),
    ...each('active succeeded failed terminating ready', integer),
    uncountedTerminatedPods: anything,
  }),
});
export const cronJob = kindOf({
  spec: object(
    {
      ...each('schedule timeZone concurrencyPolicy', text),
      ...each('startingDeadlineSeconds successfulJobsHistoryLimit failedJobsHistoryLimit', integer),
      suspend: flag,
      jobTemplate: object({ metadata: objectMeta, spec: jobSpec }),
    },
    'schedule',
    'jobTemplate',
  ),
  status: object({ active: list(objectReference), ...each('lastScheduleTime lastSuccessfulTime', text) }),
});
export const controllerRevision = kindOf({ data: anything, revision: integer }, 'revision');
export const scale = kindOf({
  spec: object({ replicas: integer }),
  status: object({ replicas: integer, selector: text }),
});
export const podDisruptionBudget = kindOf({
  spec: object({
    ...each('minAvailable maxUnavailable', intOrText),
    selector: labelSelector,
    unhealthyPodEvictionPolicy: text,
  }),
  status: object({
    ...each('observedGeneration disruptionsAllowed currentHealthy desiredHealthy expectedPods', integer),
    disruptedPods: anything,
    conditions: named('type', anything),
  }),
});
