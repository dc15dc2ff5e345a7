// Numbers of Calico that parameters have as their defaults.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFelixParameter, resolveConfig } from './configuration.ts';

const config = resolveConfig({});
const seconds = (name: string): number => config.number(name) / 1000;
const numbers = (list: unknown): readonly string[] =>
  (list as readonly { readonly protocol: string; readonly port: number }[]).map(
    ({ protocol, port }) => `${protocol} ${port}`,
  );

test('NM-023, NM-024, FX-158: members of a set, and ranges of node ports', () => {
  assert.equal(config.number('MaxIpsetSize'), 1_048_576);
  assert.deepEqual(config.value('KubeNodePortRanges'), [{ first: 30_000, last: 32_767 }]);
  const ranges = (count: number): string =>
    Array.from({ length: count }, (_, i) => `${1000 + i * 10}:${1005 + i * 10}`).join(',');
  const read = (text: string): unknown => parseFelixParameter('KubeNodePortRanges', text).value;
  const usual = read('30000:32767');
  assert.notDeepEqual(read(ranges(7)), usual);
  assert.deepEqual(read(ranges(8)), usual, 'too many are none');
});

test('NM-050: how often things are looked at again', () => {
  for (const [name, expected] of [
    ['IptablesRefreshInterval', 180],
    ['NftablesRefreshInterval', 180],
    ['IpsetsRefreshInterval', 90],
    ['RouteRefreshInterval', 90],
    ['InterfaceRefreshInterval', 90],
    ['XDPRefreshInterval', 90],
    ['IptablesPostWriteCheckIntervalSecs', 5],
    ['IptablesLockProbeIntervalMillis', 0.05],
    ['NetlinkTimeoutSecs', 10],
    ['DataplaneWatchdogTimeout', 90],
    ['ReportingIntervalSecs', 30],
    ['ReportingTTLSecs', 90],
    ['FlowLogsFlushInterval', 300],
    ['UsageReportingIntervalSecs', 86_400],
  ] as const)
    assert.equal(seconds(name), expected, name);
});

test('ports of health, metrics and of the proxy’s health', () => {
  const ports = ['HealthPort', 'PrometheusMetricsPort', 'BPFKubeProxyHealthzPort'];
  assert.deepEqual(
    ports.map((name) => config.number(name)),
    [9099, 9091, 10_256],
  );
});

test('NM-052: ports of hosts that stay open', () => {
  assert.deepEqual(numbers(config.value('FailsafeInboundHostPorts')), [
    'tcp 22',
    'udp 68',
    ...['179', '2379', '2380', '5473', '6443', '6666', '6667'].map((port) => `tcp ${port}`),
  ]);
  assert.deepEqual(numbers(config.value('FailsafeOutboundHostPorts')), [
    'udp 53',
    'udp 67',
    ...['179', '2379', '2380', '5473', '6443', '6666', '6667'].map((port) => `tcp ${port}`),
  ]);
});
