// Prometheus metrics under Felix's names, as far as they are true here. Read when asked for.
import type { Registry } from 'prom-client';
import type { WireGuardDevice } from '../../kernel/mod.ts';
import type { FelixConfig } from '../calc/mod.ts';
import type { HttpPages } from '../../lib/http-pages.ts';
import { metricsType, renderSamples, type Sample } from '../../lib/metrics.ts';
import { calculationSamples } from './metrics/calculation.ts';
import { dataplaneSamples } from './metrics/dataplane.ts';
import { wireguardSamples } from './metrics/wireguard.ts';
import type { AgentStatus } from './types.ts';

export const samples = (status: AgentStatus): readonly Sample[] => [
  ...calculationSamples(status),
  ...dataplaneSamples(status),
];

export const metricsPages = (
  status: () => AgentStatus,
  wireguardDevices: () => Promise<readonly WireGuardDevice[]>,
): HttpPages => ({
  '/metrics': async () => {
    const now = status();
    const devices = now.config.boolean('PrometheusWireGuardMetricsEnabled') ? await wireguardDevices() : [];
    return { status: 200, type: metricsType, body: await renderMetrics(now, devices) };
  },
});

/** Of the process and of its runtime, which takes the place of Go's; counted from the first scrape on. */
let runtime: Registry | undefined;
async function processText(config: FelixConfig): Promise<string> {
  const wanted = [
    ...(config.boolean('PrometheusProcessMetricsEnabled') ? ['process_'] : []),
    ...(config.boolean('PrometheusGoMetricsEnabled') ? ['nodejs_'] : []),
  ];
  if (wanted.length === 0) return '';
  const { collectDefaultMetrics, Registry: Registers } = await import('./metrics/prometheus.ts');
  if (runtime === undefined) {
    runtime = new Registers();
    collectDefaultMetrics({ register: runtime });
  }
  const registry = runtime;
  const names = registry.getMetricsAsArray().map(({ name }) => name);
  const chosen = names.filter((name) => wanted.some((prefix) => name.startsWith(prefix)));
  return (await Promise.all(chosen.map((name) => registry.getSingleMetricAsString(name)))).join('\n');
}

/** The text for a scrape. */
export async function renderMetrics(
  status: AgentStatus,
  wireguard: readonly WireGuardDevice[] = [],
): Promise<string> {
  const own = renderSamples([...samples(status), ...wireguardSamples(status, wireguard)]);
  return `${own}${await processText(status.config)}\n`;
}
