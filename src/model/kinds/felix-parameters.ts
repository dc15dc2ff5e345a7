// The parameters of the node agent: the fields of FelixConfiguration's spec, in groups. An absent field means that the
// next lower source of configuration decides, so none has a default here; the values that hold when nobody decides are
// the agent's.
import { rangeValidations } from './expressions.ts';
import {
  array,
  boolean,
  duration,
  integer,
  map,
  numberOrString,
  object,
  oneOf,
  optional,
  string,
  word,
} from '../schema.ts';

const flag = (description: string) => optional(boolean({ description }));
const count = (description: string) => optional(integer({ description }));
const text = (description: string) => optional(string({ description }));
const time = (description: string) => optional(duration({ description }));
const pattern = (description: string) => optional(string({ format: 'regexp', description }));
const priority = (description: string) => optional(integer({ minimum: 1, maximum: 2147483646, description }));
const onOff = (description: string) => optional(oneOf(['Enabled', 'Disabled'], { description }));
const words = (values: readonly string[], description: string) => optional(word(values, { description }));
const udpPort = (description: string) => optional(integer({ minimum: 1, maximum: 65535, description }));
const mark = (description: string) => optional(integer({ minimum: 0, maximum: 0xffffffff, description }));
const networks = (description: string) => optional(array(string({ format: 'any-network' }), { description }));

const severities = ['Trace', 'Debug', 'Info', 'Warning', 'Error', 'Fatal'];
const failsafePorts = (description: string) =>
  optional(
    array(
      object({
        protocol: words(['TCP', 'UDP', 'SCTP'], 'TCP when absent.'),
        port: integer({ minimum: 0, maximum: 65535 }),
        net: optional(string({ format: 'any-network', description: 'The other side; any when absent.' })),
      }),
      { description },
    ),
  );
const tableRange = (most: number) =>
  object(
    { min: integer({ minimum: 1 }), max: integer({ minimum: 1, maximum: most }) },
    { validations: rangeValidations },
  );

const general = {
  nodeSelector: optional(
    string({
      format: 'selector',
      maxLength: 1024,
      description: 'The nodes that the object is for; not on `default` and `node.<name>`.',
    }),
  ),
  logSeverityScreen: words(severities, 'What is logged to the standard output. Info when absent.'),
  logSeverityFile: words(severities, 'What is logged to the file. Info when absent.'),
  logSeveritySys: words(severities, 'What is logged to syslog. Info when absent.'),
  logFilePath: text('The log file; `none` for no file.'),
  logDebugFilenameRegex: pattern('Source files whose debug messages are logged.'),
  logPrefix: optional(
    string({
      pattern: '^([a-zA-Z0-9%: /_-])*$',
      description:
        'What the action Log puts before its message; %t, %k, %n and %p name tier, kind and policy.',
    }),
  ),
  logActionRateLimit: optional(
    string({
      pattern: '^[1-9][0-9]{0,3}/(second|minute|hour|day)$',
      description: 'How often the action Log may log, e.g. 10/second.',
    }),
  ),
  logActionRateLimitBurst: optional(
    integer({ minimum: 0, maximum: 9999, description: 'How many messages may come at once.' }),
  ),
  healthEnabled: flag('Serve liveness and readiness by HTTP.'),
  healthHost: text('Address of the health server. localhost when absent.'),
  healthPort: count('Port of the health server. 9099 when absent.'),
  healthTimeoutOverrides: optional(
    array(
      object({
        name: string({ pattern: '^[a-zA-Z0-9._-]+$', description: 'The part of the agent.' }),
        timeout: duration({ description: 'How long it may be silent.' }),
      }),
      { description: 'Patience with single parts of the agent.' },
    ),
  ),
  prometheusMetricsEnabled: flag('Serve metrics.'),
  prometheusMetricsHost: optional(
    string({ format: 'metrics-host', description: 'Address of the metrics server.' }),
  ),
  prometheusMetricsPort: count('Port of the metrics server. 9091 when absent.'),
  prometheusMetricsCAFile: text('CA that client certificates must come from.'),
  prometheusMetricsCertFile: text('Certificate of the metrics server.'),
  prometheusMetricsKeyFile: text('Key of the metrics server.'),
  prometheusMetricsClientAuth: text('How clients must prove who they are.'),
  prometheusGoMetricsEnabled: flag('Metrics of the runtime.'),
  prometheusProcessMetricsEnabled: flag('Metrics of the process.'),
  prometheusWireGuardMetricsEnabled: flag('Metrics of WireGuard.'),
  reportingInterval: time('How often the agent reports its status. 30s when absent, 0 for never.'),
  reportingTTL: time('How long a report counts. 90s when absent.'),
  endpointReportingEnabled: flag('Report the status of every endpoint.'),
  endpointReportingDelay: time('Wait before such a report. 1s when absent.'),
  endpointStatusPathPrefix: text('Folder for status files of endpoints.'),
  usageReportingEnabled: flag(
    'Send anonymous statistics of use. Nothing is ever sent by this implementation.',
  ),
  usageReportingInitialDelay: time('Wait before the first statistics.'),
  usageReportingInterval: time('Time between statistics.'),
  policySyncPathPrefix: text('Folder of the socket that tells policy to application proxies.'),
  featureDetectOverride: optional(
    string({ format: 'key-value-list', description: 'Kernel features to take for present or absent.' }),
  ),
  featureGates: optional(
    string({ format: 'key-value-list', description: 'Features that are not for everyone yet.' }),
  ),
  dataplaneDriver: text('Program of an external data plane.'),
  useInternalDataplaneDriver: flag('Use the built-in data plane.'),
  dataplaneWatchdogTimeout: time('Replaced by healthTimeoutOverrides.'),
  goGCThreshold: count('Tuning of Go’s runtime; without meaning here.'),
  goMaxProcs: count('Tuning of Go’s runtime; without meaning here.'),
  goMemoryLimitMB: count('Tuning of Go’s runtime; without meaning here.'),
  debugHost: text('Address of the debug server.'),
  debugPort: count('Port of the debug server; none when absent.'),
  debugMemoryProfilePath: text('Where a memory profile is written to.'),
  debugDisableLogDropping: flag('Never drop log messages, however slow the log is.'),
  debugSimulateCalcGraphHangAfter: time('For tests of the watchdog.'),
  debugSimulateDataplaneApplyDelay: time('For tests of slow hosts.'),
  debugSimulateDataplaneHangAfter: time('For tests of the watchdog.'),
  metadataAddr: text('Server of OpenStack metadata; `none` for none.'),
  metadataPort: count('Port of the OpenStack metadata server.'),
  openstackRegion: optional(
    string({
      maxLength: 46,
      pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$',
      description: 'Region of OpenStack.',
    }),
  ),
};

const interfaces = {
  interfacePrefix: text('Prefixes of the interfaces of workloads, separated by commas. `cali` when absent.'),
  interfaceExclude: text('Interfaces that host endpoints leave out: names, and /patterns/.'),
  interfaceRefreshInterval: time('How often interfaces are listed anew. 90s when absent, 0 for never.'),
  mtuIfacePattern: pattern('Interfaces that the MTU is taken from.'),
  requireMTUFile: flag('Do not start without the MTU file.'),
  ipv6Support: flag('Handle IPv6. True when absent.'),
  ipForwarding: onOff('Turn on forwarding on the host. Enabled when absent.'),
  floatingIPs: onOff('Translate floating addresses of pods. Disabled when absent.'),
  policyChangeConnections: words(
    ['Keep', 'Cut'],
    'What becomes of established connections that a change of policy no longer allows. Keep when absent.',
  ),
  workloadSourceSpoofing: words(['Disabled', 'Any'], 'Whether pods may ask to send from foreign addresses.'),
  awsSrcDstCheck: optional(
    oneOf(['DoNothing', 'Enable', 'Disable'], {
      description: 'Source/destination check of the EC2 instance.',
    }),
  ),
  localSubnetL2Reachability: optional(
    oneOf(['Disabled', 'PodsAndLoadBalancers'], {
      description: 'Answer ARP and NDP on the host’s network for addresses of pods and load balancers.',
    }),
  ),
  localSubnetL2ReachabilityRefreshInterval: time('How often such addresses are announced. 120s when absent.'),
  windowsManageFirewallRules: onOff('Open the Windows firewall for the agent’s metrics.'),
};

const routes = {
  routeSource: words(['WorkloadIPs', 'CalicoIPAM'], 'What routes are made from. CalicoIPAM when absent.'),
  routeSyncDisabled: flag('Leave routes alone: policy only.'),
  routeRefreshInterval: time('How often routes are audited. 90s when absent, 0 for never.'),
  routeTableRanges: optional(
    array(tableRange(0xffffffff), { description: 'Numbers of routing tables that may be used.' }),
  ),
  routeTableRange: optional(tableRange(250)),
  deviceRouteProtocol: count('Protocol number of routes to endpoints. 3 when absent.'),
  deviceRouteSourceAddress: optional(
    string({
      format: 'ipv4',
      description: 'Source address on routes to endpoints; the kernel’s choice when absent.',
    }),
  ),
  deviceRouteSourceAddressIPv6: optional(string({ format: 'ipv6', description: 'The same for IPv6.' })),
  removeExternalRoutes: flag('Remove routes to endpoints that others added. True when absent.'),
  programClusterRoutes: optional(
    oneOf(['Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly'], {
      description: 'Which routes to pods on other nodes the agent installs. EnabledIPIPOnly when absent.',
    }),
  ),
  ipv4NormalRoutePriority: priority('Metric of IPv4 routes. 1024 when absent.'),
  ipv6NormalRoutePriority: priority('Metric of IPv6 routes. 1024 when absent.'),
  ipv4ElevatedRoutePriority: priority('Metric of IPv4 routes during a live migration. 512 when absent.'),
  ipv6ElevatedRoutePriority: priority('Metric of IPv6 routes during a live migration. 512 when absent.'),
  liveMigrationRouteConvergenceTime: time('How long such routes stay after a migration. 30s when absent.'),
  netlinkTimeout: time('Patience with the kernel. 10s when absent.'),
  externalNodesList: optional(
    array(string({ format: 'any-network-v4' }), {
      description: 'Foreign hosts that tunnels are accepted from.',
    }),
  ),
};

const tunnels = {
  ipipEnabled: flag('Make the IPIP device; by the pools when absent.'),
  ipipMTU: count('MTU of the IPIP device; by the host’s when absent or 0.'),
  vxlanEnabled: flag('Make the VXLAN device; by the pools when absent.'),
  vxlanMTU: count('MTU of the VXLAN device; by the host’s when absent or 0.'),
  vxlanMTUV6: count('MTU of the IPv6 VXLAN device; by the host’s when absent or 0.'),
  vxlanPort: count('UDP port of VXLAN. 4789 when absent.'),
  vxlanVNI: count('VXLAN network identifier. 4096 when absent.'),
  allowVXLANPacketsFromWorkloads: flag('Let pods send VXLAN.'),
  allowIPIPPacketsFromWorkloads: flag('Let pods send IPIP.'),
  wireguardEnabled: flag('Encrypt IPv4 between nodes.'),
  wireguardEnabledV6: flag('Encrypt IPv6 between nodes.'),
  wireguardListeningPort: udpPort('UDP port of WireGuard. 51820 when absent.'),
  wireguardListeningPortV6: udpPort('UDP port of WireGuard over IPv6. 51821 when absent.'),
  wireguardRoutingRulePriority: optional(
    integer({ minimum: 1, maximum: 32765, description: 'Priority of the routing rule. 99 when absent.' }),
  ),
  wireguardInterfaceName: optional(string({ format: 'interface', description: 'Name of the device.' })),
  wireguardInterfaceNameV6: optional(
    string({ format: 'interface', description: 'Name of the IPv6 device.' }),
  ),
  wireguardMTU: count('MTU of the device; by the host’s when absent or 0.'),
  wireguardMTUV6: count('MTU of the IPv6 device; by the host’s when absent or 0.'),
  wireguardHostEncryptionEnabled: flag('Encrypt traffic of hosts too.'),
  wireguardKeepAlive: time('Persistent keepalive; none when absent or 0.'),
  wireguardThreadingEnabled: flag('Threaded NAPI for the device.'),
};

const filtering = {
  defaultEndpointToHostAction: words(
    ['Drop', 'Accept', 'Return'],
    'What becomes of traffic from pods to their host that policy lets out. Drop when absent.',
  ),
  failsafeInboundHostPorts: failsafePorts('Ports of hosts that stay open whatever policy says.'),
  failsafeOutboundHostPorts: failsafePorts('Ports that hosts can reach whatever policy says.'),
  nftablesMode: optional(
    oneOf(['Enabled', 'Disabled', 'Auto'], { description: 'Whether nftables is used.' }),
  ),
  nftablesRefreshInterval: time('How often nftables is audited. 180s when absent, 0 for never.'),
  nftablesFilterAllowAction: words(
    ['Accept', 'Return'],
    'What becomes of allowed packets in the filter chains.',
  ),
  nftablesFilterDenyAction: words(['Drop', 'Reject'], 'How packets are denied. Drop when absent.'),
  nftablesMangleAllowAction: words(['Accept', 'Return'], 'What becomes of allowed packets before DNAT.'),
  nftablesMarkMask: mark('Mark bits that may be used.'),
  iptablesBackend: optional(oneOf(['Legacy', 'NFT', 'Auto'], { description: 'Which iptables is used.' })),
  iptablesRefreshInterval: time('How often iptables is audited.'),
  iptablesPostWriteCheckInterval: time('Wait before a write is read back.'),
  iptablesLockFilePath: text('Lock file of iptables.'),
  iptablesLockTimeout: time('Patience with the lock.'),
  iptablesLockProbeInterval: time('Time between attempts to take the lock.'),
  iptablesFilterAllowAction: words(
    ['Accept', 'Return'],
    'What becomes of allowed packets in the filter table.',
  ),
  iptablesFilterDenyAction: words(['Drop', 'Reject'], 'How packets are denied. Drop when absent.'),
  iptablesMangleAllowAction: words(['Accept', 'Return'], 'What becomes of allowed packets before DNAT.'),
  iptablesMarkMask: mark('Mark bits that may be used. 0xffff0000 when absent.'),
  iptablesNATOutgoingInterfaceFilter: optional(
    string({
      format: 'interface-filter',
      description: 'Only traffic leaving by such an interface is translated.',
    }),
  ),
  chainInsertMode: words(
    ['Insert', 'Append'],
    'Where the own rules go in the chains of others. Insert when absent.',
  ),
  ipsetsRefreshInterval: time('How often sets are audited. 90s when absent, 0 for never.'),
  maxIpsetSize: count('Most members of a set. 1048576 when absent.'),
  disableConntrackInvalidCheck: flag('Let packets pass that connection tracking takes for invalid.'),
  serviceLoopPrevention: words(
    ['Drop', 'Reject', 'Disabled'],
    'What becomes of packets to addresses of services that nobody serves. Drop when absent.',
  ),
  kubeNodePortRanges: optional(
    array(numberOrString({ format: 'port-range' }), { maxItems: 7, description: 'Ranges of node ports.' }),
  ),
  natPortRange: optional(
    numberOrString({ format: 'port-range', description: 'Ports that outgoing NAT uses.' }),
  ),
  natOutgoingAddress: optional(
    string({ format: 'ipv4', description: 'Address that outgoing NAT uses; the interface’s when absent.' }),
  ),
  natOutgoingExclusions: optional(
    oneOf(['IPPoolsOnly', 'IPPoolsAndHostIPs'], {
      description: 'Destinations that are not translated. IPPoolsOnly when absent.',
    }),
  ),
  xdpEnabled: flag('Drop early with XDP where rules allow it.'),
  genericXDPEnabled: flag('Use generic XDP.'),
  xdpRefreshInterval: time('How often XDP is audited.'),
  sidecarAccelerationEnabled: flag('Short cut between sidecar and application.'),
  istioAmbientMode: onOff('Work with Istio’s ambient mode.'),
  istioDSCPMark: optional(numberOrString({ format: 'dscp', description: 'DSCP of traffic to ztunnel.' })),
  flowLogsFlushInterval: time('How often flow logs are sent. 300s when absent.'),
  flowLogsGoldmaneServer: text('Server that flow logs go to.'),
  flowLogsLocalReporter: onOff('Tell flow logs on a local socket.'),
  flowLogsPolicyEvaluationMode: optional(
    oneOf(['None', 'Continuous'], { description: 'Whether flows are judged anew when policy changes.' }),
  ),
  flowLogsCollectorDebugTrace: flag('Log everything the collector sees.'),
};

const conntrackTimeout = (description: string) =>
  optional(string({ pattern: '^(([0-9]+(\\.[0-9]+)?(ms|s|h|m|us))+|Auto)$', description }));
const mapSize = (description: string) => count(`Size of the map of ${description}.`);

/** The eBPF data plane is not built here; its parameters are kept so that configurations can be exchanged. */
const bpf = {
  bpfEnabled: flag('Use the eBPF data plane.'),
  bpfAttachType: optional(oneOf(['TC', 'TCX', 'Netkit'], { description: 'How programs are attached.' })),
  bpfCTLBLogFilter: text('What the connect-time load balancer logs.'),
  bpfConnectTimeLoadBalancing: optional(
    oneOf(['TCP', 'Enabled', 'Disabled'], { description: 'Load balancing when sockets connect.' }),
  ),
  bpfConnectTimeLoadBalancingEnabled: flag('Replaced by bpfConnectTimeLoadBalancing.'),
  bpfConntrackLogLevel: optional(oneOf(['Off', 'Debug'], { description: 'Log level of the clean-up.' })),
  bpfConntrackMode: optional(oneOf(['Auto', 'Userspace', 'BPFProgram'], { description: 'Who cleans up.' })),
  bpfConntrackTimeouts: optional(
    object({
      creationGracePeriod: conntrackTimeout('For new connections.'),
      tcpSynSent: conntrackTimeout('For unanswered SYN.'),
      tcpEstablished: conntrackTimeout('For idle TCP connections.'),
      tcpFinsSeen: conntrackTimeout('For closed TCP connections.'),
      tcpResetSeen: conntrackTimeout('For reset TCP connections.'),
      udpTimeout: conntrackTimeout('For UDP.'),
      genericTimeout: conntrackTimeout('For other protocols.'),
      icmpTimeout: conntrackTimeout('For ICMP.'),
    }),
  ),
  bpfDSROptoutCIDRs: networks('Clients that get no direct answers.'),
  bpfDataIfacePattern: pattern('Interfaces that lead to the network.'),
  bpfL3IfacePattern: pattern('Interfaces without link layer that lead to the network.'),
  bpfDisableGROForIfaces: pattern('Interfaces without receive offload.'),
  bpfDisableUnprivileged: flag('Keep eBPF from ordinary users.'),
  bpfEnforceRPF: words(['Disabled', 'Strict', 'Loose'], 'Reverse path check of host interfaces.'),
  bpfExcludeCIDRsFromNAT: networks('Destinations that are not translated.'),
  bpfExportBufferSizeMB: count('Buffer of events in megabytes.'),
  bpfExtToServiceConnmark: mark('Mark of connections from outside to services.'),
  bpfExternalServiceMode: words(['Tunnel', 'DSR'], 'How answers to clients outside travel.'),
  bpfForceTrackPacketsFromIfaces: optional(
    array(string({ format: 'interface-filter' }), {
      description: 'Interfaces whose traffic the kernel tracks.',
    }),
  ),
  bpfHostConntrackBypass: flag('Pass by the kernel’s connection tracking.'),
  bpfHostNetworkedNATWithoutCTLB: onOff('Translate for host processes without connect-time load balancing.'),
  bpfIPFragTimeout: time('Patience with fragments.'),
  bpfIPFragmentReassemblyEnabled: flag('Put fragments together.'),
  bpfJITHardening: optional(
    oneOf(['Auto', 'Strict'], { description: 'Hardening of the kernel’s compiler.' }),
  ),
  bpfKubeProxyHealthzPort: count('Port of the health server of the built-in kube-proxy.'),
  bpfKubeProxyIptablesCleanupEnabled: flag('Remove rules of kube-proxy.'),
  bpfKubeProxyMinSyncPeriod: time('Least time between updates of services.'),
  bpfKubeProxyEndpointSlicesEnabled: flag('Use EndpointSlices.'),
  bpfLogFilters: optional(map(string(), { description: 'Interface → filter of what is logged.' })),
  bpfLogLevel: words(['Off', 'Info', 'Debug'], 'Log level of the programs.'),
  bpfMaglevMaxEndpointsPerService: optional(
    integer({ minimum: 1, maximum: 3000, description: 'Most endpoints of a Maglev service.' }),
  ),
  bpfMaglevMaxServices: optional(
    integer({ minimum: 1, maximum: 3000, description: 'Most Maglev services.' }),
  ),
  bpfMapSizeConntrack: mapSize('connections'),
  bpfMapSizeConntrackCleanupQueue: mapSize('connections to clean up'),
  bpfMapSizeConntrackScaling: words(
    ['Disabled', 'DoubleIfFull'],
    'What happens when the map of connections is full.',
  ),
  bpfMapSizeIPSets: mapSize('sets'),
  bpfMapSizeIfState: mapSize('interfaces'),
  bpfMapSizeNATAffinity: mapSize('client affinities'),
  bpfMapSizeNATBackend: mapSize('endpoints of services'),
  bpfMapSizeNATFrontend: mapSize('addresses of services'),
  bpfMapSizePerCpuConntrack: mapSize('connections for each CPU'),
  bpfMapSizeRoute: mapSize('routes'),
  bpfOverlayHostSourceIP: optional(
    oneOf(['TunnelAddress', 'HostAddress'], { description: 'Source address of hosts in tunnels.' }),
  ),
  bpfPSNATPorts: optional(
    numberOrString({ format: 'port-range', description: 'Ports for colliding sources.' }),
  ),
  bpfPolicyDebugEnabled: flag('Keep details of policy programs.'),
  bpfProfiling: onOff('Measure the programs.'),
  bpfRedirectToPeer: optional(
    oneOf(['Enabled', 'Disabled', 'L2Only'], { description: 'Short cut into pods.' }),
  ),
  cgroupV2Path: text('Where control groups are mounted.'),
};

export const felixParameters = {
  ...general,
  ...interfaces,
  ...routes,
  ...tunnels,
  ...filtering,
  ...bpf,
};
