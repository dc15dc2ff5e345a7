// Chains that are there whatever endpoints there are, and the rules that hook them into the kernel's (FX-030, FX-040…FX-046).
//
//   raw     PREROUTING   marks cleared · source check of workloads · untracked policy of hosts
//   mangle  PREROUTING   policy of hosts before translation
//   filter  FORWARD      hosts' forward policy in · workload from · workload to · hosts' forward policy out
//   filter  INPUT        workloads to the host · hosts' policy         OUTPUT  own workloads are free · hosts' policy
//   mangle  POSTROUTING  hosts' policy for what the host sends to a translated address: its interface is known here only
//   nat     POSTROUTING  nat-outgoing (nat.ts)
//
// The mark `accept` outlives the tables: what was allowed early passes later ones unasked.
import type { Family } from '../../../lib/ip/mod.ts';
import type { Tunnels } from '../overlay/types.ts';
import { gatewayAddress } from '../routes.ts';
import { failsafeChains, failsafeLines, type ChainContext } from './chains.ts';
import type { NamedChain } from './dispatch.ts';
import { clearMark, isClear, isMarked, setMark } from './marks.ts';
import { portsMatch, setMatch } from './match.ts';
import { dispatchChains } from './names.ts';
import { allHosts, allVxlanHosts, serviceLoopJump } from './nat.ts';
import { comment, denialOf, line, type TableName } from './rules.ts';
import type { Row } from './types.ts';

type Context = Omit<ChainContext, 'table'> & {
  readonly family: Family;
  readonly place: 'insert' | 'append';
  readonly tunnels: Tunnels;
};

type Hook = Extract<Row, { readonly kind: 'hook' }>;

export const filterAllowance = ({ settings }: Pick<Context, 'settings'>): 'ACCEPT' | 'RETURN' =>
  settings.filterAllowance === 'accept' ? 'ACCEPT' : 'RETURN';
export const mangleAllowance = ({ settings }: Pick<Context, 'settings'>): 'ACCEPT' | 'RETURN' =>
  settings.mangleAllowance === 'accept' ? 'ACCEPT' : 'RETURN';

export function staticRows(context: Context): readonly Row[] {
  const tables: readonly (readonly [TableName, readonly NamedChain[]])[] = [
    ['raw', [...failsafe(context, 'raw'), rawPrerouting(context), rawOutput(context)]],
    ['mangle', [...failsafe(context, 'mangle'), manglePrerouting(context), manglePostrouting(context)]],
    [
      'filter',
      [...failsafe(context, 'filter'), toHost(context), input(context), forward(context), output(context)],
    ],
  ];
  const { family } = context;
  return [
    ...tables.flatMap(([table, chains]) =>
      chains.map((chain): Row => ({ kind: 'chain', family, table, ...chain })),
    ),
    ...hooks(context),
  ];
}

/** Chains of the kernel that are hooked, by table. */
export const hookedChains: readonly (readonly [TableName, readonly string[]])[] = [
  ['raw', ['PREROUTING', 'OUTPUT']],
  ['mangle', ['PREROUTING', 'POSTROUTING']],
  ['filter', ['INPUT', 'FORWARD', 'OUTPUT']],
];

function hooks(context: Context): readonly Hook[] {
  const { family, marks, place } = context;
  return hookedChains.flatMap(([table, chains]) =>
    chains.map((chain): Hook => {
      // What passed all policies is let through after the rules of others; the mark tells mangle POSTROUTING that the
      // packet is not the host's own.
      const last =
        table === 'filter' && chain === 'FORWARD'
          ? [
              line(
                comment('Policy allowed the packet'),
                isMarked(marks.accept),
                '--jump',
                filterAllowance(context),
              ),
              line('--jump', setMark(marks.accept)),
            ]
          : [];
      return { kind: 'hook', family, table, chain, place, first: [`--jump cali-${chain}`], last };
    }),
  );
}

const failsafe = (context: Context, table: TableName): readonly NamedChain[] =>
  (['ingress', 'egress'] as const).map((direction) => ({
    name: failsafeChains[direction],
    rules: failsafeLines(direction, context.family, { ...context, table }),
  }));

/** Packets of tunnels that other nodes send here, or that go to them. */
function tunnelMatches(
  { family, settings, tunnels }: Context,
  side: 'source' | 'destination',
): readonly string[] {
  const here = side === 'source' ? '--dst-type LOCAL' : '--src-type LOCAL';
  const from = (set: string): string => `${setMatch(family, side, set)} -m addrtype ${here}`;
  return [
    ...(family === 4 && tunnels.ipip ? [line('-p 4', from(allHosts))] : []),
    ...((family === 4 ? tunnels.vxlan : tunnels.vxlanV6)
      ? [line('-p udp', portsMatch('destination', [portRange(settings.vxlanPort)]), from(allVxlanHosts))]
      : []),
    // WireGuard knows by itself whom it talks to.
    ...(settings.wireguardPorts[family] === undefined
      ? []
      : [
          line(
            '-p udp',
            portsMatch('destination', [portRange(settings.wireguardPorts[family])]),
            `-m addrtype ${here}`,
          ),
        ]),
  ];
}

/** Both directions of a VXLAN flow look like flows of their own: to track them is of no use (FX-040). */
const untrackedTunnels = ({ family, settings, tunnels }: Context): readonly string[] =>
  (family === 4 ? tunnels.vxlan : tunnels.vxlanV6)
    ? [line('-p udp', portsMatch('destination', [portRange(settings.vxlanPort)]), '--jump CT --notrack')]
    : [];

const portRange = (port: number) => ({ first: port, last: port });

const workloads = ({ settings }: Context, by: 'in' | 'out', rest: string): readonly string[] =>
  settings.interfacePrefixes.map((prefix) => line(`--${by}-interface ${prefix}+`, rest));

/** Asked for by raw: whether a workload may send from a foreign address; filled by the endpoints that may. */
export const sourceCheckChain = 'cali-rpf-skip';

const rawPrerouting = (context: Context): NamedChain => {
  const { marks } = context;
  return {
    name: 'cali-PREROUTING',
    rules: [
      line('--jump', clearMark(marks.all)),
      ...untrackedTunnels(context),
      ...workloads(context, 'in', line('--jump', setMark(marks.scratch))),
      line(isMarked(marks.scratch), '--jump', sourceCheckChain),
      // The way back to the source must be the interface it came by.
      line(
        comment('Source is not of the workload'),
        isMarked(marks.scratch),
        '-m rpfilter --validmark --invert --jump',
        denialOf('raw', context.settings.denial),
      ),
      line(isClear(marks.scratch), '--jump', dispatchChains.fromHost),
      line(isMarked(marks.accept), '--jump ACCEPT'),
    ],
  };
};

const rawOutput = (context: Context): NamedChain => ({
  name: 'cali-OUTPUT',
  rules: [
    line('--jump', clearMark(context.marks.all)),
    line('--jump', dispatchChains.toHost),
    ...untrackedTunnels(context),
    line(isMarked(context.marks.accept), '--jump ACCEPT'),
  ],
});

const manglePrerouting = (context: Context): NamedChain => {
  const allow = mangleAllowance(context);
  const isAllowed = isMarked(context.marks.accept);
  return {
    name: 'cali-PREROUTING',
    rules: [
      line('-m conntrack --ctstate RELATED,ESTABLISHED --jump', allow),
      line(isAllowed, '--jump', allow),
      line('--jump', dispatchChains.fromHost),
      line(comment('Host endpoint policy allowed the packet'), isAllowed, '--jump', allow),
    ],
  };
};

const manglePostrouting = ({ marks }: Context): NamedChain => ({
  name: 'cali-POSTROUTING',
  rules: [
    line(isMarked(marks.accept), '--jump RETURN'),
    line('--jump', clearMark(marks.all)),
    line('-m conntrack --ctstate DNAT --jump', dispatchChains.toHost),
    line(comment('Host endpoint policy allowed the packet'), isMarked(marks.accept), '--jump RETURN'),
  ],
});

const workloadToHost = 'cali-wl-to-host';

/** From workloads to their host: their own policy, then the configured action. */
const toHost = (context: Context): NamedChain => {
  const { family, marks, settings } = context;
  const text = comment('Configured DefaultEndpointToHostAction');
  const actions = {
    drop: line(text, '--jump DROP'),
    accept: line(text, '--jump ACCEPT'),
    // The host's policy decides anew.
    return: line(text, '--jump', clearMark(marks.accept)),
  };
  return {
    name: workloadToHost,
    rules: [
      ...(family === 6 ? neighbourDiscovery(filterAllowance(context)) : []),
      line('--jump', dispatchChains.fromWorkload),
      actions[settings.endpointToHost],
    ],
  };
};

/** Without these IPv6 does not work (FX-053). */
const neighbourDiscovery = (allow: string): readonly string[] =>
  [130, 131, 132, 133, 135, 136].map((type) => `-p icmpv6 -m icmp6 --icmpv6-type ${type} --jump ${allow}`);

const input = (context: Context): NamedChain => {
  const { marks, settings } = context;
  const allow = filterAllowance(context);
  const isAllowed = isMarked(marks.accept);
  const fromWorkloads =
    settings.endpointToHost === 'return'
      ? [
          // What the host let in before translation passes its later policy unasked.
          ...workloads(context, 'in', line(isAllowed, '--goto', workloadToHost)),
          ...workloads(context, 'in', `--jump ${workloadToHost}`),
        ]
      : workloads(context, 'in', `--goto ${workloadToHost}`);
  return {
    name: 'cali-INPUT',
    rules: [
      ...tunnelMatches(context, 'source').map((match) =>
        line(comment('Tunnels of other nodes'), match, '--jump', allow),
      ),
      ...fromWorkloads,
      line(isAllowed, '--jump', allow),
      line('--jump', clearMark(marks.all)),
      line('--jump', dispatchChains.fromHost),
      line(comment('Host endpoint policy allowed the packet'), isAllowed, '--jump', allow),
    ],
  };
};

const forward = (context: Context): NamedChain => {
  const { family, marks } = context;
  const rest = `0x${(Number(marks.all) & ~Number(marks.accept)).toString(16)}`;
  return {
    name: 'cali-FORWARD',
    rules: [
      // Nobody has it: it is where workloads think their router is.
      ...(family === 4 ? [`--destination ${gatewayAddress}/32 --jump DROP`] : []),
      line('--jump', clearMark(rest)),
      line(isClear(marks.accept), '--jump', dispatchChains.fromHostForward),
      ...workloads(context, 'in', `--jump ${dispatchChains.fromWorkload}`),
      ...workloads(context, 'out', `--jump ${dispatchChains.toWorkload}`),
      line('--jump', dispatchChains.toHostForward),
      serviceLoopJump,
    ],
  };
};

const output = (context: Context): NamedChain => {
  const { marks } = context;
  const allow = filterAllowance(context);
  const isAllowed = isMarked(marks.accept);
  return {
    name: 'cali-OUTPUT',
    rules: [
      line(isAllowed, '--jump', allow),
      // A host reaches its own workloads (FX-045).
      ...workloads(context, 'out', '--jump RETURN'),
      ...tunnelMatches(context, 'destination').map((match) =>
        line(comment('Tunnels to other nodes'), match, '--jump', allow),
      ),
      line('--jump', clearMark(marks.all)),
      // The interface of a translated packet is known after this chain only: mangle POSTROUTING asks for it.
      line('-m conntrack ! --ctstate DNAT --jump', dispatchChains.toHost),
      line(comment('Host endpoint policy allowed the packet'), isAllowed, '--jump', allow),
    ],
  };
};

/** After the host endpoints that are named: the one for all other interfaces, which the host's own and, where it is not about
 *  them, workloads' interfaces are not part of (RS-141). */
export function wildcardEnd(
  context: Pick<Context, 'settings'>,
  by: 'in' | 'out',
  excludesWorkloads: boolean,
  target: string | undefined,
): readonly string[] {
  if (target === undefined) return [];
  const leave = (name: string): string => `--${by}-interface ${name} --jump RETURN`;
  return [
    leave('lo'),
    ...(excludesWorkloads ? context.settings.interfacePrefixes.map((prefix) => leave(`${prefix}+`)) : []),
    `--goto ${target}`,
  ];
}
