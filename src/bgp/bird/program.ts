// Policy programs as BIRD 2 filters: rule by rule, in the same order, so that a reader finds every rule of the plan again.
// Pure text. The differential test holds the outcome equal to what the compiled programs of bgp/policy do.
import { prefixFamily, prefixLength, type Family, type Prefix } from '../../lib/ip/mod.ts';
import {
  localPrefOf,
  parseCommunity,
  type PolicyAction,
  type PolicyMatch,
  type PolicyProgram,
  type PolicyRule,
  type PrefixPattern,
  type RouteSource,
} from '../policy/mod.ts';

/** Where a program runs: that decides where the priority stands and which attributes there are. */
export type FilterPlace = 'import' | 'export' | 'kernel';

export type FilterOptions = {
  readonly name: string;
  readonly place: FilterPlace;
  readonly family: Family;
  /** Statements before the rules. */
  readonly before?: readonly string[];
  /** The kind of peer, for `peerType` conditions. */
  readonly peerType?: 'ibgp' | 'ebgp';
};

/** BIRD's word for where a route comes from. */
const sources: Readonly<Record<RouteSource, string>> = {
  static: 'RTS_STATIC',
  direct: 'RTS_DEVICE',
  kernel: 'RTS_INHERIT',
  bgp: 'RTS_BGP',
};

/** The functions that filters call; once per configuration. */
export const filterFunctions = (normalPriority: Readonly<Record<Family, number>>): readonly string[] => [
  '# Priority is the kernel metric; between nodes it travels as local preference.',
  'function calico_priority()',
  '{',
  '  if (source = RTS_BGP) then {',
  '    if defined(bgp_local_pref) then return 2147483647 - bgp_local_pref;',
  '    return 2147483547;',
  '  }',
  '  if defined(bgp_local_pref) then return 2147483647 - bgp_local_pref;',
  '  if defined(krt_metric) then return krt_metric;',
  `  if (source = RTS_STATIC && net.type = NET_IP6) then return ${normalPriority[6]};`,
  `  if (source = RTS_STATIC) then return ${normalPriority[4]};`,
  '  return 1024;',
  '}',
];

/** The preference a route of this node leaves with, if it leaves. */
const localRoutesGetPreference: readonly string[] = [
  '  if (source != RTS_BGP) then {',
  '    if (calico_priority() > 2147483647) then bgp_local_pref = 0;',
  '    else bgp_local_pref = 2147483647 - calico_priority();',
  '  }',
];

/** Only what was learned by BGP has a metric to be made. Metric 0 would mean 1024 in IPv6. */
const learnedRoutesGetMetric: readonly string[] = [
  '  if (source != RTS_BGP) then reject;',
  '  krt_metric = calico_priority();',
  '  if (krt_metric = 0) then krt_metric = 1;',
];

export function filterText(program: PolicyProgram, options: FilterOptions): string {
  const { name, place, before = [] } = options;
  return [
    `filter ${name}`,
    '{',
    ...before.map((line) => `  ${line}`),
    ...(place === 'export' ? localRoutesGetPreference : []),
    ...(place === 'kernel' ? learnedRoutesGetMetric : []),
    ...program.rules.flatMap((rule) => ruleLines(rule, options)),
    `  ${program.otherwise};`,
    '}',
  ].join('\n');
}

function ruleLines(rule: PolicyRule, options: FilterOptions): string[] {
  const conditions = rule.when.map((match) => matchText(match, options));
  const comment = `  # ${rule.name.replace(/[^\x20-\x7e]/g, '?')}`;
  if (conditions.includes('false')) return [`${comment}: never`];
  const tests = conditions.filter((c) => c !== 'true');
  const actions = rule.actions.flatMap((action) => actionLines(action, options));
  if (tests.length === 0) return [comment, ...actions.map((a) => `  ${a}`)];
  return [comment, `  if (${tests.join(' && ')}) then {`, ...actions.map((a) => `    ${a}`), '  }'];
}

/** A condition, always in parentheses or atomic; `true` and `false` when it is known already. */
function matchText(match: PolicyMatch, { family, peerType }: FilterOptions): string {
  switch (match.match) {
    case 'prefix':
      return negated(prefixText(match.any, family), match.not);
    case 'source':
      return negated(anyOf(match.any.map((s) => `source = ${sources[s]}`)), match.not);
    case 'interface':
      // Without this a `*` would match routes without an interface.
      return negated(
        `(ifname != "" && ${anyOf(match.any.map((glob) => `ifname ~ "${quoted(glob)}"`))})`,
        match.not,
      );
    case 'community':
      return communityText(match.value, (list, value) => `(${value} ~ ${list})`) ?? 'false';
    case 'asPathPrefix':
      return match.path.length === 0 ? 'true' : `(bgp_path ~ [= ${match.path.join(' ')} * =])`;
    case 'priority':
      return `(calico_priority() ${match.is === 'equal' ? '=' : '<'} ${match.value})`;
    case 'peerType':
      return peerType === undefined ? 'false' : String(peerType === match.is);
    case 'nextHop':
      return negated(nextHopText(match.any, family), match.not);
    default:
      return match satisfies never;
  }
}

const negated = (text: string, not: true | undefined): string => {
  if (not !== true) return text;
  return text === 'true' ? 'false' : text === 'false' ? 'true' : `!${text}`;
};

const anyOf = (tests: readonly string[]): string =>
  tests.length === 0 ? 'false' : `(${tests.join(' || ')})`;

function prefixText(patterns: readonly PrefixPattern[], family: Family): string {
  const set = patterns.flatMap(({ prefix, min, max }) => {
    const length = prefixLength(prefix);
    const low = Math.max(min, length);
    const high = Math.min(max, family === 4 ? 32 : 128);
    if (prefixFamily(prefix) !== family || low > high) return [];
    return [low === length && high === length ? prefix : `${prefix}{${low},${high}}`];
  });
  return set.length === 0 ? 'false' : `(net ~ [ ${set.join(', ')} ])`;
}

/** The BGP next hop, or the gateway of a route that another program put into the kernel. */
function nextHopText(prefixes: readonly Prefix[], family: Family): string {
  const own = prefixes.filter((p) => prefixFamily(p) === family);
  if (own.length === 0) return 'false';
  const bgp = anyOf(own.map((p) => `bgp_next_hop ~ ${p}`));
  const gateway = anyOf(own.map((p) => `gw ~ ${p}`));
  return (
    `((source = RTS_BGP && defined(bgp_next_hop) && ${bgp}) || ` +
    `(source = RTS_INHERIT && dest = RTD_UNICAST && gw != :: && ${gateway}))`
  );
}

function actionLines(action: PolicyAction, { place }: FilterOptions): string[] {
  switch (action.do) {
    case 'accept':
    case 'reject':
      return [`${action.do};`];
    case 'setPriority':
      return place === 'kernel'
        ? [`krt_metric = ${action.value};`]
        : [`bgp_local_pref = ${localPrefOf(action.value) >>> 0};`];
    case 'addCommunity': {
      const text = communityText(action.value, (list, value) => `${list}.add(${value});`);
      return text === undefined ? [] : [text];
    }
    case 'prepend':
      // Each call puts one number in front.
      return action.path.toReversed().map((as) => `bgp_path.prepend(${as});`);
    case 'setMed':
      return [`bgp_med = ${action.value};`];
    case 'setPreference':
      return [`preference = ${action.value};`];
    case 'setTunnel':
      // The order matters: the device clears the gateway, and only an on-link one may lie outside of its networks.
      return action.device === ''
        ? []
        : [`ifname = "${quoted(action.device)}";`, 'onlink = true;', 'gw = bgp_next_hop;'];
    default:
      return action satisfies never;
  }
}

function communityText(text: string, write: (list: string, value: string) => string): string | undefined {
  const community = parseCommunity(text);
  if (community === undefined) return undefined;
  if (community.kind === 'large')
    return write('bgp_large_community', `(${community.value.replaceAll(':', ', ')})`);
  const value = community.value as number;
  return write('bgp_community', `(${value >>> 16}, ${value & 0xffff})`);
}

/** BIRD's strings end at the next quote and know no escapes; what cannot be said is left out. */
export const quoted = (text: string): string => text.replace(/["\n\r]/g, '');
