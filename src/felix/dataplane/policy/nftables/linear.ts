// A program as linear chains: every rule one or a few lines, in order. Always right; what it costs a packet grows with the
// rules.
//
//   <base>     rules of the first tier …            <match> goto rule-…
//              Pass                                 <match> counter goto <base>-1
//              Log                                  <match> counter log prefix "…"
//              end of the tier                      goto rule-…_end_…, or goto <base>-1
//   <base>-1   the next tier, …, each profile; the last line is what happens otherwise
//
// Verdicts are reached by goto only, so that the `return` of an allowed packet leads back to whoever jumped here.
import type { Family, Prefix } from '../../../../lib/ip/mod.ts';
import type { Direction, PolicyId, PolicyProgram, PortRange, Rule, SetId } from '../../../../policy/mod.ts';
import type { NftRuleText } from '../../nftables.ts';
import type { Decider, LogStep, PolicySettings, ProgramDecision, RuleChains } from '../types.ts';
import { linearMatch, type SetNames } from './match.ts';
import { deciderNote, logExpression, logNote } from './rule-chains.ts';
import type { ListSetBook, MemberSetBook } from './sets.ts';

export type LinearChain = { readonly name: string; readonly rules: readonly NftRuleText[] };

export type LinearInput = {
  readonly base: string;
  readonly family: Family;
  readonly direction: Direction;
  readonly program: PolicyProgram;
  readonly settings: PolicySettings;
  readonly names: SetNames;
  /** The chain of a decision. */
  readonly chainOf: (decision: ProgramDecision) => string;
};

/** A tier or a profile. */
type Section = {
  readonly lists: readonly RuleList[];
  /** What a packet meets that no rule decided about; undefined: the next section. */
  readonly end: Decider | undefined;
};
type RuleList = {
  readonly rules: readonly Rule[];
  readonly decider: (index: number, action: 'allow' | 'deny') => Decider;
  readonly step: (index: number) => LogStep;
};

export function linearChains(input: LinearInput): readonly LinearChain[] {
  const sections = sectionsOf(input);
  const { base } = input;
  const nameOf = (i: number): string => (i === 0 ? base : `${base}-${i}`);
  const last = lastLine(input);
  if (sections.length === 0) return [{ name: base, rules: [last] }];
  return sections.map(({ lists, end }, i) => {
    const isLast = i === sections.length - 1;
    const onward = isLast ? last : { expression: `goto ${nameOf(i + 1)}` };
    const rules = lists.flatMap((list) =>
      list.rules.flatMap((rule, index) => ruleLines(input, list, rule, index, onward.expression)),
    );
    const closing = end === undefined ? onward : decisionLine(input, end);
    return { name: nameOf(i), rules: [...rules, closing] };
  });
}

function sectionsOf({ program, direction }: LinearInput): readonly Section[] {
  return [
    ...program.tiers
      .filter(({ policies }) => policies.length > 0)
      .map(
        ({ name: tier, policies, endAction }): Section => ({
          lists: policies.map(({ id, rules }) => policyList(tier, id, direction, rules)),
          end: endAction === 'deny' ? { by: 'end-of-tier', tier, direction, action: 'deny' } : undefined,
        }),
      ),
    ...program.profiles.map(
      ({ name: profile, rules }): Section => ({
        lists: [
          {
            rules,
            decider: (index, action) => ({ by: 'profile-rule', profile, direction, index, action }),
            step: (index) => ({ profile, direction, index }),
          },
        ],
        end: undefined,
      }),
    ),
  ];
}

const policyList = (
  tier: string,
  policy: PolicyId,
  direction: Direction,
  rules: readonly Rule[],
): RuleList => ({
  rules,
  decider: (index, action) => ({ by: 'rule', tier, policy, direction, index, action }),
  step: (index) => ({ tier, policy, direction, index }),
});

function lastLine(input: LinearInput): NftRuleText {
  const { program, direction } = input;
  if (program.otherwise === 'none') return { expression: 'return' };
  return decisionLine(input, { by: 'end', direction, action: program.otherwise });
}

const decisionLine = (input: LinearInput, decider: Decider): NftRuleText => ({
  expression: `goto ${input.chainOf({ logs: [], decider })}`,
});

/** `onward` is what a packet meets that leaves the tier or profile. */
function ruleLines(
  input: LinearInput,
  list: RuleList,
  rule: Rule,
  index: number,
  onward: string,
): readonly NftRuleText[] {
  const { lines, isUnknown } = linearMatch(rule, input.family, input.names);
  if (lines.length === 0) return [];
  // What cannot be made out never allows; where it would keep something out or let it pass, it denies.
  if (isUnknown && (rule.action === 'allow' || rule.action === 'log')) return [];
  const joined = (action: string, note?: string): readonly NftRuleText[] =>
    lines.map((line) => ({
      expression: line === '' ? action : `${line} ${action}`,
      ...(note === undefined ? {} : { note }),
    }));
  if (rule.action === 'log') {
    const step = list.step(index);
    return joined(logExpression(step, input.settings), logNote(step));
  }
  if (rule.action === 'pass' && !isUnknown)
    return joined(`counter ${onward}`, deciderNote(list.decider(index, 'allow')).replace(/allow$/, 'pass'));
  const decider = list.decider(index, rule.action === 'allow' ? 'allow' : 'deny');
  return joined(`goto ${input.chainOf({ logs: [], decider })}`);
}

/** What one program uses of what is shared: counted up while it is laid out, and given back when it is laid out anew. */
export class Uses {
  readonly #release: (() => void)[] = [];
  readonly #sets = new Set<SetId>();

  /** Sets of policy that the program looks at. */
  get sets(): ReadonlySet<SetId> {
    return this.#sets;
  }

  names(members: MemberSetBook, lists: ListSetBook, family: Family): SetNames {
    const list = (name: string): string => {
      this.#release.push(() => lists.release(name, family));
      return name;
    };
    return {
      members: (id) => {
        this.#sets.add(id);
        const name = members.use(id, family);
        if (name !== undefined) this.#release.push(() => members.release(name, family));
        return name;
      },
      ports: (ranges: readonly PortRange[]) => list(lists.usePorts(ranges, family)),
      nets: (nets: readonly Prefix[]) => list(lists.useNets(nets, family)),
    };
  }

  chainOf(chains: RuleChains, family: Family): LinearInput['chainOf'] {
    return (decision) => {
      this.#release.push(() => chains.release(family, decision));
      return chains.use(family, decision);
    };
  }

  release(): void {
    for (const release of this.#release.splice(0)) release();
  }
}
