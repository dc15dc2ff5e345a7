// Programs compiled to closures for the hot path: one call per prefix and session class, no allocation once every path
// through the program has been walked.
import { containsAddress } from '../../lib/ip/mod.ts';
import { changesSomething, extend, noChanges } from './changes.ts';
import { compilePatterns } from './patterns.ts';
import { defaultLocalPref, parseCommunity, priorityOf } from './values.ts';
import type {
  CompiledPolicy,
  PolicyChanges,
  PolicyMatch,
  PolicyOutcome,
  PolicyProgram,
  PolicySubject,
  Verdict,
} from './types.ts';

type Test = (subject: PolicySubject, changes: PolicyChanges) => boolean;
type Step = {
  readonly tests: readonly Test[];
  readonly verdict: Verdict | undefined;
  /** The rule's index when it changes something, else -1. */
  readonly changer: number;
};

export function compilePolicy(program: PolicyProgram): CompiledPolicy {
  const steps = program.rules.map((rule, index): Step => {
    const verdict = rule.actions.find((a) => a.do === 'accept' || a.do === 'reject');
    return {
      tests: rule.when.map(compileMatch),
      verdict: verdict === undefined ? undefined : (verdict.do as Verdict),
      changer: changesSomething(rule.actions) ? index : -1,
    };
  });
  const root: Leaf = leaf(noChanges);
  let nextId = 1;

  function follow(node: Leaf, rule: number): Leaf {
    let next = node.next.get(rule);
    if (next === undefined) {
      next = leaf(extend(node.changes, program.rules[rule]?.actions ?? [], nextId++));
      node.next.set(rule, next);
    }
    return next;
  }

  function run(subject: PolicySubject): PolicyOutcome {
    let node = root;
    for (const step of steps) {
      let matches = true;
      for (const test of step.tests) {
        if (!test(subject, node.changes)) {
          matches = false;
          break;
        }
      }
      if (!matches) continue;
      if (step.changer >= 0) node = follow(node, step.changer);
      if (step.verdict !== undefined) return step.verdict === 'accept' ? node.accepted : node.rejected;
    }
    return program.otherwise === 'accept' ? node.accepted : node.rejected;
  }

  return { program, hash: hashProgram(program), run };
}

/** The changes made so far, as a tree with one node per sequence of matched rules. Walking the tree instead of building
 *  objects makes a run free of allocation and gives equal histories the same identity. */
type Leaf = {
  readonly changes: PolicyChanges;
  readonly next: Map<number, Leaf>;
  readonly accepted: PolicyOutcome;
  readonly rejected: PolicyOutcome;
};
const leaf = (changes: PolicyChanges): Leaf => ({
  changes,
  next: new Map(),
  accepted: { verdict: 'accept', changes },
  rejected: { verdict: 'reject', changes },
});

function compileMatch(match: PolicyMatch): Test {
  switch (match.match) {
    case 'prefix': {
      const inside = compilePatterns(match.any);
      return match.not ? (s) => !inside(s) : inside;
    }
    case 'source': {
      const wanted = match.not !== true;
      const [only] = match.any;
      if (match.any.length === 1) return (s) => (s.source === only) === wanted;
      const sources = new Set(match.any);
      return (s) => sources.has(s.source) === wanted;
    }
    case 'interface': {
      const wanted = match.not !== true;
      const expressions = match.any.map(globExpression);
      return (s) => {
        const name = s.interfaceName;
        return (name !== undefined && expressions.some((e) => e.test(name))) === wanted;
      };
    }
    case 'community':
      return compileCommunity(match.value);
    case 'asPathPrefix': {
      const wanted = match.path;
      return (s, changes) => {
        const added = changes.prepend.length;
        const path = s.attributes.asPath;
        return wanted.every((as, i) => as === (i < added ? changes.prepend[i] : path[i - added]));
      };
    }
    case 'priority': {
      const { value } = match;
      return match.is === 'equal'
        ? (s, changes) => currentPriority(s, changes) === value
        : (s, changes) => currentPriority(s, changes) < value;
    }
    case 'peerType':
      return (s) => s.peerType === match.is;
    case 'nextHop': {
      const wanted = match.not !== true;
      return (s) => {
        const hop = s.nextHop;
        return (hop !== undefined && match.any.some((p) => containsAddress(p, hop))) === wanted;
      };
    }
    default:
      return match satisfies never;
  }
}

function compileCommunity(text: string): Test {
  const community = parseCommunity(text);
  if (community === undefined) return () => false;
  const { value } = community;
  return community.kind === 'standard'
    ? (s, changes) =>
        s.attributes.communities.includes(value as number) || changes.communities.includes(value as number)
    : (s, changes) =>
        s.attributes.largeCommunities.includes(value as string) ||
        changes.largeCommunities.includes(value as string);
}

const currentPriority = (s: PolicySubject, changes: PolicyChanges): number =>
  priorityOf(changes.localPref ?? s.attributes.localPref ?? defaultLocalPref);

/** `*` any text, `?` one character, everything else itself. */
function globExpression(glob: string): RegExp {
  const body = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${body}$`);
}

/** Over what the program does, not what it and its rules are called. 64 bits as hexadecimal text. */
export function hashProgram(program: PolicyProgram): string {
  return hashText(JSON.stringify([program.rules.map((r) => [r.when, r.actions]), program.otherwise]));
}

export function hashText(text: string): string {
  let a = 0x811c9dc5;
  let b = 0x9e3779b9;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    a = Math.imul(a ^ c, 0x01000193);
    b = Math.imul(b ^ c, 0x85ebca6b);
    b ^= b >>> 13;
  }
  return (a >>> 0).toString(16).padStart(8, '0') + (b >>> 0).toString(16).padStart(8, '0');
}
