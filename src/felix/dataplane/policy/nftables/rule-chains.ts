// Chains of rules: what becomes of a packet that a rule decided about. Each is made when its first user comes and goes with
// the last; in between nothing touches it, so its counter lives on whatever happens to the programs around it, across
// restarts, too.
//
//   rule-default_np_shop_web_in0_allow      counter return      comment "default np:shop/web ingress[0] allow"
//
// What an allowed packet does depends on the place: it returns to the chain that asked; before connection tracking and
// before translation it also gets the mark that lets it pass the host's later steps (FX-040, FX-041).
import { createHash } from 'node:crypto';
import type { Family } from '../../../../lib/ip/mod.ts';
import { policyText, type Stage } from '../../../../policy/mod.ts';
import type { NftRuleText } from '../../nftables.ts';
import type { Decider, LogStep, PolicySettings, ProgramDecision, RuleChains } from '../types.ts';
import type { RowSink } from './rows.ts';
import { nftFamily } from './rows.ts';

const hex = (bits: number): string => `0x${(bits >>> 0).toString(16)}`;

/** The bit of the packet's mark that says that a host's early policy let it in: the lowest that is ours (FX-037). Used only
 *  where there is such policy. */
const waivedBit = ({ markMask }: PolicySettings): number => (markMask & -markMask) >>> 0;
export const unsetWaived = (settings: PolicySettings): string =>
  `meta mark set meta mark and ${hex(~waivedBit(settings))}`;
export const setWaived = (settings: PolicySettings): string =>
  `${unsetWaived(settings)} xor ${hex(waivedBit(settings))}`;
export const isWaived = (settings: PolicySettings): string =>
  `meta mark and ${hex(waivedBit(settings))} == ${hex(waivedBit(settings))}`;

/** Places whose chains differ: reject is known to filter hooks only, and early places mark what they allow. */
export type ChainPlace = 'filter' | 'untracked' | 'preDnat';
export const placeOf = (stage: Stage): ChainPlace =>
  stage === 'untracked' || stage === 'preDnat' ? stage : 'filter';

type Entry = { readonly family: Family; readonly decision: ProgramDecision; users: number };

/** The counted chains of one place. */
export class RuleChainBook implements RuleChains {
  readonly #rows: RowSink;
  readonly #place: ChainPlace;
  readonly #entries = new Map<string, Entry>();
  #settings: PolicySettings;

  constructor(rows: RowSink, place: ChainPlace, settings: PolicySettings) {
    this.#rows = rows;
    this.#place = place;
    this.#settings = settings;
  }

  use(family: Family, decision: ProgramDecision): string {
    const name = ruleChainName(decision, this.#place);
    const key = `${family} ${name}`;
    const entry = this.#entries.get(key);
    if (entry !== undefined) entry.users++;
    else {
      this.#entries.set(key, { family, decision, users: 1 });
      this.#put(family, name, decision);
    }
    return name;
  }

  release(family: Family, decision: ProgramDecision): void {
    const name = ruleChainName(decision, this.#place);
    const key = `${family} ${name}`;
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.users--;
    if (entry.users > 0) return;
    this.#entries.delete(key);
    this.#rows.drop(`${nftFamily(family)} chain ${name}`);
  }

  /** What a denied packet meets, and how packets are logged, may change while the chains are in use. */
  configure(settings: PolicySettings): void {
    this.#settings = settings;
    for (const { family, decision } of this.#entries.values())
      this.#put(family, ruleChainName(decision, this.#place), decision);
  }

  #put(family: Family, name: string, { logs, decider }: ProgramDecision): void {
    const rules: NftRuleText[] = [
      ...logs.map((step) => ({ expression: logExpression(step, this.#settings), note: logNote(step) })),
      { expression: `counter ${this.#verdict(decider.action)}`, note: deciderNote(decider) },
    ];
    const row = {
      kind: 'chain',
      family: nftFamily(family),
      chain: { name },
      rules,
      closed: ['drop'],
    } as const;
    this.#rows.put(row);
  }

  #verdict(action: 'allow' | 'deny'): string {
    if (action === 'deny')
      return this.#place === 'filter' && this.#settings.denial === 'reject' ? 'reject' : 'drop';
    if (this.#place === 'filter') return 'return';
    return `${setWaived(this.#settings)}${this.#place === 'untracked' ? ' notrack' : ''} return`;
  }
}

const directionWord = { ingress: 'in', egress: 'out' } as const;

function deciderName(decider: Decider): string {
  const way = directionWord[decider.direction];
  switch (decider.by) {
    case 'rule':
      return `${decider.tier}_${policyWords(decider.policy)}_${way}${decider.index}_${decider.action}`;
    case 'profile-rule':
      return `profile_${decider.profile}_${way}${decider.index}_${decider.action}`;
    case 'end-of-tier':
      return `${decider.tier}_end_${way}_${decider.action}`;
    default:
      return `end_${way}_${decider.action}`;
  }
}

/** Names of resources have no underscore, so it keeps the parts apart. */
const policyWords = (policy: Parameters<typeof policyText>[0]): string =>
  policyText(policy).replace(/[:/]/g, '_');

/** The longest name that stays as it is. */
const longestName = 72;

export function ruleChainName({ logs, decider }: ProgramDecision, place: ChainPlace): string {
  const logged = logs.length === 0 ? '' : `_log-${digest(JSON.stringify(logs))}`;
  const suffix = place === 'filter' ? '' : `_${place}`;
  return shortened(`rule-${deciderName(decider)}${logged}${suffix}`);
}

/** Deterministic, and one name for one text. */
export function shortened(name: string): string {
  const isPlain = /^[\w.-]+$/.test(name);
  if (name.length <= longestName && isPlain) return name;
  return `${name.replace(/[^\w.-]/g, '-').slice(0, longestName - 13)}_${digest(name)}`;
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

export function deciderNote(decider: Decider): string {
  switch (decider.by) {
    case 'rule':
      return `${decider.tier} ${policyText(decider.policy)} ${decider.direction}[${decider.index}] ${decider.action}`;
    case 'profile-rule':
      return `profile ${decider.profile} ${decider.direction}[${decider.index}] ${decider.action}`;
    case 'end-of-tier':
      return `${decider.tier} end of tier ${decider.direction} ${decider.action}`;
    default:
      return `end ${decider.direction} ${decider.action}`;
  }
}

export const logNote = (step: LogStep): string => `${logOwner(step)} ${step.direction}[${step.index}] log`;

const logOwner = ({ tier, policy, profile }: LogStep): string =>
  policy === undefined ? `profile ${profile ?? ''}` : `${tier ?? ''} ${policyText(policy)}`;

/** Kernel and nft end a prefix after 127 bytes. */
const longestPrefix = 127;

/** The prefix with its tokens filled in (FX-055): %t tier, %k kind, %p policy with its namespace, %n its name. */
export function logExpression(step: LogStep, settings: PolicySettings): string {
  const { policy, profile } = step;
  const words: Readonly<Record<string, string>> = {
    '%t': step.tier ?? 'profile',
    '%k': policy === undefined ? 'pro' : (policyText(policy).split(':')[0] ?? ''),
    '%n': policy?.name ?? profile ?? '',
    '%p':
      policy === undefined
        ? (profile ?? '')
        : `${policy.namespace === undefined ? '' : `${policy.namespace}/`}${policy.name}`,
  };
  const text = settings.logPrefix.replace(/%[tknp]/g, (token) => words[token] ?? token);
  const prefix = `${text.replace(/["\\\n]/g, '')}: `.slice(0, longestPrefix);
  const rate = /^(\d+)\/(second|minute|hour|day)$/.exec(settings.logRate);
  const limit = rate === null ? '' : `limit rate ${settings.logRate} burst ${settings.logBurst} packets `;
  return `${limit}counter log prefix "${prefix}"`;
}
