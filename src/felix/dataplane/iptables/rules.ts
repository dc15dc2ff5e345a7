// A rule of policy as lines of a chain. Verdicts are told by marks: `accept` and `pass` with a return to the endpoint's chain,
// a denial ends. What does not fit into one line becomes blocks before the deciding line (FX-054):
//
//   MARK 0/scratch|part                    once, when there is any block
//   <ports 1>  MARK scratch                first block: one of its lines must match
//   <net 1>    MARK part                   later blocks: the same into `part`, then
//   part clear: MARK 0/scratch             "and" with what came before
//   <not net>  MARK 0/scratch              negated blocks take away
//   scratch set, the rest of the rule: verdict
import type { Family, Prefix } from '../../../lib/ip/mod.ts';
import { hasPorts, policyText, type Direction, type PolicyId, type Rule } from '../../../policy/mod.ts';
import {
  matchText,
  netMatch,
  portSetMatch,
  portsMatch,
  protocolWord,
  ruleForFamily,
  splitPorts,
  type Side,
} from './match.ts';
import { clearMark, isClear, isMarked, type Marks, setMark, setMaskedMark } from './marks.ts';

export type TableName = 'raw' | 'mangle' | 'nat' | 'filter';

/** Whose rules they are. */
export type RuleOwner = { readonly tier: string; readonly policy: PolicyId } | { readonly profile: string };

export type RuleSettings = {
  readonly family: Family;
  readonly table: TableName;
  readonly direction: Direction;
  readonly owner: RuleOwner;
  readonly marks: Marks;
  readonly denial: 'drop' | 'reject';
  readonly logPrefix: string;
  readonly logRate: string;
  readonly logBurst: number;
};

/** The lines of the rules of one policy or profile in one direction. */
export function ruleLines(rules: readonly Rule[], settings: RuleSettings): readonly string[] {
  const lines = rules.flatMap((rule, index) => linesOf(rule, index, settings));
  // The end of a chain returns anyway.
  while (lines.at(-1)?.endsWith('--jump RETURN') === true) lines.pop();
  return lines;
}

/** A comment is a fixed set of characters, and what is too long is cut. */
export const comment = (text: string): string =>
  `-m comment --comment "${text.replace(/[^\w @%+=:,./()[\]-]/g, '_').slice(0, 200)}"`;

/** `-j REJECT` is for the filter table only. */
export const denialOf = (table: TableName, denial: 'drop' | 'reject'): string =>
  table === 'filter' && denial === 'reject' ? 'REJECT' : 'DROP';

export const line = (...parts: readonly string[]): string => parts.filter((part) => part !== '').join(' ');

function linesOf(given: Rule, index: number, settings: RuleSettings): readonly string[] {
  if (isMute(given) || (given.http !== undefined && (given.protocol ?? tcp) !== tcp)) return [];
  const rule = ruleForFamily(withoutRequest(given), settings.family);
  if (rule === undefined) return [];
  return protocolsOf(rule, settings.family).flatMap((protocol) => {
    const { notProtocol: _named, ...rest } = rule;
    const one = protocol === undefined ? rule : { ...rest, protocol };
    return variantLines(
      one,
      isUnknown(given) && given.action === 'pass' ? 'deny' : given.action,
      index,
      settings,
    );
  });
}

/** Whether something that the rule asks for is not known here: HTTP is judged elsewhere. */
const isUnknown = ({ unresolved, http }: Rule): boolean => unresolved !== undefined || http !== undefined;

/** What is not known never allows; if it would deny or pass it denies. */
const isMute = (rule: Rule): boolean => isUnknown(rule) && (rule.action === 'allow' || rule.action === 'log');

const tcp = 6;
/** Only TCP carries requests. */
const withoutRequest = ({ http, ...rule }: Rule): Rule =>
  http === undefined ? rule : { ...rule, protocol: tcp };

const portProtocols = [6, 17, 33, 132, 136];
const icmpOf = (family: Family): number => (family === 4 ? 1 : 58);

/** The protocols that lines must name, as some matches need one: undefined where any will do, none where nothing matches. */
function protocolsOf(rule: Rule, family: Family): readonly (number | undefined)[] {
  const { protocol, notProtocol, source, destination } = rule;
  const sides = [source, destination];
  const asksPorts = sides.some((side) => side.ports ?? side.notPorts ?? side.notPortSets);
  const asksIcmp = rule.icmp?.type !== undefined || rule.notIcmp?.type !== undefined;
  const candidates = asksPorts ? portProtocols : asksIcmp ? [icmpOf(family)] : undefined;
  if (protocol !== undefined) {
    const isPossible =
      protocol !== notProtocol &&
      (!asksPorts || hasPorts(protocol)) &&
      (!asksIcmp || protocol === icmpOf(family));
    return isPossible ? [protocol] : [];
  }
  if (asksPorts && asksIcmp) return [];
  return candidates?.filter((candidate) => candidate !== notProtocol) ?? [undefined];
}

function variantLines(
  rule: Rule,
  action: Rule['action'],
  index: number,
  settings: RuleSettings,
): readonly string[] {
  const blocks = new Blocks(settings.marks);
  const source = blocks.take(rule, 'source', settings.family);
  const destination = blocks.take(rule, 'destination', settings.family);
  blocks.exclude('source', source);
  blocks.exclude('destination', destination);
  const rest: Rule = {
    ...rule,
    source: blocks.remaining(source),
    destination: blocks.remaining(destination),
  };
  const match = line(
    comment(`${ownerText(settings, index)} ${action}`),
    matchText(rest, settings.family),
    blocks.lines.length === 0 ? '' : isMarked(settings.marks.scratch),
  );
  return [...blocks.lines, ...verdictLines(match, action, settings)];
}

function verdictLines(match: string, action: Rule['action'], settings: RuleSettings): readonly string[] {
  const { marks, table, denial, owner } = settings;
  if (action === 'deny') return [line(match, '--jump', denialOf(table, denial))];
  if (action === 'log') {
    const target = `LOG --log-prefix "${logPrefix(settings)}" --log-level 5`;
    return [line(match, logRate(settings), '--jump', target)];
  }
  // A profile has no tier to leave: it just ends.
  if (action === 'pass' && 'profile' in owner) return [line(match, '--jump RETURN')];
  const mark = action === 'pass' ? marks.pass : marks.accept;
  return [line(match, '--jump', setMark(mark)), line(isMarked(mark), '--jump RETURN')];
}

/** As in the comments of nftables' rules, so that counters of both are read alike. */
const ownerText = ({ owner, direction }: RuleSettings, index: number): string =>
  'profile' in owner
    ? `profile ${owner.profile} ${direction}[${index}]`
    : `${owner.tier} ${policyText(owner.policy)} ${direction}[${index}]`;

const logRate = ({ logRate: rate, logBurst }: RuleSettings): string =>
  rate === '' ? '' : `-m limit --limit ${rate} --limit-burst ${logBurst}`;

/** The kernel takes 29 characters. */
const logPrefixLength = 29;

/** Tier, kind, name, and name with namespace in place of `%t %k %n %p` (FX-055). */
function logPrefix({ logPrefix: format, owner }: RuleSettings): string {
  const [kind = '', path = ''] =
    'profile' in owner ? ['pro', owner.profile] : split(policyText(owner.policy));
  const words: Readonly<Record<string, string>> = {
    '%t': 'tier' in owner ? owner.tier : '',
    '%k': kind,
    '%n': 'policy' in owner ? owner.policy.name : path,
    '%p': path,
  };
  const text = format.replace(/%[tknp]/g, (word) => words[word] ?? word).replace(/["\\]/g, '_');
  return `${text.slice(0, logPrefixLength - 2)}: `;
}
const split = (text: string): readonly string[] => [
  text.slice(0, text.indexOf(':')),
  text.slice(text.indexOf(':') + 1),
];

type SideMatch = Rule['source'];
type Taken = {
  readonly side: SideMatch;
  readonly nets: readonly Prefix[];
  readonly notNets: readonly Prefix[];
};

/** Collects the lines before the deciding one. Positive blocks come first, so that the first of them may write into
 *  `scratch` directly. */
class Blocks {
  readonly lines: string[] = [];
  readonly #marks: Marks;
  #hasPositive = false;

  constructor(marks: Marks) {
    this.#marks = marks;
  }

  /** Alternatives that one line cannot hold become a block; gives what is left for the deciding line. */
  take(rule: Rule, name: Side, family: Family): Taken {
    const { nets = [], notNets = [], ports, portSets = [], ...side } = rule[name];
    const lists = splitPorts(ports);
    const hasPortBlock = lists.length + portSets.length > 1;
    if (hasPortBlock) {
      const protocol = rule.protocol === undefined ? '' : `-p ${protocolWord(rule.protocol)}`;
      this.#either([
        ...lists.map((list) => line(protocol, portsMatch(name, list))),
        ...portSets.map((id) => portSetMatch(family, name, id)),
      ]);
    }
    if (nets.length > 1) this.#either(nets.map((net) => netMatch(name, net)));
    return {
      side: hasPortBlock
        ? side
        : { ...side, ...(ports && { ports }), ...(portSets.length > 0 && { portSets }) },
      nets: nets.length > 1 ? [] : nets,
      notNets,
    };
  }

  /** Networks that are excluded, unless there is just one and the line has room for it. */
  exclude(name: Side, { nets, notNets }: Taken): void {
    if (nets.length + notNets.length <= 1) return;
    if (notNets.length > 0) this.#begin(this.#marks.scratch);
    for (const net of notNets)
      this.lines.push(line(netMatch(name, net), '--jump', clearMark(this.#marks.scratch)));
  }

  remaining({ side, nets, notNets }: Taken): SideMatch {
    const hasRoom = nets.length + notNets.length <= 1;
    return {
      ...side,
      ...(nets.length > 0 && { nets }),
      ...(hasRoom && notNets.length > 0 && { notNets }),
    };
  }

  #begin(bits: string): void {
    if (this.lines.length > 0) return;
    const { scratch, part } = this.#marks;
    const mask = `0x${(Number(scratch) | Number(part)).toString(16)}`;
    this.lines.push(line('--jump', setMaskedMark(bits, mask)));
  }

  #either(matches: readonly string[]): void {
    const { scratch, part } = this.#marks;
    this.#begin('0');
    const isFirst = !this.#hasPositive;
    this.#hasPositive = true;
    for (const match of matches) this.lines.push(line(match, '--jump', setMark(isFirst ? scratch : part)));
    if (isFirst) return;
    this.lines.push(line(isClear(part), '--jump', clearMark(scratch)));
    // A later block starts anew.
    this.lines.push(line('--jump', clearMark(part)));
  }
}
