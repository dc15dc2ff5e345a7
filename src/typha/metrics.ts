// Prometheus metrics under Typha's names (FX-114), as far as they mean the same here: there are no breadcrumbs and no binary
// snapshots to count.
import type { ServerStatus } from './server.ts';

type Metric = {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter' | 'summary';
  /** By suffix of the name. */
  readonly values: Readonly<Record<string, number>>;
};

/** The text for a scrape. */
export function metricsOf({ connections, lines, objects, updates, lastPongMs }: ServerStatus): string {
  const { accepted, active, ended, usedGrace } = connections;
  const streaming = active.filter((one) => one.isStreaming).length;
  const metrics: readonly Metric[] = [
    {
      name: 'typha_connections_accepted',
      help: 'Connections that were accepted.',
      type: 'counter',
      values: { '': accepted },
    },
    {
      name: 'typha_connections_active',
      help: 'Connections that are open.',
      type: 'gauge',
      values: { '': active.length },
    },
    {
      name: 'typha_connections_dropped',
      help: 'Connections that ended, by whichever side.',
      type: 'counter',
      values: { '': ended },
    },
    {
      name: 'typha_connections_streaming',
      help: 'Connections that have had all there was.',
      type: 'gauge',
      values: { '': streaming },
    },
    {
      name: 'typha_connections_grace_used',
      help: 'Connections that needed the time which new clients have more.',
      type: 'counter',
      values: { '': usedGrace },
    },
    {
      name: 'typha_cache_size',
      help: 'Objects that are kept for clients.',
      type: 'gauge',
      values: { '': objects },
    },
    {
      name: 'typha_updates_total',
      help: 'Changes that came from the datastore.',
      type: 'counter',
      values: { '': updates.total },
    },
    {
      name: 'typha_updates_skipped',
      help: 'Changes that took the place of an earlier state, which late clients are not sent.',
      type: 'counter',
      values: { '': updates.superseded },
    },
    {
      name: 'typha_kvs_per_msg',
      help: 'Lines per write to a client.',
      type: 'summary',
      values: { _sum: lines.sent, _count: lines.writes },
    },
    ...(lastPongMs === undefined
      ? []
      : [
          {
            name: 'typha_ping_latency_seconds',
            help: 'How long the last answer of a client to a ping took.',
            type: 'gauge' as const,
            values: { '': lastPongMs / 1000 },
          },
        ]),
  ];
  return metrics
    .map(({ help, name, type, values }) =>
      [
        `# HELP ${name} ${help}`,
        `# TYPE ${name} ${type}`,
        ...Object.entries(values).map(([suffix, value]) => `${name}${suffix} ${value}`),
        '',
      ].join('\n'),
    )
    .join('');
}
