// Kubernetes' pods: containers, volumes, status; and the template that workloads make pods from.
// Unknown fields are kept and not judged: these objects belong to Kubernetes, and only what this project reads or writes is
// described.
import { defineKind } from '../kind-definition.ts';
import {
  array,
  boolean,
  integer,
  map,
  numberOrString,
  openObject,
  optional,
  string,
  unknown,
} from '../schema.ts';
import { condition, count, flag, text, textMap, texts } from './kubernetes-fields.ts';

const keyReference = openObject({ name: text(), key: string(), optional: flag() });
const fieldReference = openObject({ apiVersion: text(), fieldPath: string() });
const resourceReference = openObject({
  containerName: text(),
  resource: string(),
  divisor: optional(numberOrString()),
});
const envVar = openObject({
  name: string(),
  value: text(),
  valueFrom: optional(
    openObject({
      fieldRef: optional(fieldReference),
      resourceFieldRef: optional(resourceReference),
      configMapKeyRef: optional(keyReference),
      secretKeyRef: optional(keyReference),
    }),
  ),
});
const optionalName = openObject({ name: text(), optional: flag() });
const envFrom = openObject({
  prefix: text(),
  configMapRef: optional(optionalName),
  secretRef: optional(optionalName),
});
const resources = openObject({
  limits: optional(map(numberOrString())),
  requests: optional(map(numberOrString())),
});
const volumeMount = openObject({
  name: string(),
  mountPath: string(),
  readOnly: flag(),
  subPath: text(),
  subPathExpr: text(),
  mountPropagation: text(),
  recursiveReadOnly: text(),
});
const containerPort = openObject({
  name: text(),
  containerPort: integer(),
  hostPort: count(),
  hostIP: text(),
  protocol: text(),
});
const probe = openObject({
  httpGet: optional(
    openObject({
      path: text(),
      port: numberOrString(),
      host: text(),
      scheme: text(),
      httpHeaders: optional(array(openObject({ name: string(), value: text() }))),
    }),
  ),
  tcpSocket: optional(openObject({ port: numberOrString(), host: text() })),
  exec: optional(openObject({ command: texts() })),
  initialDelaySeconds: count(),
  periodSeconds: count(),
  timeoutSeconds: count(),
  successThreshold: count(),
  failureThreshold: count(),
});
const container = openObject({
  name: string(),
  image: text(),
  imagePullPolicy: text(),
  command: texts(),
  args: texts(),
  workingDir: text(),
  stdin: flag(),
  stdinOnce: flag(),
  tty: flag(),
  env: optional(array(envVar)),
  ports: optional(array(containerPort)),
  envFrom: optional(array(envFrom)),
  resources: optional(resources),
  volumeMounts: optional(array(volumeMount)),
  /** Of an ephemeral container: whose processes it sees. */
  targetContainerName: text(),
  restartPolicy: text(),
  startupProbe: optional(probe),
  readinessProbe: optional(probe),
  livenessProbe: optional(probe),
});

const items = optional(array(openObject({ key: string(), path: string(), mode: count() })));
const downwardItems = optional(
  array(
    openObject({
      path: string(),
      mode: count(),
      fieldRef: optional(fieldReference),
      resourceFieldRef: optional(resourceReference),
    }),
  ),
);
const volume = openObject({
  name: string(),
  emptyDir: optional(openObject({ medium: text(), sizeLimit: optional(numberOrString()) })),
  hostPath: optional(openObject({ path: string(), type: text() })),
  configMap: optional(openObject({ name: text(), items, defaultMode: count(), optional: flag() })),
  secret: optional(openObject({ secretName: text(), items, defaultMode: count(), optional: flag() })),
  downwardAPI: optional(openObject({ items: downwardItems, defaultMode: count() })),
  projected: optional(
    openObject({
      defaultMode: count(),
      sources: optional(
        array(
          openObject({
            configMap: optional(openObject({ name: text(), items, optional: flag() })),
            secret: optional(openObject({ name: text(), items, optional: flag() })),
            downwardAPI: optional(openObject({ items: downwardItems })),
            serviceAccountToken: optional(
              openObject({ audience: text(), expirationSeconds: count(), path: string() }),
            ),
          }),
        ),
      ),
    }),
  ),
});

const podSpec = openObject({
  nodeName: text(),
  nodeSelector: textMap(),
  hostNetwork: flag(),
  containers: array(container),
  initContainers: optional(array(container)),
  ephemeralContainers: optional(array(container)),
  serviceAccountName: text(),
  automountServiceAccountToken: flag(),
  enableServiceLinks: flag(),
  hostPID: flag(),
  restartPolicy: text(),
  terminationGracePeriodSeconds: count(),
  activeDeadlineSeconds: count(),
  hostname: text(),
  subdomain: text(),
  dnsPolicy: text(),
  dnsConfig: optional(
    openObject({
      nameservers: texts(),
      searches: texts(),
      options: optional(array(openObject({ name: text(), value: text() }))),
    }),
  ),
  hostAliases: optional(array(openObject({ ip: string(), hostnames: texts() }))),
  schedulerName: text(),
  priority: count(),
  tolerations: optional(
    array(
      openObject({
        key: text(),
        operator: text(),
        value: text(),
        effect: text(),
        tolerationSeconds: count(),
      }),
    ),
  ),
  affinity: optional(unknown()),
  volumes: optional(array(volume)),
});

const containerState = openObject({
  waiting: optional(openObject({ reason: text(), message: text() })),
  running: optional(openObject({ startedAt: text() })),
  terminated: optional(
    openObject({
      exitCode: integer(),
      signal: count(),
      reason: text(),
      message: text(),
      startedAt: text(),
      finishedAt: text(),
      containerID: text(),
    }),
  ),
});
const containerStatus = openObject({
  name: string(),
  image: text(),
  imageID: text(),
  containerID: text(),
  ready: boolean(),
  started: flag(),
  restartCount: integer(),
  state: optional(containerState),
  lastState: optional(containerState),
});

const podStatus = openObject({
  phase: text(),
  reason: text(),
  message: text(),
  podIP: text(),
  podIPs: optional(array(openObject({ ip: string() }))),
  hostIP: text(),
  hostIPs: optional(array(openObject({ ip: string() }))),
  startTime: text(),
  qosClass: text(),
  conditions: optional(array(condition)),
  containerStatuses: optional(array(containerStatus)),
  initContainerStatuses: optional(array(containerStatus)),
  ephemeralContainerStatuses: optional(array(containerStatus)),
});

export const podTemplate = openObject({
  metadata: optional(
    openObject({ name: text(), namespace: text(), labels: textMap(), annotations: textMap() }),
  ),
  spec: podSpec,
});

export const pod = defineKind({
  kind: 'Pod',
  apiVersion: 'v1',
  plural: 'pods',
  shortNames: ['po'],
  namespaced: true,
  description: 'A pod.',
  fields: { spec: podSpec, status: optional(podStatus) },
});
