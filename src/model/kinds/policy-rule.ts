// The rules of policies and profiles, their schema and what must hold between their fields (RS-090…RS-100).
import { directionValidations, entityValidations, icmpValidations, ruleValidations } from './expressions.ts';
import { parseNetwork, prefixFamily, prefixLength } from '../../lib/ip/mod.ts';
import { annotationIssues } from '../metadata.ts';
import {
  array,
  integer,
  map,
  numberOrString,
  object,
  oneOf,
  optional,
  string,
  type ValueOf,
  longestRange,
} from '../schema.ts';
import type { Issue } from '../types.ts';
import { parsePort } from '../values/port.ts';
import { protocolHasPorts, protocolNumber } from '../values/protocol.ts';
import { hasGlobal, isGlobal, policySelector } from './selector-fields.ts';

const nets = (description: string) =>
  optional(
    array(string({ format: 'network', maxLength: longestRange }), {
      maxItems: 256,
      uniqueItems: true,
      description,
    }),
  );
const ports = (description: string) =>
  optional(array(numberOrString({ format: 'port' }), { maxItems: 50, description }));

const entity = object(
  {
    nets: nets('Addresses.'),
    notNets: nets('Addresses left out.'),
    selector: optional(policySelector('Endpoints and network sets by their labels.')),
    notSelector: optional(policySelector('Endpoints and network sets left out.')),
    namespaceSelector: optional(
      policySelector('Namespaces of the endpoints; global() for what lives outside of namespaces.'),
    ),
    ports: ports('Ports: numbers, ranges "from:to" and names of ports.'),
    notPorts: ports('Ports left out.'),
    serviceAccounts: optional(
      object({
        names: optional(
          array(string(), { uniqueItems: true, description: 'One of these service accounts.' }),
        ),
        selector: optional(
          string({ format: 'selector', description: 'A service account with such labels.' }),
        ),
      }),
    ),
    services: optional(
      object({
        name: optional(string({ format: 'name', maxLength: 253, description: 'Endpoints of this service.' })),
        namespace: optional(
          string({ format: 'name', maxLength: 253, description: 'Its namespace; the policy’s when absent.' }),
        ),
      }),
    ),
  },
  { validations: entityValidations },
);

const icmp = object(
  {
    type: optional(integer({ minimum: 0, maximum: 254 })),
    code: optional(integer({ minimum: 0, maximum: 255 })),
  },
  { validations: icmpValidations },
);

const httpPath = object({
  exact: optional(string({ maxLength: 1024, description: 'The path.' })),
  prefix: optional(string({ maxLength: 1024, description: 'How the path starts.' })),
});

export const policyRule = object(
  {
    action: oneOf(['Allow', 'Deny', 'Log', 'Pass'], {
      description: 'What becomes of a packet that matches.',
    }),
    ipVersion: optional({ ...integer({ description: '4 or 6.' }), enum: [4, 6] }),
    protocol: optional(
      numberOrString({ format: 'protocol', description: 'Name or number of the protocol.' }),
    ),
    notProtocol: optional(numberOrString({ format: 'protocol', description: 'Any protocol but this.' })),
    icmp: optional(icmp),
    notICMP: optional(icmp),
    source: optional(entity),
    destination: optional(entity),
    http: optional(
      object({
        methods: optional(
          array(string(), { maxItems: 20, uniqueItems: true, description: 'One of these methods.' }),
        ),
        paths: optional(array(httpPath, { maxItems: 20, description: 'One of these paths.' })),
      }),
    ),
    metadata: optional(object({ annotations: optional(map(string())) })),
  },
  { validations: ruleValidations },
);

export type PolicyRule = ValueOf<typeof policyRule>;
type Entity = ValueOf<typeof entity>;
type Direction = 'ingress' | 'egress';

/** At most this many rules in a direction. */
export const maxRules = 1024;

export const policyRules = (description: string, direction: Direction) =>
  optional(
    array(policyRule, { maxItems: maxRules, description, validations: directionValidations(direction) }),
  );

/** What is wrong between the fields of the rules of one direction. */
export const rulesIssues = (
  rules: readonly PolicyRule[] | undefined,
  direction: Direction,
  isInNamespace: boolean,
): readonly Issue[] =>
  (rules ?? []).flatMap((rule, i) => {
    const path = `spec.${direction}[${i}]`;
    return [
      ...protocolIssues(rule, path),
      ...netsIssues(rule, path),
      ...entityIssues(rule.source ?? {}, `${path}.source`, direction === 'ingress', isInNamespace),
      ...entityIssues(rule.destination ?? {}, `${path}.destination`, direction === 'egress', isInNamespace),
      ...destinationServiceIssues(rule, path),
      ...httpIssues(rule, path, direction),
      ...annotationIssues(`${path}.metadata.annotations`, rule.metadata?.annotations ?? {}),
    ];
  });

const icmpNumber = 1;
const icmpV6Number = 58;

function protocolIssues(rule: PolicyRule, path: string): readonly Issue[] {
  const issues: Issue[] = [];
  const number = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol);
  const { icmp: match } = rule;
  if (match !== undefined && number !== icmpNumber && number !== icmpV6Number)
    issues.push({ field: `${path}.icmp`, value: match, reason: 'needs the protocol ICMP or ICMPv6' });
  for (const field of ['icmp', 'notICMP'] as const)
    if (rule[field]?.code !== undefined && rule[field].type === undefined)
      issues.push({ field: `${path}.${field}.code`, value: rule[field].code, reason: 'needs a type' });
  for (const field of ['protocol', 'notProtocol'] as const) {
    const value = rule[field];
    const version =
      value === undefined ? undefined : { [icmpNumber]: 4, [icmpV6Number]: 6 }[protocolNumber(value) ?? -1];
    if (version !== undefined && rule.ipVersion !== undefined && rule.ipVersion !== version)
      issues.push({
        field: `${path}.ipVersion`,
        value: rule.ipVersion,
        reason: `must be ${version} with ${field} ${value}`,
      });
  }
  return [...issues, ...portProtocolIssues(rule, path)];
}

/** Numbers need a protocol that has ports; a named port brings its own. */
function portProtocolIssues(rule: PolicyRule, path: string): readonly Issue[] {
  if (rule.protocol !== undefined && protocolHasPorts(rule.protocol)) return [];
  return (['source', 'destination'] as const).flatMap((side) =>
    (['ports', 'notPorts'] as const).flatMap((field) => {
      const value = rule[side]?.[field] ?? [];
      return value.some((port) => rule.protocol !== undefined || isNumeric(port))
        ? [{ field: `${path}.${side}.${field}`, value, reason: 'needs the protocol TCP, UDP or SCTP' }]
        : [];
    }),
  );
}

function isNumeric(port: number | string): boolean {
  const parsed = parsePort(port);
  return typeof parsed !== 'string' && parsed.kind === 'numbers';
}

/** All addresses of a rule are of one family, that of ipVersion. */
function netsIssues(rule: PolicyRule, path: string): readonly Issue[] {
  const issues: Issue[] = [];
  let family: number | undefined = rule.ipVersion;
  for (const side of ['source', 'destination'] as const) {
    for (const field of ['nets', 'notNets'] as const) {
      for (const [i, value] of (rule[side]?.[field] ?? []).entries()) {
        const parsed = parseNetwork(value);
        if (!parsed.ok) continue;
        const at = { field: `${path}.${side}.${field}[${i}]`, value };
        family ??= prefixFamily(parsed.value);
        if (prefixFamily(parsed.value) !== family)
          issues.push({ ...at, reason: `must be IPv${family}, as ipVersion or the addresses before it` });
        if (field === 'notNets' && prefixLength(parsed.value) === 0)
          issues.push({ ...at, reason: 'leaves out every address, so that the rule can never match' });
      }
    }
  }
  return issues;
}

function entityIssues(
  side: Entity,
  path: string,
  mayHaveServices: boolean,
  isInNamespace: boolean,
): readonly Issue[] {
  const { services } = side;
  const has = (field: keyof Entity): boolean => {
    const value = side[field];
    return value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0);
  };
  const excluded = (
    ['selector', 'notSelector', 'namespaceSelector', 'serviceAccounts', 'nets', 'notNets'] as const
  ).find(has);
  const tests: readonly (readonly [unknown, keyof Entity, string])[] = [
    [hasGlobal(side.selector), 'selector', 'must not use global(): it belongs into namespaceSelector'],
    [hasGlobal(side.notSelector), 'notSelector', 'must not use global(): it belongs into namespaceSelector'],
    [
      hasGlobal(side.namespaceSelector) && !isGlobal(side.namespaceSelector),
      'namespaceSelector',
      'must not combine global() with anything else',
    ],
    [
      services && !mayHaveServices,
      'services',
      'can be only the source of ingress and the destination of egress',
    ],
    [services && !services.name, 'services', 'must name a service'],
    [
      services && !isInNamespace && mayHaveServices && !services.namespace,
      'services',
      'must name the namespace',
    ],
    [services && excluded, 'services', `cannot be combined with ${excluded}`],
  ];
  return tests.flatMap(([isBroken, field, reason]) =>
    isBroken ? [{ field: `${path}.${field}`, value: side[field], reason }] : [],
  );
}

/** The ports of a destination service are those of the service. */
const destinationServiceIssues = ({ destination }: PolicyRule, path: string): readonly Issue[] =>
  (['ports', 'notPorts'] as const).flatMap((field) =>
    destination?.services !== undefined && (destination[field]?.length ?? 0) > 0
      ? [
          {
            field: `${path}.destination.${field}`,
            value: destination[field],
            reason: 'cannot be combined with services, which bring their own ports',
          },
        ]
      : [],
  );

function httpIssues(rule: PolicyRule, path: string, direction: Direction): readonly Issue[] {
  const { http } = rule;
  if (http === undefined) return [];
  const isTcp = rule.protocol === undefined || protocolNumber(rule.protocol) === 6;
  const tests: readonly (readonly [boolean, string])[] = [
    [direction === 'egress', 'can be judged only for ingress'],
    [rule.action !== 'Allow', 'can be used only with the action Allow'],
    [!isTcp, 'needs the protocol TCP, or none'],
  ];
  return [
    ...tests.flatMap(([isBroken, reason]) =>
      isBroken ? [{ field: `${path}.http`, value: http, reason }] : [],
    ),
    ...(http.paths ?? []).flatMap((value, i) => {
      const one = [value.exact, value.prefix].filter((text) => text !== undefined && text !== '');
      const isSound = one.length === 1 && /^\/[^ ?#]*$/.test(one[0] ?? '');
      return isSound
        ? []
        : [
            {
              field: `${path}.http.paths[${i}]`,
              value,
              reason: 'must be either exact or prefix: a path that starts with / and has no space, ? or #',
            },
          ];
    }),
  ];
}
