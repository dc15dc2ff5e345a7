// HostEndpoint: an interface of a node, or all of them, as the subject of policy.
import { hostEndpointValidations, hostPortValidations } from './expressions.ts';
import { defineKind } from '../kind-definition.ts';
import { array, integer, numberOrString, object, optional, string } from '../schema.ts';
import type { Issue } from '../types.ts';
import { protocolHasPorts } from '../values/protocol.ts';

export const hostendpoint = defineKind({
  kind: 'HostEndpoint',
  plural: 'hostendpoints',
  shortNames: ['hep', 'heps'],
  description: 'An interface of a node, or all of them, as the subject of policy.',
  fields: {
    spec: object(
      {
        node: optional(string({ format: 'name', description: 'The node.' })),
        interfaceName: optional(
          string({ format: 'interface', description: 'The interface; * for all traffic of the host.' }),
        ),
        expectedIPs: optional(
          array(string({ format: 'ip' }), {
            description:
              'Its addresses: they find the interface when it is not named, and stand for it in rules.',
          }),
        ),
        profiles: optional(array(string({ format: 'name' }), { description: 'Its profiles, in order.' })),
        ports: optional(
          array(
            object(
              {
                name: string({ format: 'port-name', description: 'Name, for rules that name ports.' }),
                protocol: numberOrString({ format: 'protocol' }),
                port: integer({ minimum: 1, maximum: 65535 }),
              },
              { validations: hostPortValidations },
            ),
            { description: 'Its named ports.' },
          ),
        ),
      },
      { validations: hostEndpointValidations },
    ),
  },
  rules: [hostEndpointIssues],
  columns: [
    { name: 'Node', type: 'string', path: '.spec.node' },
    { name: 'Interface', type: 'string', path: '.spec.interfaceName' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp' },
  ],
});

type HostEndpoint = {
  readonly spec: {
    readonly node?: string;
    readonly interfaceName?: string;
    readonly expectedIPs?: readonly string[];
    readonly ports?: readonly { readonly protocol: number | string }[];
  };
};

function hostEndpointIssues({ spec }: HostEndpoint): readonly Issue[] {
  return [
    ...(spec.node ? [] : [{ field: 'spec.node', value: spec.node, reason: 'must be given' }]),
    ...(spec.interfaceName || spec.expectedIPs?.length
      ? []
      : [
          {
            field: 'spec.interfaceName',
            value: spec.interfaceName,
            reason: 'must be given unless expectedIPs is',
          },
        ]),
    ...(spec.ports ?? []).flatMap(({ protocol }, i) =>
      protocolHasPorts(protocol)
        ? []
        : [{ field: `spec.ports[${i}].protocol`, value: protocol, reason: 'must be TCP, UDP or SCTP' }],
    ),
  ];
}
