// A BGP plan as a configuration of BIRD 2. Pure: equal plans give equal text, and only the text decides whether the running
// BIRD has to read it again. The order of things and their names are those of Calico's own bird.cfg: kernel, device and
// direct protocols, the template, static routes, then one protocol per session (Mesh_…, Global_…, Node_…).
//
// What BIRD 2 needs and Calico's BIRD 1.6 did not: `metric 0` (else every route would get 32), a word against device
// routes in the kernel, and for tunnels an on-link next hop instead of the fork's krt_tunnel.
import { familyOf, prefixFamily, type Family, type Prefix } from '../../lib/ip/mod.ts';
import type { BgpPlan, PlanPeer } from '../plan/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';
import { filterFunctions, filterText, quoted } from './program.ts';

export type RenderContext = {
  /** By `secret/key`. A session whose password is missing is made without one, as Calico does. */
  readonly passwords?: ReadonlyMap<string, string>;
};
export type Rendered = {
  /** undefined: the node has no router id, so that BIRD cannot run. */
  readonly text: string | undefined;
  /** Sessions that cannot be written down, with the reason. */
  readonly refused: readonly { readonly peer: string; readonly reason: string }[];
};

const families = [4, 6] as const;
const rejectAll: PolicyProgram = { name: 'reject-all', rules: [], otherwise: 'reject' };
/** As the native engine: a dead peer is noticed in a minute and a half. */
const holdTimeSeconds = 90;
const defaultPort = 179;

export function renderBird(plan: BgpPlan, context: RenderContext = {}): Rendered {
  const { local } = plan;
  if (local.routerId === undefined) return { text: undefined, refused: [] };
  const refused: { peer: string; reason: string }[] = [];
  const peers = plan.peers.filter((peer) => {
    if (/^[^"\n\r\0]*$/.test(passwordOf(peer, context) ?? '')) return true;
    refused.push({
      peer: peer.name,
      reason: 'Its password has a quote or a line break, which BIRD cannot be told.',
    });
    return false;
  });
  const sessions = peers.map((peer) => sessionText(plan, peer, passwordOf(peer, context)));
  const text = [
    '# Written by margay from the BGP plan of this node; changes here are lost.',
    '',
    ...logging(plan.logSeverity),
    `router id ${local.routerId};`,
    '',
    ...section('Filters', [...filterFunctions(plan.normalPriority), '', ...filters(plan, peers)]),
    ...section('Kernel, devices and own routes', [
      'protocol device {',
      '  scan time 2;',
      '}',
      'protocol direct {',
      '  ipv4;',
      '  ipv6;',
      `  interface ${[...plan.excludedInterfaces.map((glob) => `-"${quoted(glob)}"`), '"*"'].join(', ')};`,
      '}',
      ...learningFilter,
      ...families.flatMap((family) => kernelText(family)),
      ...families.flatMap((family) => staticText(plan, family)),
    ]),
    ...section('Sessions', [...templateText(plan), ...sessions.flatMap((s) => ['', ...s])]),
  ].join('\n');
  return { text: `${text}\n`, refused };
}

const section = (title: string, lines: readonly string[]): string[] => [
  `# ${'─'.repeat(4)} ${title} ${'─'.repeat(Math.max(4, 100 - title.length))}`.replaceAll('─', '-'),
  ...lines,
  '',
];

function logging(severity: string): string[] {
  const levels = ['info', 'remote', 'warning', 'error', 'auth', 'fatal', 'bug'];
  switch (severity) {
    case 'Debug':
    case 'Trace':
      return ['log stderr all;', 'debug protocols all;'];
    case 'Warning':
      return [`log stderr { ${levels.slice(2).join(', ')} };`];
    case 'Error':
    case 'Fatal':
      return [`log stderr { ${levels.slice(3).join(', ')} };`];
    default:
      return [`log stderr { ${['trace', ...levels].join(', ')} };`, 'debug protocols { states };'];
  }
}

// ── filters ──────────────────────────────────────────────────────────────────────────────────────────────────────────
/** `export.v4.0123…` → `calico_export_to_bgp_peers_v4_0123…`. */
function filterName(key: string): string {
  const [kind = '', ...rest] = key.split('.');
  const words: Readonly<Record<string, string>> = {
    export: 'calico_export_to_bgp_peers',
    import: 'calico_import_from_bgp_peers',
  };
  return [words[kind] ?? `calico_${kind}`, ...rest]
    .join('_')
    .replace(/[^A-Za-z0-9_]/g, '_')
    .slice(0, 63);
}

/** A program may speak of the kind of peer, so each kind has its own filter where it does. */
const nameFor = (plan: BgpPlan, key: string, peer: PlanPeer): string =>
  speaksOfPeers(plan.policies[key]) ? `${filterName(key)}_${peer.peerType}`.slice(-63) : filterName(key);

const speaksOfPeers = (program: PolicyProgram | undefined): boolean =>
  program?.rules.some((rule) => rule.when.some((m) => m.match === 'peerType')) === true;

const kernelFilterName = (family: Family): string =>
  family === 4 ? 'calico_kernel_programming' : 'calico_kernel_programming_v6';

function filters(plan: BgpPlan, peers: readonly PlanPeer[]): string[] {
  const texts = new Map<string, string>();
  for (const peer of peers) {
    for (const place of ['import', 'export'] as const) {
      const key = place === 'import' ? peer.importPolicy : peer.exportPolicy;
      const name = nameFor(plan, key, peer);
      if (texts.has(name)) continue;
      const { family, peerType } = peer;
      texts.set(name, filterText(plan.policies[key] ?? rejectAll, { name, place, family, peerType }));
    }
  }
  const sorted = [...texts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
  for (const family of families) {
    const program = plan.policies[plan.kernelPolicy[family]] ?? rejectAll;
    const before = kernelPrelude(plan, family);
    sorted.push(filterText(program, { name: kernelFilterName(family), place: 'kernel', family, before }));
  }
  return sorted.flatMap((text) => [text, '']);
}

/** Own blocks are blackholes in the kernel, whoever writes them first: routes that BIRD would not want there it removes. */
function kernelPrelude(plan: BgpPlan, family: Family): string[] {
  const wanted = [
    ...plan.origins.filter((o) => o.kind === 'block' && o.blackhole).map((o) => o.prefix),
    ...plan.staticRoutes.map((r) => r.prefix),
  ].filter((p) => prefixFamily(p) === family);
  if (wanted.length === 0) return [];
  return [`if (source = RTS_STATIC && net ~ [ ${wanted.join(', ')} ]) then accept;`];
}

// ── protocols ────────────────────────────────────────────────────────────────────────────────────────────────────────
/** What resolves a next hop costs its metric; BIRD alone would call every such cost unknown. Behind a router is always
 *  farther than next door. */
const learningFilter: readonly string[] = [
  'filter calico_learn_from_kernel',
  '{',
  '  if (gw = ::) then igp_metric = 0;',
  '  else if defined(krt_metric) then igp_metric = krt_metric + 1;',
  '  else igp_metric = 1;',
  '  accept;',
  '}',
];

const kernelText = (family: Family): string[] => [
  `protocol kernel kernel${family} {`,
  '  metric 0;',
  '  learn;',
  '  persist;',
  '  scan time 2;',
  '  merge paths on;',
  '  graceful restart;',
  `  ipv${family} {`,
  '    import filter calico_learn_from_kernel;',
  `    export filter ${kernelFilterName(family)};`,
  '  };',
  '}',
];

function staticText(plan: BgpPlan, family: Family): string[] {
  const of = (prefix: Prefix): boolean => prefixFamily(prefix) === family;
  const routes = [
    ...plan.origins.filter((o) => of(o.prefix)).map((o) => `route ${o.prefix} blackhole;`),
    ...plan.staticRoutes
      .filter((r) => of(r.prefix))
      .map((r) => `route ${r.prefix} via ${r.gateway} { igp_metric = 1; };`),
  ];
  return [`protocol static static${family} {`, `  ipv${family};`, ...routes.map((r) => `  ${r}`), '}'];
}

/** Without `deterministic med`, like Calico: with it BIRD 2.0 forgets to take a next hop that was withdrawn out of a multipath
 *  route until its next scan of the kernel (docs/bird-engine.md). */
const templateText = ({ local }: BgpPlan): string[] => [
  'template bgp bgp_template {',
  `  local as ${local.as};`,
  '  graceful restart;',
  '  connect delay time 2;',
  '  connect retry time 5;',
  '  error wait time 5, 30;',
  '}',
];

function sessionText(plan: BgpPlan, peer: PlanPeer, password: string | undefined): string[] {
  const { local } = plan;
  const { ttlSecurityHops, keepaliveTimeSeconds } = peer;
  const bound = local.listen.addresses.find((a) => familyOf(a) === familyOf(peer.address));
  const source = peer.sourceAddress ?? bound;
  const listening = [
    source === undefined ? '' : ` ${source}`,
    local.listen.port === defaultPort ? '' : ` port ${local.listen.port}`,
  ].join('');
  const lines = [
    `local${listening} as ${peer.localAs};`,
    ...(bound === undefined ? [] : ['strict bind yes;']),
    `neighbor ${peer.address}${peer.port === defaultPort ? '' : ` port ${peer.port}`} as ${peer.as};`,
    ...(peer.passive ? ['passive on;'] : []),
    ...(ttlSecurityHops === undefined
      ? ['multihop;']
      : ['ttl security on;', `multihop ${Math.max(1, ttlSecurityHops)};`]),
    ...(password === undefined ? [] : [`password "${password}";`]),
    ...(peer.rrClient === undefined ? [] : ['rr client;', `rr cluster id ${peer.rrClient.clusterId};`]),
    `hold time ${keepaliveTimeSeconds === undefined ? holdTimeSeconds : keepaliveTimeSeconds * 3};`,
    ...(keepaliveTimeSeconds === undefined ? [] : [`keepalive time ${keepaliveTimeSeconds};`]),
    ...(peer.gracefulRestartTimeSet ? [`graceful restart time ${peer.gracefulRestartTimeSeconds};`] : []),
    ...(peer.allowLocalAs > 0 ? [`allow local as ${peer.allowLocalAs};`] : []),
  ];
  const channel = [
    'gateway recursive;',
    ...(peer.addPath ? ['add paths on;'] : []),
    ...(peer.nextHopMode === 'auto' ? [] : [`next hop ${peer.nextHopMode};`]),
    `import filter ${nameFor(plan, peer.importPolicy, peer)};`,
    `export filter ${nameFor(plan, peer.exportPolicy, peer)};`,
  ];
  return [
    `protocol bgp ${peer.name} from bgp_template {`,
    ...lines.map((l) => `  ${l}`),
    `  ipv${peer.family} {`,
    ...channel.map((l) => `    ${l}`),
    '  };',
    '}',
  ];
}

function passwordOf({ password }: PlanPeer, { passwords }: RenderContext): string | undefined {
  return password && passwords?.get(`${password.secretName}/${password.secretKey}`);
}
