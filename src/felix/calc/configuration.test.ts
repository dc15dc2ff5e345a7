import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  configFromEnvironment,
  configFromFile,
  kubernetesProvider,
  openstackActive,
  parseFelixParameter,
  resolveConfig,
  validateSettings,
} from './configuration.ts';
import { formatGoDuration, parseGoDuration } from './parameter-types.ts';
import { findParameter, parameters } from './parameters.ts';

test('durations are Go text or a number in the parameter’s unit', () => {
  for (const [text, ms] of [
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['250ms', 250],
    ['0', 0],
    ['1m30s', 90_000],
  ] as const) {
    assert.equal(parseGoDuration(text), ms);
  }
  assert.equal(formatGoDuration(90_000), '1m30s');
  assert.equal(formatGoDuration(3_600_000), '1h0m0s');
  assert.equal(parseGoDuration('ten seconds'), undefined);
  assert.deepEqual(parseFelixParameter('RouteRefreshInterval', '1.5'), { value: '1.5s', error: false });
  assert.deepEqual(parseFelixParameter('RouteRefreshInterval', '2m'), { value: '2m0s', error: false });
});

test('a bad value falls back to the default, and is an error where the process must not run on', () => {
  assert.deepEqual(parseFelixParameter('HealthPort', '70000'), { value: 9099, error: false });
  assert.equal(parseFelixParameter('InterfacePrefix', 'not an interface').error, true);
  const config = resolveConfig({ global: { HealthPort: 'x', ChainInsertMode: 'sideways' } });
  assert.equal(config.number('HealthPort'), 9099);
  assert.deepEqual(
    config.problems.map((p) => [p.parameter, p.source, p.fatal]),
    [
      ['HealthPort', 'global', false],
      ['ChainInsertMode', 'global', true],
    ],
  );
});

test('sources: later ones win, local parameters do not come from the datastore', () => {
  const config = resolveConfig({
    global: { HealthPort: '1', FelixHostname: 'evil' },
    node: { HealthPort: '2' },
    file: configFromFile('[global]\n# comment\nHealthPort = 3\nUnknown = 4\n'),
    environment: configFromEnvironment({ FELIX_HEALTHENABLED: 'true', FELIX_NOSUCH: '1', HOME: '/root' }),
  });
  assert.equal(config.number('HealthPort'), 3);
  assert.equal(config.text('FelixHostname'), '');
  assert.equal(config.boolean('HealthEnabled'), true);
});

test('the parameter table: names are unique, defaults are good, failsafe ports as documented', () => {
  assert.equal(new Set(parameters.map((p) => p.name.toLowerCase())).size, parameters.length);
  assert.equal(resolveConfig({}).problems.length, 0);
  assert.equal(findParameter('ipipMTU')?.name, 'IpInIpMtu');
  assert.deepEqual(parseFelixParameter('FailsafeInboundHostPorts', 'none').value, null);
  assert.deepEqual(parseFelixParameter('FailsafeInboundHostPorts', 'udp:[fd00::/8]:53,22').value, [
    { protocol: 'udp', port: 53, net: 'fd00::/8' },
    { protocol: 'tcp', port: 22 },
  ]);
});

test('rules across parameters', () => {
  assert.equal(validateSettings({ TyphaKeyFile: '/k' }).length, 1);
  // The newer of the two counts.
  assert.deepEqual(validateSettings({ RouteTableRange: '1-10', RouteTableRanges: '1-10' }), []);
  assert.equal(validateSettings({ OpenstackRegion: 'r'.repeat(46) }).length, 0);
  assert.equal(validateSettings({ OpenstackRegion: 'r'.repeat(47) }).length, 1);
  assert.equal(openstackActive({ ClusterType: 'k8s,openstack' }), true);
  assert.equal(openstackActive({}), false);
  assert.equal(kubernetesProvider('k8s,openshift,bgp'), 'OpenShift');
  assert.equal(kubernetesProvider('k8s,ecs'), 'EKS');
});

test('none takes the value away, where there may be none', () => {
  const read = (name: string): unknown => parseFelixParameter(name, 'None');
  assert.deepEqual(read('LogPrefix'), { value: '', error: false });
  assert.deepEqual(read('PrometheusGoMetricsEnabled'), { value: false, error: false });
  assert.deepEqual(read('HealthPort'), { value: 0, error: false });
  assert.deepEqual(read('RouteRefreshInterval'), { value: '0s', error: false });
  assert.deepEqual(read('IpInIpEnabled'), { value: null, error: false });
  assert.deepEqual(read('DebugPort'), { value: null, error: false });
  assert.deepEqual(read('InterfaceExclude'), { value: null, error: false });
  assert.deepEqual(read('TyphaK8sNamespace'), { value: 'kube-system', error: true });
  assert.deepEqual(read('MaxIpsetSize'), { value: 1048576, error: true });
  const [problem] = resolveConfig({ global: { InterfacePrefix: 'none' } }).problems;
  assert.equal(problem?.fatal, true);
});

test('texts of single types', () => {
  const value = (name: string, text: string): unknown => parseFelixParameter(name, text).value;
  assert.equal(value('VXLANVNI', '0x10'), 16);
  assert.equal(value('VXLANVNI', '0b101'), 5);
  assert.equal(value('VXLANVNI', '017'), 15);
  assert.equal(value('VXLANVNI', '08'), 4096);
  assert.equal(value('GoMaxProcs', '-2'), -1);
  assert.equal(value('LogSeverityScreen', 'trace'), 'TRACE');
  assert.equal(value('IstioDSCPMark', 'ef'), 'EF');
  assert.equal(value('IstioDSCPMark', '64'), 23);
  assert.equal(value('LogActionRateLimit', '5/minute'), '5/minute');
  assert.equal(value('LogActionRateLimit', '5/week'), '');
  assert.equal(value('HealthHost', 'h'.repeat(65)), 'localhost');
  assert.deepEqual(value('FailsafeInboundHostPorts', '1,,udp:2,'), [
    { protocol: 'tcp', port: 1 },
    { protocol: 'udp', port: 2 },
  ]);
  assert.deepEqual(value('EtcdEndpoints', 'http://a:1,http://b'), ['http://a:1/', 'http://b/']);
  assert.equal(value('EtcdEndpoints', 'http://a:1,https://b:2'), null);
  assert.equal(parseFelixParameter('ExternalNodesCIDRList', '10.0.0.0/8,fd00::/8').error, true);
  assert.equal(parseFelixParameter('AWSSrcDstCheck', 'perhaps').error, false);
  // Go has no such escape, and no look-ahead.
  for (const bad of [String.raw`/eth\Z/`, '/a b/', '/(?=a)/'])
    assert.deepEqual(value('InterfaceExclude', bad), [{ $regexp: '^kube-ipvs0$' }], bad);
});
