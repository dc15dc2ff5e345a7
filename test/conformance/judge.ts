// Whether an answer is right, for each suite. An empty list means that it is; otherwise each entry says what is wrong.
import { parseNetwork } from '../../src/lib/ip/mod.ts';
import { judgeCalculation, judgeSequence, type View } from './judge-calculation.ts';
import { differences, holds, same, sameMembers, type Assertion } from './compare.ts';
import { judgeOutcome } from './suites/bgp-errors.ts';
import { judgeMessage } from './suites/bgp-messages.ts';
import type { Case, JsonObject } from './types.ts';

type Loose = Record<string, unknown>;

export function judge(suite: string, item: Case, answer: unknown): readonly string[] {
  const out = (answer ?? {}) as Loose;
  const expected = item.expected as Loose;
  switch (suite) {
    case 'validator-v3':
      return out['valid'] === expected['valid'] ? [] : [`valid: want ${String(expected['valid'])}`];
    case 'k8s-conversion':
      return judgeConversion(expected, out);
    case 'confd-bgp':
      return judgeBgp(item, out);
    case 'bgp-messages':
    case 'bgp-messages-bird':
      return judgeMessage(item, answer);
    case 'bgp-error-behaviour':
      return judgeOutcome(item, answer);
    case 'policy-scenarios':
      return judgeProbes(item.expected as unknown as Loose[], out);
    case 'calc-graph':
      return judgeCalculation(expected, out);
    case 'calc-graph-sequences':
      return judgeSequence(item.expected as unknown as View[], out);
    case 'ipam':
      return 'steps' in expected ? judgeSteps(expected['steps'] as Loose[], out) : judgePools(expected, out);
    default:
      return judgeFields(expected, out);
  }
}

function judgeFields(expected: Loose, out: Loose): readonly string[] {
  if (!('error' in expected)) return differences(expected, out);
  const { error, ...rest } = expected;
  if (Boolean(out['error']) !== Boolean(error)) return [`error: want ${String(error)}`];
  return error && !('value' in expected) ? [] : differences(rest, out);
}

function judgeConversion(expected: Loose, out: Loose): readonly string[] {
  const wrong: string[] = [];
  if ('error' in expected && Boolean(out['error']) !== expected['error'])
    wrong.push(`error: want ${String(expected['error'])}`);
  for (const assertion of (expected['asserts'] ?? []) as Assertion[])
    if (!assertion.optional && !holds(out, assertion)) wrong.push(JSON.stringify(assertion).slice(0, 160));
  return wrong;
}

function judgeProbes(expected: readonly Loose[], out: Loose): readonly string[] {
  const got = (out['verdicts'] ?? []) as readonly unknown[];
  if (got.length !== expected.length)
    return [`verdicts: want ${expected.length}, got ${got.length} (${String(out['error'])})`];
  return expected.flatMap(({ verdict, why }, i) =>
    verdict === got[i] ? [] : [`probe ${i}: want ${String(verdict)} (${String(why)}), got ${String(got[i])}`],
  );
}

function judgePools(expected: Loose, out: Loose): readonly string[] {
  const wrong =
    Boolean(out['error']) === expected['error'] ? [] : [`error: want ${String(expected['error'])}`];
  const networks = (list: unknown): string => JSON.stringify(((list ?? []) as string[]).map(masked));
  return expected['error'] || networks(out['pools']) === networks(expected['pools'])
    ? wrong
    : [...wrong, 'pools'];
}

/** Cases write some pools with host bits set. */
function masked(cidr: string): string {
  const parsed = parseNetwork(cidr);
  return parsed.ok ? parsed.value : cidr;
}

function judgeSteps(expected: readonly (Loose | null)[], out: Loose): readonly string[] {
  const got = (out['steps'] ?? []) as readonly (Loose | null)[];
  if (got.length !== expected.length) return [`steps: want ${expected.length}, got ${got.length}`];
  return expected.flatMap((want, i) =>
    Object.entries(want ?? {}).flatMap(([key, value]) => {
      const given = got[i]?.[key];
      const isRight = key === 'upstreamError' || stepFieldIsRight(key, value, given);
      return isRight ? [] : [`step ${i} ${key}: want ${JSON.stringify(value)}, got ${JSON.stringify(given)}`];
    }),
  );
}

function stepFieldIsRight(key: string, want: unknown, given: unknown): boolean {
  if (key === 'error') return Boolean(given) === want;
  if (key === 'unallocated') return sameMembers(want as string[], given as string[]);
  if (key !== 'v4' && key !== 'v6') return want === given;
  const answer = given as Loose | null | undefined;
  if (want === null) return !answer?.['count'];
  return ['count', 'requested'].every((f) => !(f in (want as Loose)) || answer?.[f] === (want as Loose)[f]);
}

const sessionFields = [
  'as',
  'port',
  'localAS',
  'sourceAddress',
  'password',
  'rrClient',
  'rrClusterID',
  'nextHop',
  'ttlSecurity',
  'gracefulRestartTime',
  'allowLocalAS',
];
type Session = Loose & { readonly exports?: Loose[]; readonly imports?: Loose[] };
type Family = {
  sessions: Session[];
  kernelProgramming?: Loose[];
  routerID?: unknown;
  staticRoutes?: unknown[];
};
type Probe = { readonly prefix: string; readonly what: string; readonly origin: string };

function judgeBgp(item: Case, out: Loose): readonly string[] {
  const expected = item.expected as Loose;
  if ('ipv4SessionCount' in expected) {
    const count = ((out['ipv4'] as Family | undefined)?.sessions ?? []).length;
    return count === expected['ipv4SessionCount'] ? [] : [`session count ${count}`];
  }
  const probes = item.input['probes'] as JsonObject | undefined;
  return (['ipv4', 'ipv6'] as const).flatMap((family) =>
    judgeFamily(
      family,
      expected[family] as Family,
      (out[family] as Family | undefined) ?? { sessions: [] },
      (probes?.[family] ?? {}) as unknown as Record<string, Probe[]>,
    ),
  );
}

function judgeFamily(
  family: string,
  want: Family,
  got: Family,
  probes: Record<string, Probe[]>,
): readonly string[] {
  const key = (session: Session): string =>
    `${session['ip'] as string}:${(session['port'] as number | undefined) ?? ''}`;
  const wanted = new Map(want.sessions.map((session) => [key(session), session]));
  const given = new Map(got.sessions.map((session) => [key(session), session]));
  const wrong: string[] = [];
  const names = (map: Map<string, unknown>): string => [...map.keys()].toSorted().join(' ');
  if (names(wanted) !== names(given))
    wrong.push(`${family} sessions: want ${names(wanted)}, got ${names(given)}`);
  for (const [name, session] of wanted) {
    const other = given.get(name);
    if (other !== undefined)
      wrong.push(...judgeSession(session, other, probes).map((text) => `${family} ${name} ${text}`));
  }
  return [
    ...wrong,
    ...judgeKernel(want, got, probes['kernelProgramming'] ?? []).map((t) => `${family} ${t}`),
  ];
}

function judgeSession(want: Session, got: Session, probes: Record<string, Probe[]>): readonly string[] {
  const fields = sessionFields
    .filter((field) => (field in got || want[field]) && !same(want[field], got[field]))
    .map((field) => `${field}: want ${String(want[field])}, got ${String(got[field])}`);
  const routes = (['exports', 'imports'] as const).flatMap((direction) => {
    const verdicts = want[direction] ?? [];
    const answers = got[direction];
    if (verdicts.length === 0 && answers === undefined) return [];
    if (answers?.length !== verdicts.length) return [`${direction}: want ${verdicts.length} answers`];
    return verdicts.flatMap((verdict, i) => {
      const probe = probes[direction]?.[i];
      return ['action', 'communities', 'largeCommunities', 'asPath'].flatMap((field) =>
        same(verdict[field], answers[i]?.[field])
          ? []
          : [
              `${direction} ${probe?.prefix} (${probe?.what}) ${field}: want ${JSON.stringify(verdict[field])}, got ${JSON.stringify(answers[i]?.[field])}`,
            ],
      );
    });
  });
  return [...fields, ...routes];
}

function judgeKernel(want: Family, got: Family, probes: readonly Probe[]): readonly string[] {
  const wrong: string[] = [];
  const verdicts = want.kernelProgramming ?? [];
  const answers = got.kernelProgramming ?? [];
  if (verdicts.length !== answers.length) wrong.push(`kernelProgramming: want ${verdicts.length} answers`);
  for (const [i, verdict] of verdicts.entries())
    if (
      verdict['action'] !== answers[i]?.['action'] ||
      verdict['tunnelDevice'] !== answers[i]?.['tunnelDevice']
    )
      wrong.push(
        `kernelProgramming ${probes[i]?.prefix} (${probes[i]?.what}): want ${JSON.stringify(verdict)}`,
      );
  if (!same(want.routerID, got.routerID)) wrong.push('routerID');
  if (!sameMembers(want.staticRoutes, got.staticRoutes)) wrong.push('staticRoutes');
  return wrong;
}
