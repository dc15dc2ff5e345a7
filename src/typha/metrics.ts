// Prometheus metrics under Typha's names (FX-114), as far as they mean the same here: there are no breadcrumbs and no binary
// snapshots to count.
import { counter, gauge, renderSamples, summary } from '../lib/metrics.ts';
import type { ServerStatus } from './server.ts';

/** The text for a scrape. */
export function metricsOf({ connections, lines, objects, updates, lastPongMs }: ServerStatus): string {
  const { accepted, active, ended, usedGrace } = connections;
  const streaming = active.filter((one) => one.isStreaming).length;
  return renderSamples([
    counter('typha_connections_accepted', 'Connections that were accepted.', accepted),
    gauge('typha_connections_active', 'Connections that are open.', active.length),
    counter('typha_connections_dropped', 'Connections that ended, by whichever side.', ended),
    gauge('typha_connections_streaming', 'Connections that have had all there was.', streaming),
    counter(
      'typha_connections_grace_used',
      'Connections that needed the time which new clients have more.',
      usedGrace,
    ),
    gauge('typha_cache_size', 'Objects that are kept for clients.', objects),
    counter('typha_updates_total', 'Changes that came from the datastore.', updates.total),
    counter(
      'typha_updates_skipped',
      'Changes that took the place of an earlier state, which late clients are not sent.',
      updates.superseded,
    ),
    ...summary('typha_kvs_per_msg', 'Lines per write to a client.', {
      sum: lines.sent,
      count: lines.writes,
    }),
    ...(lastPongMs === undefined
      ? []
      : [
          gauge(
            'typha_ping_latency_seconds',
            'How long the last answer of a client to a ping took.',
            lastPongMs / 1000,
          ),
        ]),
  ]);
}
