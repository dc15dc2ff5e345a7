// Whether the view of a node that a calculation answers is the expected one. An aspect that is missing is wrong where
// something was expected of it.
import { parseSelector, selectorId } from '../../src/selector/mod.ts';
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
        ? sameSets(expectedSets(want as Record<string, IpSet>, given as IpSet[]), given as IpSet[])
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

/** A case may give the id of a set without its selector: then the selector is the one that has this id. */
function expectedSets(want: Readonly<Record<string, IpSet>>, given: readonly IpSet[]): readonly IpSet[] {
  const byId = new Map(
    given.flatMap(({ selector = '' }) => {
      const parsed = parseSelector(selector);
      return selector !== '' && parsed.ok ? [[selectorId(parsed.value), selector] as const] : [];
    }),
  );
  return Object.entries(want).map(([id, set]) => {
    const selector = set.selector ?? byId.get(id);
    return selector === undefined ? set : { ...set, selector };
  });
}

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
