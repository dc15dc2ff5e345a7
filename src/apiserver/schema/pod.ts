// Pods, their containers and volumes; also the template of every workload kind.
import { conditions, kindOf, labelSelector, localReference, objectMeta, objectReference } from './meta.ts';
import {
  anything,
  atomic,
  keyed,
  titled,
  choice,
  each,
  flag,
  integer,
  intOrText,
  joined,
  list,
  named,
  object,
  quantities,
  quantity,
  text,
  textMap,
  texts,
} from './notation.ts';
import type { Schema } from './types.ts';

const httpGet = titled(
  'HTTPGetAction',
  object(
    {
      ...each('path host scheme', text),
      port: intOrText,
      httpHeaders: list(object(each('name value', text), 'name', 'value')),
    },
    'port',
  ),
);
const handler = {
  exec: object({ command: texts }),
  httpGet,
  tcpSocket: object({ port: intOrText, host: text }, 'port'),
  grpc: object({ port: integer, service: text }, 'port'),
};
const lifecycleHandler = titled(
  'LifecycleHandler',
  object({ ...handler, sleep: object({ seconds: integer }, 'seconds') }),
);
const probe = titled(
  'Probe',
  object({
    ...handler,
    ...each(
      'initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds',
      integer,
    ),
  }),
);

const seLinux = object(each('user role type level', text));
const profile = object(each('type localhostProfile', text), 'type');
const windows = object({
  ...each('gmsaCredentialSpecName gmsaCredentialSpec runAsUserName', text),
  hostProcess: flag,
});

const keyReference = atomic(object({ ...each('name key', text), optional: flag }, 'key'));
const fieldReference = object(each('apiVersion fieldPath', text), 'fieldPath');
const resourceReference = object({ ...each('containerName resource', text), divisor: quantity }, 'resource');
const environment = titled(
  'EnvVar',
  object(
    {
      ...each('name value', text),
      valueFrom: object({
        fieldRef: fieldReference,
        resourceFieldRef: resourceReference,
        configMapKeyRef: keyReference,
        secretKeyRef: keyReference,
        fileKeyRef: object(
          { ...each('volumeName path key', text), optional: flag },
          'volumeName',
          'path',
          'key',
        ),
      }),
    },
    'name',
  ),
);
const optionalName = object({ name: text, optional: flag });

const resources = titled(
  'ResourceRequirements',
  object({
    ...each('limits requests', quantities),
    claims: list(object(each('name request', text), 'name')),
  }),
);

const container: Schema = titled(
  'Container',
  object(
    {
      ...each(
        'name image workingDir terminationMessagePath terminationMessagePolicy imagePullPolicy restartPolicy',
        text,
      ),
      ...each('command args', texts),
      ports: keyed(
        ['containerPort', 'protocol'],
        titled(
          'ContainerPort',
          object(
            { ...each('name protocol hostIP', text), ...each('hostPort containerPort', integer) },
            'containerPort',
          ),
        ),
      ),
      envFrom: list(object({ prefix: text, configMapRef: optionalName, secretRef: optionalName })),
      env: named('name', environment),
      resources,
      resizePolicy: list(object(each('resourceName restartPolicy', text), 'resourceName', 'restartPolicy')),
      restartPolicyRules: list(
        object({ action: text, exitCodes: object({ operator: text, values: list(integer) }) }, 'action'),
      ),
      volumeMounts: named(
        'mountPath',
        titled(
          'VolumeMount',
          object(
            {
              ...each('name mountPath subPath subPathExpr mountPropagation recursiveReadOnly', text),
              readOnly: flag,
            },
            'name',
            'mountPath',
          ),
        ),
      ),
      volumeDevices: named('devicePath', object(each('name devicePath', text), 'name', 'devicePath')),
      ...each('livenessProbe readinessProbe startupProbe', probe),
      lifecycle: object({ postStart: lifecycleHandler, preStop: lifecycleHandler, stopSignal: text }),
      securityContext: object({
        capabilities: object(each('add drop', texts)),
        ...each('privileged runAsNonRoot readOnlyRootFilesystem allowPrivilegeEscalation', flag),
        ...each('runAsUser runAsGroup', integer),
        procMount: text,
        seLinuxOptions: seLinux,
        windowsOptions: windows,
        ...each('seccompProfile appArmorProfile', profile),
      }),
      ...each('stdin stdinOnce tty', flag),
      targetContainerName: text,
    },
    'name',
  ),
);

const keyToPath = list(object({ ...each('key path', text), mode: integer }, 'key', 'path'));
const volume: Schema = titled(
  'Volume',
  choice(
    {
      name: text,
      emptyDir: object({ medium: text, sizeLimit: quantity }),
      hostPath: object(each('path type', text), 'path'),
      secret: object({ secretName: text, items: keyToPath, defaultMode: integer, optional: flag }),
      configMap: object({ name: text, items: keyToPath, defaultMode: integer, optional: flag }),
      downwardAPI: object({ items: list(anything), defaultMode: integer }),
      projected: object({ sources: list(anything), defaultMode: integer }),
      persistentVolumeClaim: object({ claimName: text, readOnly: flag }, 'claimName'),
      nfs: object({ ...each('server path', text), readOnly: flag }, 'server', 'path'),
      csi: object(
        {
          ...each('driver fsType', text),
          readOnly: flag,
          volumeAttributes: textMap,
          nodePublishSecretRef: localReference,
        },
        'driver',
      ),
      ephemeral: object({ volumeClaimTemplate: anything }),
      image: object(each('reference pullPolicy', text)),
      ...each(
        'gcePersistentDisk awsElasticBlockStore gitRepo iscsi glusterfs rbd flexVolume cinder cephfs flocker fc azureFile azureDisk vsphereVolume quobyte photonPersistentDisk portworxVolume scaleIO storageos',
        anything,
      ),
    },
    'name',
  ),
);

const nodeTerm = object({
  ...each(
    'matchExpressions matchFields',
    list(object({ ...each('key operator', text), values: texts }, 'key', 'operator')),
  ),
});
const podTerm = titled(
  'PodAffinityTerm',
  object(
    {
      ...each('labelSelector namespaceSelector', labelSelector),
      ...each('namespaces matchLabelKeys mismatchLabelKeys', texts),
      topologyKey: text,
    },
    'topologyKey',
  ),
);
const podAffinity = object({
  requiredDuringSchedulingIgnoredDuringExecution: list(podTerm),
  preferredDuringSchedulingIgnoredDuringExecution: list(
    object({ weight: integer, podAffinityTerm: podTerm }, 'weight', 'podAffinityTerm'),
  ),
});

export const toleration = titled(
  'Toleration',
  object({ ...each('key operator value effect', text), tolerationSeconds: integer }),
);

export const podSpec: Schema = titled(
  'PodSpec',
  object(
    {
      volumes: named('name', volume),
      ...each('initContainers containers ephemeralContainers', named('name', container)),
      ...each(
        'restartPolicy dnsPolicy serviceAccountName serviceAccount nodeName hostname subdomain schedulerName priorityClassName runtimeClassName preemptionPolicy hostnameOverride',
        text,
      ),
      ...each('terminationGracePeriodSeconds activeDeadlineSeconds priority', integer),
      ...each(
        'automountServiceAccountToken hostNetwork hostPID hostIPC shareProcessNamespace enableServiceLinks setHostnameAsFQDN hostUsers',
        flag,
      ),
      nodeSelector: atomic(textMap),
      securityContext: object({
        seLinuxOptions: seLinux,
        windowsOptions: windows,
        ...each('runAsUser runAsGroup fsGroup', integer),
        runAsNonRoot: flag,
        supplementalGroups: list(integer),
        ...each('supplementalGroupsPolicy fsGroupChangePolicy seLinuxChangePolicy', text),
        sysctls: list(object(each('name value', text), 'name', 'value')),
        ...each('seccompProfile appArmorProfile', profile),
      }),
      imagePullSecrets: named('name', localReference),
      affinity: object({
        nodeAffinity: object({
          requiredDuringSchedulingIgnoredDuringExecution: object(
            { nodeSelectorTerms: list(nodeTerm) },
            'nodeSelectorTerms',
          ),
          preferredDuringSchedulingIgnoredDuringExecution: list(
            object({ weight: integer, preference: nodeTerm }, 'weight', 'preference'),
          ),
        }),
        ...each('podAffinity podAntiAffinity', podAffinity),
      }),
      tolerations: list(toleration),
      hostAliases: named('ip', object({ ip: text, hostnames: texts }, 'ip')),
      dnsConfig: object({
        ...each('nameservers searches', texts),
        options: list(object(each('name value', text))),
      }),
      readinessGates: list(object({ conditionType: text }, 'conditionType')),
      overhead: quantities,
      topologySpreadConstraints: keyed(
        ['topologyKey', 'whenUnsatisfiable'],
        object(
          {
            ...each('maxSkew minDomains', integer),
            ...each('topologyKey whenUnsatisfiable nodeAffinityPolicy nodeTaintsPolicy', text),
            labelSelector,
            matchLabelKeys: texts,
          },
          'maxSkew',
          'topologyKey',
          'whenUnsatisfiable',
        ),
      ),
      os: object({ name: text }, 'name'),
      schedulingGates: named('name', object({ name: text }, 'name')),
      resourceClaims: named(
        'name',
        choice({ ...each('name resourceClaimName resourceClaimTemplateName', text) }, 'name'),
      ),
      resources,
      workloadRef: anything,
    },
    'containers',
  ),
);

export const podTemplate: Schema = titled('PodTemplateSpec', object({ metadata: objectMeta, spec: podSpec }));

export const pod = kindOf({
  spec: podSpec,
  status: object({
    ...each('phase message reason nominatedNodeName hostIP podIP startTime qosClass resize', text),
    observedGeneration: integer,
    conditions,
    hostIPs: { type: 'list', of: object({ ip: text }), mergeKey: 'ip' },
    podIPs: { type: 'list', of: object({ ip: text }), mergeKey: 'ip' },
    ...each('initContainerStatuses containerStatuses ephemeralContainerStatuses', list(anything)),
    resourceClaimStatuses: named('name', anything),
    extendedResourceClaimStatus: anything,
  }),
});

export const binding = kindOf({ target: objectReference }, 'target');

export const node = kindOf({
  spec: object({
    ...each('podCIDR providerID externalID', text),
    podCIDRs: joined(text),
    unschedulable: flag,
    taints: list(object(each('key value effect timeAdded', text), 'key', 'effect')),
    configSource: anything,
  }),
  status: object({
    ...each('capacity allocatable', quantities),
    phase: text,
    conditions,
    addresses: named('type', object(each('type address', text), 'type', 'address')),
    ...each('daemonEndpoints nodeInfo config features', anything),
    images: list(anything),
    volumesInUse: texts,
    volumesAttached: list(anything),
    runtimeHandlers: list(anything),
    declaredFeatures: texts,
  }),
});
