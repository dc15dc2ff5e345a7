// Parameters of Calico that nothing here acts on, with the reason. They are read and checked all the same; whoever sets one to
// something that would matter is told, so that nobody takes a setting for granted that has no effect.
import type { ConfigSource, FelixConfig } from './configuration.ts';
import { defaultOf } from './configuration.ts';
import { findParameter } from './parameters.ts';

type Unbuilt = {
  readonly names: string;
  readonly why: string;
  /** Texts that ask for nothing that is not so anyway, beside the default. */
  readonly harmless?: readonly unknown[];
};

const goProgram = 'this is no Go program';
const noEbpf = 'there is no eBPF data plane';
const noXdp = 'untracked policy is enforced by the rules, there is no XDP';
const noFlowLogs = 'flow logs go nowhere yet';

const unbuilt: readonly Unbuilt[] = [
  { names: 'DatastoreType', why: 'DATASTORE_TYPE of the environment says it', harmless: ['kubernetes'] },
  { names: 'FelixHostname', why: 'NODENAME of the environment says it' },
  {
    names: 'EtcdAddr EtcdScheme EtcdKeyFile EtcdCertFile EtcdCaFile EtcdEndpoints',
    why: 'ETCD_ variables of the environment, without FELIX_, say how etcd is reached',
  },
  { names: 'UseInternalDataplaneDriver', why: 'there is no other driver', harmless: [true] },
  { names: 'DataplaneDriver', why: 'there is no other driver' },
  { names: 'RequireMTUFile', why: 'the MTU is worked out by the agent itself' },
  { names: 'NetlinkTimeoutSecs', why: 'DataplaneWatchdogTimeout is the limit of writes and reads' },
  {
    names: 'IPv4ElevatedRoutePriority IPv6ElevatedRoutePriority LiveMigrationRouteConvergenceTime',
    why: 'there is no live migration',
  },
  {
    names: 'IPv4VXLANTunnelAddr IPv6VXLANTunnelAddr VXLANTunnelMACAddr VXLANTunnelMACAddrV6',
    why: 'addresses of tunnels are those of the Node',
  },
  { names: 'WireguardThreadingEnabled', why: 'the kernel chooses', harmless: [false] },
  { names: 'IptablesLockProbeIntervalMillis', why: 'iptables waits for its lock by itself' },
  {
    names: 'XDPEnabled GenericXDPEnabled XDPRefreshInterval SidecarAccelerationEnabled',
    why: noXdp,
    harmless: [false],
  },
  { names: 'PolicySyncPathPrefix', why: 'application proxies are not served' },
  { names: 'AWSSrcDstCheck', why: 'EC2 is not asked' },
  { names: 'NfNetlinkBufSize', why: 'sockets are as large as they need to be' },
  { names: 'FeatureDetectOverride FeatureGates', why: 'features are tried out, not listed' },
  { names: 'IstioAmbientMode IstioDSCPMark', why: 'there is nothing special for Istio' },
  { names: 'KubeNodePortRanges', why: 'kube-proxy in IPVS mode is not told apart' },
  { names: 'LogSeveritySys', why: 'there is no output to syslog' },
  { names: 'LogDebugFilenameRegex', why: 'messages have no file names' },
  { names: 'LogDropActionOverride', why: 'there is no override of the drop action' },
  { names: 'DebugDisableLogDropping', why: 'no message is dropped', harmless: [true] },
  {
    names: 'EndpointReportingEnabled EndpointReportingDelaySecs',
    why: 'endpoints are not reported to etcd; files about them are written at once (EndpointStatusPathPrefix)',
  },
  {
    names:
      'PrometheusMetricsCAFile PrometheusMetricsCertFile PrometheusMetricsKeyFile PrometheusMetricsClientAuth',
    why: 'metrics are served without TLS',
  },
  {
    names: 'UsageReportingEnabled UsageReportingInitialDelaySecs UsageReportingIntervalSecs',
    why: 'nothing is ever reported to anybody',
    harmless: [false],
  },
  {
    names:
      'FlowLogsFlushInterval FlowLogsGoldmaneServer FlowLogsLocalReporter FlowLogsCollectorDebugTrace FlowLogsPolicyEvaluationMode',
    why: noFlowLogs,
  },
  // What else is set about eBPF means nothing without this, with Calico as well.
  { names: 'BPFEnabled', why: noEbpf },
  { names: 'GoGCThreshold GoMemoryLimitMB GoMaxProcs', why: goProgram },
  {
    names:
      'DebugSimulateCalcGraphHangAfter DebugSimulateDataplaneHangAfter DebugSimulateDataplaneApplyDelay DebugPanicAfter DebugSimulateDataRace',
    why: 'faults are tried by tests only',
  },
];

const reasons = new Map<string, Unbuilt>(
  unbuilt.flatMap((entry) => entry.names.split(' ').map((name) => [name, entry] as const)),
);

/** Why nothing acts on the parameter; undefined: something does, or it matters only where eBPF is. */
export const unbuiltReason = (name: string): string | undefined =>
  reasons.get(name)?.why ?? (name.startsWith('BPF') ? noEbpf : undefined);

export type IgnoredParameter = {
  readonly parameter: string;
  readonly source: ConfigSource;
  readonly why: string;
};

/** What is set and has no effect. */
export function ignoredParameters(config: FelixConfig): readonly IgnoredParameter[] {
  const found: IgnoredParameter[] = [];
  for (const [parameter, value] of config.entries()) {
    const entry = reasons.get(parameter);
    const known = findParameter(parameter);
    const source = config.source(parameter);
    if (entry === undefined || known === undefined || source === 'default') continue;
    const asks = JSON.stringify(value);
    if (asks === JSON.stringify(defaultOf(known)) || value === '' || value === null) continue;
    if (entry.harmless?.some((one) => JSON.stringify(one) === asks) === true) continue;
    found.push({ parameter, source, why: entry.why });
  }
  return found;
}
