// Reports as text for people; -o json and -o yaml show the same data.
import { plainTable } from '../calicoctl/output/table.ts';
import type {
  EndpointReport,
  EndpointRow,
  Hits,
  PolicyReport,
  RuleReport,
  SelectionReport,
  StageReport,
  UnusedRow,
} from './report.ts';

const indent = (lines: readonly string[]): readonly string[] => lines.map((line) => `  ${line}`);
const count = (number: number, noun: string, many = `${noun}s`): string =>
  `${number} ${number === 1 ? noun : many}`;

export function endpointText(report: EndpointReport): readonly string[] {
  return [
    endpointLine(report),
    ...report.stages.flatMap(stageLines),
    ...(report.staged.length === 0
      ? []
      : ['staged (changes nothing)', ...indent(report.staged.flatMap((policy) => policyLines(policy)))]),
    ...report.problems.map((problem) => `problem: ${problem}`),
  ];
}

const endpointLine = ({ kind, endpoint, node, interfaceName, addresses }: EndpointRow): string => {
  const facts = [node, interfaceName ?? '', addresses.join(' ')].filter((fact) => fact !== '');
  return `${kind === 'pod' ? 'pod' : 'host endpoint'} ${endpoint} (${facts.join(', ')})`;
};

const stageWords = {
  normal: '',
  forward: ', passing through',
  untracked: ', before connection tracking',
  preDnat: ', before translation',
} as const;

const stageLines = ({ direction, stage, tiers, profiles, otherwise }: StageReport): readonly string[] => [
  `${direction}${stageWords[stage]}`,
  ...indent([
    ...tiers.flatMap((tier) => [
      `tier ${tier.tier}`,
      ...indent([
        ...tier.policies.flatMap((policy) => policyLines(policy)),
        `end: what no rule matched is ${tier.otherwise === 'deny' ? 'denied' : 'passed on'}`,
      ]),
    ]),
    ...profiles.flatMap(({ profile, rules }) => [`profile ${profile}`, ...indent(rules.map(ruleLine))]),
    `what decides last: ${otherwise}`,
  ]),
];

const policyLines = ({ policy, order, staged, rules }: PolicyReport): readonly string[] => [
  `${policy}${order === undefined ? '' : ` (order ${order})`}${staged === undefined ? '' : ` ${staged}`}${
    rules.length === 0 ? ': no rules' : ''
  }`,
  ...indent(rules.map(ruleLine)),
];

const ruleLine = ({ index, text, peers, hits }: RuleReport): string =>
  [
    /^(in|e)gress\[/.test(text) ? text : `[${index}] ${text}`,
    ...(peers === undefined ? [] : [peers === 0 ? 'nobody' : count(peers, 'address', 'addresses')]),
    ...(hits === undefined ? [] : [hitText(hits)]),
  ].join(' · ');

const hitText = ({ packets }: Hits): string => (packets === 0 ? 'never hit' : count(packets, 'hit'));

export function selectionText(report: SelectionReport): readonly string[] {
  const { policy, tier, order, staged, directions, selector, endpoints, rules, problems } = report;
  return [
    `${policy} in tier ${tier}${order === undefined ? '' : `, order ${order}`}, ${directions.join(' and ')}${
      staged === undefined ? '' : `, staged (${staged}): changes nothing`
    }`,
    `selects ${count(endpoints.length, 'endpoint')}: ${selector}`,
    ...indent(rowLines(endpoints)),
    ...(rules.length === 0 ? ['no rules: everything is denied'] : ['rules', ...indent(rules.map(ruleLine))]),
    ...problems.map((problem) => `problem: ${problem}`),
  ];
}

const rowLines = (rows: readonly EndpointRow[]): readonly string[] =>
  tableLines(
    rows.map(({ kind, endpoint, node, interfaceName = '', addresses }) => [
      kind === 'pod' ? endpoint : `hep/${endpoint}`,
      node,
      interfaceName,
      addresses.join(' '),
    ]),
  );

const tableLines = (rows: readonly (readonly string[])[]): readonly string[] =>
  plainTable(rows)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.trimEnd());

const reasonWords: Readonly<Record<UnusedRow['reason'], string>> = {
  'selects-nobody': 'selects nobody',
  'no-tier': 'tier missing',
  'means-nobody': 'means nobody',
  'never-reached': 'never reached',
  'never-hit': 'never hit',
};

export const unusedText = (rows: readonly UnusedRow[]): readonly string[] =>
  rows.length === 0
    ? ['Every policy selects somebody, and every rule can be met.']
    : tableLines([
        ['POLICY', 'RULE', 'WHY', ''],
        ...rows.map(({ policy, rule = '', reason, text }) => [policy, rule, reasonWords[reason], text]),
      ]);
