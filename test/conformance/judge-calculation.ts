// Whether the view of a node that a calculation answers is the expected one. An aspect that is missing is wrong where
// something was expected of it.
import { parseSelector } from '../../src/selector/mod.ts';
import { isEmpty, same, sameMembers } from './compare.ts';

type Loose = Record<string, unknown>;
/** A state of the suite `calc-graph`, as an entry of a sequence. */
export type View = { readonly id: string; readonly expected: Loose };

const orders = ['endpointPolicyOrder', 'untrackedEndpointPolicyOrder', 'preDNATEndpointPolicyOrder'];
const lists = ['routes', 'vteps', 'activePolicies', 'activeProfiles'];

export function judgeCalculation(expected: Loose, out: Loose): readonly string[] {
  const wrong: string[] = [];
  for (const aspect of ['ipSets', ...orders, ...lists]) {
    const want = expected[aspect];
    const given = out[aspect];
    if (given === undefined) {
      if (!isEmpty(want)) wrong.push(`missing ${aspect}`);
      continue;
    }
    const isRight =
      aspect === 'ipSets'
        ? sameSets(Object.values(want as Loose) as IpSet[], given as IpSet[])
        : orders.includes(aspect)
          ? same(want, given)
          : sameMembers(want as unknown[], given as unknown[]);
    if (!isRight) wrong.push(aspect);
  }
  return wrong;
}

export function judgeSequence(expected: readonly View[], out: Loose): readonly string[] {
  const given = (out['states'] ?? []) as readonly Loose[];
  if (given.length !== expected.length) return [`want ${expected.length} views, got ${given.length}`];
  return expected.flatMap((view, i) =>
    judgeCalculation(view.expected, given[i] ?? {}).map((wrong) => `after ${view.id}: ${wrong}`),
  );
}

type IpSet = {
  readonly selector?: string;
  readonly protocol?: string;
  readonly portName?: string;
  readonly members: readonly string[];
};

/** Sets that no selector describes are not compared. */
function sameSets(a: readonly IpSet[], b: readonly IpSet[]): boolean {
  return JSON.stringify(described(a)) === JSON.stringify(described(b));
}

const described = (sets: readonly IpSet[]): unknown =>
  sets
    .flatMap(({ selector, protocol = '', portName = '', members }) => {
      if (selector === undefined) return [];
      const parsed = parseSelector(selector);
      return [[parsed.ok ? parsed.value.text : selector, protocol, portName, members.toSorted()]];
    })
    .toSorted((x, y) => (JSON.stringify(x) < JSON.stringify(y) ? -1 : 1));
