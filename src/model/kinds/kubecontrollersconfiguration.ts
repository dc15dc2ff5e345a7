// KubeControllersConfiguration: what the cluster's controllers do. The object is named `default`.
import { defineKind } from '../kind-definition.ts';
import { array, duration, integer, map, object, oneOf, optional, string, unknown } from '../schema.ts';
import { annotationIssues, labelIssues } from '../metadata.ts';
import type { Issue } from '../types.ts';

const onOff = (description: string) => optional(oneOf(['Enabled', 'Disabled'], { description }));
const reconcilerPeriod = optional(
  duration({ description: 'Time between full comparisons. 5m when absent.' }),
);
const etcdController = optional(object({ reconcilerPeriod }));

const hostEndpointTemplate = object({
  generateName: optional(string({ format: 'name', maxLength: 253, description: 'End of the names.' })),
  interfaceCIDRs: optional(
    array(string({ format: 'any-network' }), {
      uniqueItems: true,
      description: 'Only addresses in these ranges.',
    }),
  ),
  interfacePattern: optional(string({ format: 'regexp', description: 'One for each interface named so.' })),
  labels: optional(map(string(), { description: 'Labels of the host endpoints.' })),
  annotations: optional(map(string(), { description: 'Annotations of the host endpoints.' })),
  nodeSelector: optional(string({ format: 'selector', description: 'Only such nodes.' })),
});

export const kubecontrollersconfiguration = defineKind({
  kind: 'KubeControllersConfiguration',
  plural: 'kubecontrollersconfigurations',
  shortNames: ['kcc', 'kccs', 'kubecontrollersconfig'],
  description: 'What the controllers of the cluster do. The object is named `default`.',
  fields: {
    spec: object({
      logSeverityScreen: optional(
        oneOf(['None', 'Debug', 'Info', 'Warning', 'Error', 'Fatal', 'Panic'], {
          description: 'What is logged.',
        }),
      ),
      healthChecks: onOff('Check the own health. Enabled when absent.'),
      etcdV3CompactionPeriod: optional(
        duration({ description: 'Time between compactions of etcd. 10m when absent.' }),
      ),
      prometheusMetricsPort: optional(
        integer({
          minimum: 0,
          maximum: 65535,
          description: 'Port of metrics. 9094 when absent, 0 for none.',
        }),
      ),
      debugProfilePort: optional(integer({ minimum: 0, maximum: 65535, description: 'Port of profiles.' })),
      controllers: object({
        node: optional(
          object({
            reconcilerPeriod,
            syncLabels: onOff('Copy labels of Kubernetes’ nodes. Enabled when absent.'),
            hostEndpoint: optional(
              object({
                autoCreate: onOff('Make a host endpoint for every node. Disabled when absent.'),
                createDefaultHostEndpoint: onOff('Make the one for all interfaces. Enabled when absent.'),
                templates: optional(array(hostEndpointTemplate, { description: 'Further host endpoints.' })),
              }),
            ),
            leakGracePeriod: optional(
              duration({
                description: 'When an address without owner is released. 15m when absent, 0 for never.',
              }),
            ),
          }),
        ),
        policy: etcdController,
        workloadEndpoint: etcdController,
        serviceAccount: etcdController,
        namespace: etcdController,
        loadBalancer: optional(
          object({
            assignIPs: optional(
              oneOf(['AllServices', 'RequestedServicesOnly'], {
                description: 'Services that get an address.',
              }),
            ),
          }),
        ),
        policyMigration: optional(object({ enabled: onOff('Rename policies of old versions.') })),
      }),
    }),
    status: optional(
      object({
        runningConfig: optional(unknown({ description: 'What holds after the environment was read.' })),
        environmentVars: optional(map(string(), { description: 'The environment that was read.' })),
      }),
    ),
  },
  rules: [templateIssues],
});

type Template = {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
};
type Configuration = {
  readonly spec: {
    readonly controllers: {
      readonly node?: { readonly hostEndpoint?: { readonly templates?: readonly Template[] } };
    };
  };
};

/** Labels and annotations of templates become those of objects. */
function templateIssues({ spec }: Configuration): readonly Issue[] {
  return (spec.controllers.node?.hostEndpoint?.templates ?? []).flatMap(
    ({ labels = {}, annotations = {} }, i) => {
      const path = `spec.controllers.node.hostEndpoint.templates[${i}]`;
      return [
        ...labelIssues(`${path}.labels`, labels),
        ...annotationIssues(`${path}.annotations`, annotations),
      ];
    },
  );
}
