// FelixConfiguration: parameters of the node agent, for all nodes (`default`), one (`node.<name>`) or some (any other
// name, with nodeSelector). The parameters themselves are in felix-parameters.ts.
import { felixScopeValidations, felixTableValidations } from './expressions.ts';
import { defineKind } from '../kind-definition.ts';
import { object } from '../schema.ts';
import { parseDurationMs } from '../values/duration.ts';
import type { Issue } from '../types.ts';
import { felixParameters } from './felix-parameters.ts';

export const felixconfiguration = defineKind({
  kind: 'FelixConfiguration',
  plural: 'felixconfigurations',
  shortNames: ['felixconfig', 'felixconfigs'],
  description:
    'Parameters of the node agent for all nodes (`default`), for one (`node.<name>`) or for selected ones.',
  fields: { spec: object(felixParameters, { validations: felixTableValidations }) },
  validations: felixScopeValidations,
  rules: [scopeIssues, tableIssues, logFilterIssues, patienceIssues],
});

type Range = { readonly min: number; readonly max: number };
type Configuration = {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly nodeSelector?: string;
    readonly bpfLogFilters?: Readonly<Record<string, string>>;
    readonly healthTimeoutOverrides?: readonly { readonly name: string; readonly timeout: string }[];
    readonly routeTableRange?: Range;
    readonly routeTableRanges?: readonly Range[];
  };
};
/** Beyond, walking through the tables would take too long. */
const maxTables = 0xffff;

function scopeIssues({ metadata, spec }: Configuration): readonly Issue[] {
  const isForNamedNodes = metadata.name === 'default' || metadata.name.startsWith('node.');
  return spec.nodeSelector && isForNamedNodes
    ? [
        {
          field: 'spec.nodeSelector',
          value: spec.nodeSelector,
          reason: 'cannot be set on default and node.<name>: their names say what they are for',
        },
      ]
    : [];
}

function tableIssues({ spec }: Configuration): readonly Issue[] {
  const { routeTableRange: single, routeTableRanges: ranges = [] } = spec;
  const all = [
    ...(single === undefined ? [] : [['spec.routeTableRange', single] as const]),
    ...ranges.map((range, i) => [`spec.routeTableRanges[${i}]`, range] as const),
  ];
  const reversed = all
    .filter(([, { min, max }]) => min > max)
    .map(([field, value]) => ({ field, value, reason: 'must not end before it starts' }));
  const tables = ranges.reduce((sum, { min, max }) => sum + max - min + 1, 0);
  return [
    ...reversed,
    ...(single !== undefined && ranges.length > 0
      ? [
          {
            field: 'spec.routeTableRange',
            value: single,
            reason: 'is replaced by routeTableRanges: give only that',
          },
        ]
      : []),
    ...(tables > maxTables
      ? [{ field: 'spec.routeTableRanges', value: ranges, reason: `must hold at most ${maxTables} tables` }]
      : []),
  ];
}

function logFilterIssues({ spec }: Configuration): readonly Issue[] {
  return Object.entries(spec.bpfLogFilters ?? {}).flatMap(([name, value]) =>
    /^[a-zA-Z0-9_.-]{1,15}$/.test(name)
      ? []
      : [{ field: `spec.bpfLogFilters[${name}]`, value, reason: 'must be under the name of an interface' }],
  );
}

/** 0 switches the watching off; less has no meaning. */
function patienceIssues({ spec }: Configuration): readonly Issue[] {
  return (spec.healthTimeoutOverrides ?? []).flatMap(({ timeout }, i) =>
    (parseDurationMs(timeout) ?? 0) < 0
      ? [
          {
            field: `spec.healthTimeoutOverrides[${i}].timeout`,
            value: timeout,
            reason: 'must not be negative',
          },
        ]
      : [],
  );
}
