// Numbers of the data plane under Felix's names (FX-111), as far as they are true here, and our own beside them.
import type { AgentStatus } from '../types.ts';
import type { ProgramRuns } from '../work-counters.ts';
import { counter, gauge, type Sample, summary } from '../../../lib/metrics.ts';

const encryptionStates = { off: 0, waiting: 1, on: 2 } as const;
const families = [4, 6] as const;

export function dataplaneSamples(status: AgentStatus): readonly Sample[] {
  return [
    ...applySamples(status),
    ...setSamples(status),
    ...nftablesSamples(status),
    ...iptablesSamples(status),
    ...routeSamples(status),
    ...programSamples(status),
    ...ownSamples(status),
  ];
}

type Counter = 'failures' | 'puts' | 'removes' | 'dumps' | 'drifted' | 'applies' | 'applyMs';
const sumOf = ({ dataplane }: AgentStatus, field: Counter): number =>
  Object.values(dataplane).reduce((total, table) => total + table.counters[field], 0);

function applySamples(status: AgentStatus): readonly Sample[] {
  const { observed, work } = status;
  const sum = (field: Counter): number => sumOf(status, field);
  const applies = sum('applies');
  return [
    counter('felix_int_dataplane_failures', 'Rows the kernel refused, to be tried again.', sum('failures')),
    ...[...work.told].map(([type, count]) =>
      counter('felix_int_dataplane_messages', 'What the calculation told the data plane, by type.', count, {
        type,
      }),
    ),
    ...summary('felix_int_dataplane_apply_time_seconds', 'Time that batches of rows took to be written.', {
      sum: sum('applyMs') / 1000,
      count: applies,
    }),
    ...summary('felix_int_dataplane_msg_batch_size', 'Rows that were written at once.', {
      sum: sum('puts') + sum('removes') + sum('failures'),
      count: applies,
    }),
    // Each is looked at when it comes.
    ...summary('felix_int_dataplane_iface_msg_batch_size', 'Events of interfaces taken at once.', {
      sum: observed.links,
      count: observed.links,
    }),
    ...summary('felix_int_dataplane_addr_msg_batch_size', 'Events of addresses taken at once.', {
      sum: observed.addresses,
      count: observed.addresses,
    }),
    ...(work.firstSyncMs === undefined
      ? []
      : [
          gauge(
            'felix_int_dataplane_initial_resync_time_seconds',
            'How long it took until the kernel was in step for the first time.',
            work.firstSyncMs / 1000,
          ),
        ]),
  ];
}

function setSamples({ inventory, work }: AgentStatus): readonly Sample[] {
  const { sets } = inventory;
  return [
    ...families.map((family) =>
      gauge('felix_ipsets_calico', 'Sets of addresses this node should have.', sets[family], {
        ip_version: String(family),
      }),
    ),
    gauge(
      'felix_ipsets_total',
      'Sets of addresses this node should have, of both families.',
      sets[4] + sets[6],
    ),
    ...programCounters(
      'felix_ipset',
      'ipset',
      runsOf(work, (name) => name === 'ipset'),
    ),
  ];
}

function nftablesSamples({ inventory, dataplane }: AgentStatus): readonly Sample[] {
  const { counters, counts } = dataplane.nftables;
  return [
    counter('felix_nft_calls', 'Batches of changes given to nftables.', counters.applies),
    counter('felix_nft_errors', 'Rows that nftables refused.', counters.failures),
    counter('felix_nft_list_calls', 'Full reads of nftables.', counters.dumps + counters.dumpFailures),
    counter('felix_nft_list_errors', 'Full reads of nftables that failed.', counters.dumpFailures),
    ...inventory.nftables.flatMap(({ family, table, chains, rules }) => {
      const labels = { ip_version: String(family), table };
      return [
        gauge('felix_nft_chains', 'Chains of nftables this node should have.', chains, labels),
        gauge('felix_nft_rules', 'Rules of nftables this node should have.', rules, labels),
      ];
    }),
    ...families.map((family) =>
      gauge('felix_nft_maps', 'Maps of nftables this node should have.', inventory.maps[family], {
        ip_version: String(family),
      }),
    ),
    gauge(
      'felix_nft_rows',
      'Tables, sets, elements and chains this node should have in nftables.',
      counts.rows,
    ),
  ];
}

function iptablesSamples({ inventory, work }: AgentStatus): readonly Sample[] {
  const save = runsOf(work, (name) => name.endsWith('-save'));
  const restore = runsOf(work, (name) => name.endsWith('-restore'));
  return [
    counter('felix_iptables_save_calls', 'Runs of iptables-save.', save.runs),
    counter('felix_iptables_save_errors', 'Runs of iptables-save that failed.', save.failures),
    counter('felix_iptables_restore_calls', 'Runs of iptables-restore.', restore.runs),
    counter('felix_iptables_restore_errors', 'Runs of iptables-restore that failed.', restore.failures),
    counter('felix_iptables_lines_executed', 'Lines given to iptables-restore.', restore.lines),
    ...inventory.iptables.flatMap(({ family, table, chains, rules }) => {
      const labels = { ip_version: String(family), table };
      return [
        gauge('felix_iptables_chains', 'Chains of iptables this node should have.', chains, labels),
        gauge('felix_iptables_rules', 'Rules of iptables this node should have.', rules, labels),
      ];
    }),
  ];
}

function routeSamples({ inventory, dataplane }: AgentStatus): readonly Sample[] {
  const { dumps, dumpMs } = dataplane.routes.counters;
  return [
    ...inventory.routes.flatMap(({ table, routes, interfaces }) => {
      const labels = { table: String(table) };
      return [
        gauge('felix_route_table_num_routes', 'Routes this node should have from Felix.', routes, labels),
        gauge('felix_route_table_num_ifaces', 'Interfaces that such routes lead to.', interfaces, labels),
      ];
    }),
    ...summary('felix_route_table_resync_seconds', 'Time that full reads of routes took.', {
      sum: dumpMs / 1000,
      count: dumps,
    }),
  ];
}

/** All runs of the programs that are meant, together. */
function runsOf({ programs }: AgentStatus['work'], isMeant: (name: string) => boolean): ProgramRuns {
  const all = { runs: 0, ms: 0, failures: 0, lines: 0 };
  for (const [name, one] of programs) {
    if (!isMeant(name)) continue;
    all.runs += one.runs;
    all.ms += one.ms;
    all.failures += one.failures;
    all.lines += one.lines;
  }
  return all;
}

const programCounters = (
  prefix: string,
  program: string,
  { runs, failures, lines }: ProgramRuns,
): readonly Sample[] => [
  counter(`${prefix}_calls`, `Runs of ${program}.`, runs),
  counter(`${prefix}_errors`, `Runs of ${program} that failed.`, failures),
  counter(`${prefix}_lines_executed`, `Lines given to ${program}.`, lines),
];

const programSamples = ({ work }: AgentStatus): readonly Sample[] =>
  [...work.programs].flatMap(([fn, { runs, ms }]) =>
    summary(
      'felix_exec_time_micros',
      'Time that programs took.',
      { sum: Math.round(ms * 1000), count: runs },
      { fn },
    ),
  );

function ownSamples(status: AgentStatus): readonly Sample[] {
  const { dataplane, encryption, programming } = status;
  return [
    counter('felix_log_errors', 'Lines of the log that could not be written.', status.logErrors),
    counter('felix_logs_dropped', 'Lines of the log that were left out; each is written at once.', 0),
    counter('margay_endpoint_programming_count', 'Endpoints that CNI asked for.', programming.count),
    counter(
      'margay_endpoint_programming_failures',
      'Endpoints whose rows were not in the kernel in time.',
      programming.failures,
    ),
    counter(
      'margay_endpoint_programming_seconds',
      'Time until routes, settings and policy of endpoints were in the kernel, in sum.',
      programming.totalMs / 1000,
    ),
    gauge(
      'margay_endpoint_programming_longest_seconds',
      'The longest of these times.',
      programming.longestMs / 1000,
    ),
    ...families.map((family) =>
      gauge(
        'margay_encryption_state',
        'Encryption between nodes: 0 off, 1 asked for and not to be had, 2 on.',
        encryptionStates[encryption[family].state],
        { family: `ipv${family}` },
      ),
    ),
    gauge(
      'margay_path_mtu_checked_nodes',
      'Addresses of other nodes that answered when ways were last tried.',
      status.paths.checked,
    ),
    gauge(
      'margay_path_mtu_narrow_paths',
      'Ways to other nodes that carry less than is sent.',
      status.paths.narrow.length,
    ),
    ...status.paths.narrow.map(({ node, address, mtu }) =>
      gauge('margay_path_mtu_bytes', 'What a way that carries less than is sent carries.', mtu, {
        node,
        address,
      }),
    ),
    counter('margay_dataplane_resyncs', 'Full reads of the kernel.', sumOf(status, 'dumps')),
    counter(
      'margay_dataplane_drifted_rows',
      'Rows found changed by somebody else.',
      sumOf(status, 'drifted'),
    ),
    ...Object.entries(dataplane).map(([table, { counts }]) =>
      gauge(
        'margay_dataplane_unfinished_rows',
        'Rows that are not in the kernel yet.',
        counts.rows - counts.done,
        { table },
      ),
    ),
  ];
}
