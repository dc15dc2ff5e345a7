// The same programs interpreted from their text, with a trace of every rule: slow and obvious on purpose.
import {
  addressFromBytes,
  containsAddress,
  containsPrefix,
  prefixLength,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { changesSomething, extend, noChanges } from './changes.ts';
import { defaultLocalPref, formatCommunity, priorityOf } from './values.ts';
import type {
  PolicyChanges,
  PolicyMatch,
  PolicyProgram,
  PolicySubject,
  PolicyTrace,
  TraceStep,
  Verdict,
} from './types.ts';

export function explainPolicy(program: PolicyProgram, subject: PolicySubject): PolicyTrace {
  const prefix = subjectPrefix(subject);
  const steps: TraceStep[] = [];
  let changes = noChanges;
  for (const rule of program.rules) {
    const failed = rule.when.find((match) => !holds(match, subject, prefix, changes));
    if (failed !== undefined) {
      steps.push({ rule: rule.name, failed, actions: [] });
      continue;
    }
    steps.push({ rule: rule.name, actions: rule.actions });
    if (changesSomething(rule.actions)) changes = extend(changes, rule.actions, changes.id + 1);
    const verdict = rule.actions.find((a) => a.do === 'accept' || a.do === 'reject')?.do as
      | Verdict
      | undefined;
    if (verdict !== undefined)
      return { program: program.name, verdict, changes, steps, decidedBy: rule.name };
  }
  return { program: program.name, verdict: program.otherwise, changes, steps };
}

/** The prefix of a subject as text. */
export function subjectPrefix(s: PolicySubject): Prefix {
  const words = s.family === 4 ? [s.w0] : [s.w0, s.w1, s.w2, s.w3];
  const bytes = new Uint8Array(words.flatMap((w) => [w >>> 24, (w >>> 16) & 255, (w >>> 8) & 255, w & 255]));
  return `${addressFromBytes(bytes)}/${s.length}` as Prefix;
}

function holds(match: PolicyMatch, s: PolicySubject, prefix: Prefix, changes: PolicyChanges): boolean {
  switch (match.match) {
    case 'prefix':
      return (
        match.any.some((p) => {
          const length = prefixLength(prefix);
          return containsPrefix(p.prefix, prefix) && length >= p.min && length <= p.max;
        }) !==
        (match.not === true)
      );
    case 'source':
      return match.any.includes(s.source) !== (match.not === true);
    case 'interface':
      return match.any.some((glob) => matchesGlob(glob, s.interfaceName)) !== (match.not === true);
    case 'community': {
      const all = [...s.attributes.communities, ...changes.communities].map(formatCommunity);
      const large = [...s.attributes.largeCommunities, ...changes.largeCommunities];
      return [...all, ...large].includes(normal(match.value));
    }
    case 'asPathPrefix': {
      const path = [...changes.prepend, ...s.attributes.asPath];
      return path.slice(0, match.path.length).join(' ') === match.path.join(' ');
    }
    case 'priority': {
      const priority = priorityOf(changes.localPref ?? s.attributes.localPref ?? defaultLocalPref);
      return match.is === 'equal' ? priority === match.value : priority < match.value;
    }
    case 'peerType':
      return s.peerType === match.is;
    case 'nextHop': {
      const hop = s.nextHop;
      return (hop !== undefined && match.any.some((p) => containsAddress(p, hop))) !== (match.not === true);
    }
    default:
      return match satisfies never;
  }
}

const normal = (community: string): string => community.split(':').map(Number).join(':');

function matchesGlob(glob: string, name: string | undefined): boolean {
  if (name === undefined) return false;
  if (glob === '') return name === '';
  const rest = glob.slice(1);
  if (glob[0] === '*') return matchesGlob(rest, name) || (name !== '' && matchesGlob(glob, name.slice(1)));
  return name !== '' && (glob[0] === '?' || glob[0] === name[0]) && matchesGlob(rest, name.slice(1));
}
