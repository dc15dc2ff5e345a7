// calicoctl as a user types it, by its own name, against the embedded API server: resources, formats, files, locks, addresses.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kindOfWord } from '../../src/cli/calicoctl/kinds.ts';
import { bundled, type Output, run } from '../support/lab.ts';
import { firstWord } from '../kernel/support/felix-node.ts';

const directory = mkdtempSync(join(tmpdir(), 'calicoctl-e2e-'));
const kubeconfig = join(directory, 'kubeconfig');
const program = join(directory, 'calicoctl');
/** The bundle. */
let main = '';
let server: ChildProcess | undefined;
let url = '';

before(async () => {
  main = await bundled();
  symlinkSync(main, program);
  server = spawn(process.execPath, [main, 'apiserver', '--listen', '127.0.0.1:0', '--data', ':memory:'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  url = await firstWord(server);
  const named = (field: string, value: object) => [{ name: 'x', [field]: value }];
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'x',
      contexts: named('context', { cluster: 'x', user: 'x' }),
      clusters: named('cluster', { server: url }),
      users: named('user', {}),
    }),
  );
});
after(() => {
  server?.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

const calicoctl = (argv: readonly string[], input = '', env: NodeJS.ProcessEnv = {}): Promise<Output> =>
  run(process.execPath, [program, ...argv], {
    env: { ...process.env, KUBECONFIG: kubeconfig, HOME: directory, ...env },
    input,
  });

async function succeeds(argv: readonly string[], input = ''): Promise<string> {
  const { code, out, err } = await calicoctl(argv, input);
  assert.equal(code, 0, `${argv.join(' ')}: ${err}${out}`);
  return out;
}
async function refuses(argv: readonly string[], pattern: RegExp, input = ''): Promise<void> {
  const { code, err } = await calicoctl(argv, input);
  assert.equal(code, 1, argv.join(' '));
  assert.match(err, pattern);
}

const pool = (name: string, cidr: string): string =>
  `apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: ${name}}\nspec: {cidr: ${cidr}}\n`;

test('SR-206, SR-207, CT-018: apply from standard input, and what is read goes back unchanged', async () => {
  assert.equal(
    await succeeds(['apply', '-f', '-'], pool('one', '10.1.0.0/16')),
    "Successfully applied 1 'IPPool' resource(s)\n",
  );
  const read = await succeeds(['get', 'ippool', 'one', '-o', 'yaml']);
  await succeeds(['replace', '-f', '-'], read.replace('ipipMode: Never', 'ipipMode: Always'));
  assert.match(await succeeds(['get', 'pool/one', '-o', 'jsonpath={.spec.ipipMode}']), /^Always$/);
  await refuses(['replace', '-f', '-'], /update conflict: IPPool\(one\)/, read);
});

test('CT-003, CT-010, CT-011: how many went well', async () => {
  const two = `${pool('one', '10.1.0.0/16')}---\n${pool('two', '10.2.0.0/16')}`;
  const { code, out, err } = await calicoctl(['create', '-f', '-'], two);
  assert.equal(code, 1);
  assert.match(out, /^Partial success: created the first 1 out of 2 'IPPool' resources:/);
  assert.match(err, /^hit error: \[resource already exists: IPPool\(one\)\]/);
  assert.match(
    await succeeds(['create', '--skip-exists', '-f', '-'], two),
    /Successfully created 2 'IPPool'/,
  );
  await refuses(
    ['replace', '-f', '-'],
    /resource does not exist: IPPool\(none\)/,
    pool('none', '10.3.0.0/16'),
  );
  await refuses(
    ['delete', 'ippool', 'none'],
    /failed to delete 'IPPool' resource: \[resource does not exist/,
  );
  await succeeds(['delete', 'ippool', 'none', '-s']);
  await succeeds(['delete', '-f', '-'], pool('two', '10.2.0.0/16'));
});

test('files with mistakes change nothing and say where', async () => {
  const bad = `${pool('three', '10.3.0.0/16')}---\n${pool('four', '10.4.0.0/16').replace('cidr', 'cdir')}`;
  await refuses(['apply', '-f', '-'], /unknown field "spec\.cdir"; did you mean cidr\? at stdin:9:8/, bad);
  await refuses(['get', 'ippool', 'three'], /resource does not exist: IPPool\(three\)/);
});

test('CT-014, CT-016: tables', async () => {
  assert.equal(
    await succeeds(['get', 'ippools']),
    'NAME   CIDR          SELECTOR   \none    10.1.0.0/16   all()      \n\n',
  );
  assert.match(
    await succeeds(['get', 'ippools', '-o', 'wide']),
    /^NAME +CIDR +NAT +IPIPMODE +VXLANMODE +DISABLED/,
  );
  assert.match(
    await succeeds(['get', 'tiers']),
    /NAME +ORDER +\nkube-admin +1000 +\ndefault +1000000 +\nkube-baseline/,
  );
  assert.match(
    await succeeds(['get', 'profiles', 'kns.default', '-o', 'wide']),
    /pcns\.projectcalico\.org\/name=default/,
  );
  assert.match(await succeeds(['get', 'nodes', '-o', 'wide']), /^NAME +ASN +IPV4 +IPV6/);
  await refuses(['get', 'ippools', '-A'], /IPPool is not namespaced/);
  await refuses(['get', 'ippool', 'one', '-n', 'default'], /IPPool is not namespaced/);
  await refuses(['get', 'cows'], /resource type 'cows' is not supported/);
});

test('CT-015: labels, annotations, patches', async () => {
  assert.match(
    await succeeds(['label', 'ippool', 'one', 'rack=r1']),
    /Successfully set label rack on ippool one/,
  );
  await refuses(['label', 'ippool', 'one', 'rack=r2'], /already present\. please use '--overwrite'/);
  assert.match(
    await succeeds(['label', 'ippool', 'one', 'rack=r2', '--overwrite']),
    /Successfully updated label rack/,
  );
  assert.match(
    await succeeds(['label', 'ippool', 'one', 'rack', '--remove']),
    /Successfully removed label rack/,
  );
  await refuses(['label', 'ippool', 'one', 'rack', '--remove'], /key rack does not exist/);
  await succeeds(['annotate', 'ippool', 'one', 'note=x y']);
  assert.match(
    await succeeds(['patch', 'ippool', 'one', '-p', '{"spec":{"natOutgoing":true}}']),
    /Successfully patched 1 'IPPool' resource/,
  );
  await succeeds([
    'patch',
    'ippool',
    'one',
    '-t',
    'json',
    '-p',
    '[{"op":"add","path":"/spec/disabled","value":true}]',
  ]);
  const read = await succeeds(['get', 'ippool', 'one', '-o', 'json']);
  const { metadata, spec } = JSON.parse(read) as {
    metadata: { annotations: object };
    spec: Record<string, unknown>;
  };
  assert.deepEqual(
    [metadata.annotations, spec['natOutgoing'], spec['disabled']],
    [{ note: 'x y' }, true, true],
  );
  await refuses(
    ['patch', 'ippool', 'one', '-p', 'disabled'],
    /the patch is not an object\. A strategic patch looks like/,
  );
  await refuses(['patch', 'ippool', 'one', '-t', 'json', '-p', '{}'], /not a list of operations/);
  await refuses(['patch', 'ippool', 'one', '-p', '{"http":{}}'], /unknown field "http"/);
  await refuses(['patch', 'ippool', 'one', '-p', '{"spec":{"cidr":"10.9.0.0/16"}}'], /cannot be changed/);
  await refuses(['patch', 'ippool', 'one', '-p', '{"metadata":{"name":"other"}}'], /cannot be changed/);
});

test('namespaces: of the resource, of the flag, default', async () => {
  const policy =
    'apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {selector: all()}\n';
  await succeeds(['apply', '-n', 'kube-public', '-f', '-'], policy);
  await succeeds(['apply', '-f', '-'], policy);
  const table = await succeeds(['get', 'np', '-A']);
  assert.match(table, /NAMESPACE +NAME +TIER +\ndefault +p +default +\nkube-public +p +default/);
  await refuses(
    ['apply', '-n', 'default', '-f', '-'],
    /resource namespace does not match client namespace/,
    policy.replace('name: p', 'name: p, namespace: x'),
  );
});

test('CT-019, RS-085: what calicoctl does not write', async () => {
  const profile = await succeeds(['get', 'profile', 'kns.default', '-o', 'yaml']);
  const readOnly =
    /operation \w+ is not supported on Profile\(kns\.default\): kubernetes-derived profiles are read-only/;
  for (const verb of ['create', 'apply', 'replace', 'delete'])
    await refuses([verb, '-f', '-'], readOnly, profile);
  await refuses(['patch', 'profile', 'kns.default', '-p', '{"spec":{"ingress":[]}}'], readOnly);
  const read = await succeeds(['get', 'clusterinfo', 'default', '-o', 'yaml']);
  assert.match(read, /clusterGUID: [0-9a-f]{32}/);
  await refuses(
    ['apply', '-f', '-'],
    /operation apply is not supported on ClusterInformation\(default\)/,
    read,
  );
  const node = 'apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: n}\nspec: {}\n';
  await refuses(['create', '-f', '-'], /operation create is not supported on Node\(n\)/, node);
});

test('CT-033, CT-034, CT-035, CT-050: addresses and the lock', async () => {
  assert.match(await succeeds(['ipam', 'show']), /\| IP Pool +\| 10\.1\.0\.0\/16 \| +65536 \| +0 \(0%\) \|/);
  assert.match(await succeeds(['ipam', 'show', '--ip=10.1.0.1']), /10\.1\.0\.1 is not assigned/);
  await refuses(['ipam', 'release', '--ip=10.1.0.1'], /IP address 10\.1\.0\.1 is not assigned/);
  assert.match(
    await succeeds(['ipam', 'configure', '--strictaffinity=true']),
    /Successfully set StrictAffinity to: true/,
  );
  assert.match(await succeeds(['ipam', 'show', '--show-configuration']), /\| StrictAffinity +\| true/);
  await refuses(['ipam', 'split', '2', '--name=one'], /datastore is not locked/);
  await succeeds(['datastore', 'migrate', 'lock']);
  assert.match(
    await succeeds(['ipam', 'split', '2', '--cidr=10.1.0.0/16']),
    /Created split-one-1 with CIDR 10\.1\.128\.0\/17/,
  );
  const report = join(directory, 'report.json');
  assert.match(await succeeds(['ipam', 'check', '-o', report]), /Check complete; found 0 problems\./);
  assert.match(
    await succeeds(['ipam', 'release', `--from-report=${report}`]),
    /didn't contain any leaked IPs/,
  );
  const exported = await succeeds(['datastore', 'migrate', 'export']);
  await refuses(['datastore', 'migrate', 'import', '-f', '-'], /holds pools or blocks already/, exported);
  await succeeds(['delete', 'ippool', 'split-one-0', 'split-one-1']);
  assert.match(
    await succeeds(['datastore', 'migrate', 'import', '-f', '-'], exported),
    /Imported \d+ resources\./,
  );
  assert.match(await succeeds(['get', 'ippools', '-o', 'name']), /split-one-0\n.*split-one-1\n/);
  await succeeds(['datastore', 'migrate', 'unlock']);
});

test('CT-001, SR-201: the file, the environment, nothing', async () => {
  const file = join(directory, 'calicoctl.cfg');
  writeFileSync(
    file,
    `apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  datastoreType: kubernetes\n  kubeconfig: ${kubeconfig}\n`,
  );
  const without = { KUBECONFIG: '' };
  assert.equal((await calicoctl(['--config', file, 'get', 'tiers'], '', without)).code, 0);
  assert.equal(
    (await calicoctl(['get', 'tiers', '--allow-version-mismatch'], '', { ...without, K8S_API_ENDPOINT: url }))
      .code,
    0,
  );
  assert.match((await calicoctl(['get', 'tiers'], '', without)).err, /Failed to create Calico API client/);
  assert.match(
    (await calicoctl(['get', 'tiers'], '', { DATASTORE_TYPE: 'papyrus' })).err,
    /no datastore type "papyrus"/,
  );
  assert.equal((await calicoctl(['get', 'tiers', '--context=y'])).code, 1);
  assert.equal((await calicoctl(['validate', '-f', '-'], pool('x', '10.0.0.0/16'), without)).code, 0);
});

test('SR-200, CT-004, CT-005: the names, the verbs, help of each, what is not built', async () => {
  const { out } = await calicoctl(['-h']);
  const verbs =
    'create replace apply delete get patch label validate convert version ipam/show ipam/check ipam/release ipam/configure ipam/split node/run node/status node/diags node/checksystem cluster/diags datastore/migrate/lock datastore/migrate/unlock datastore/migrate/export datastore/migrate/import datastore/migrate-policy-names'
      .split(' ')
      .map((path) => path.replaceAll('/', ' '));
  await Promise.all(
    verbs.map(async (verb) => {
      const [first = ''] = verb.split(' ');
      assert.match(out, new RegExp(`^ +${first} `, 'm'));
      assert.match(await succeeds([...verb.split(' '), '--help']), new RegExp(`^Usage: calicoctl ${verb} `));
    }),
  );
  assert.match(await succeeds(['help', 'get']), /^Usage: calicoctl get /);
  assert.match(await succeeds(['--version']), /^Client Version: +v/);
  const unknown = await calicoctl(['--allow-version-mismatch', '--verbose']);
  assert.equal(unknown.code, 1);
  assert.match(unknown.err, /^Invalid option: '--allow-version-mismatch --verbose'\./);
  assert.match((await calicoctl(['gte', 'nodes'])).err, /There is no command "gte"\. Did you mean get\?/);
  assert.match(
    (await calicoctl(['config', 'set', 'nodeToNodeMesh', 'off'])).err,
    /patch bgpconfiguration default/,
  );
  const plugin = join(directory, 'kubectl-calico');
  symlinkSync(main, plugin);
  const asked = await run(process.execPath, [plugin, 'get', 'tiers', '-o', 'name'], {
    env: { ...process.env, KUBECONFIG: kubeconfig },
  });
  assert.match(asked.out, /^tier\.projectcalico\.org\/kube-admin$/m);
  const help = await run(process.execPath, [plugin, 'get', '--help'], {});
  assert.match(help.out, /^Usage: kubectl calico get/);
  assert.match(out, /^Usage: calicoctl COMMAND/);
  assert.doesNotMatch(out, /^ +(lab|agent) /m);
  assert.match((await calicoctl(['get', '--help'])).out, /Usage: calicoctl get/);
  assert.match((await calicoctl(['get', '--bogus'])).err, /Invalid option: 'calicoctl get --bogus'/);
  await refuses(
    ['datastore', 'migrate-policy-names'],
    /only an etcdv3 datastore has policies under old names/,
  );
  assert.match(await succeeds(['version']), /Client Version: +v[\s\S]*Cluster Version:/);
});

test('CT-017: kinds in all their words', async () => {
  const words: Readonly<Record<string, string>> = {
    IPPool: 'ippool ippools pool pools ipp ipps IPPools',
    BGPConfiguration: 'bgpconfiguration bgpconfigurations bgpconfig bgpconfigs',
    BGPPeer: 'bgppeer bgppeers bgpp bgpps bp bps',
    BGPFilter: 'bgpfilter bgpfilters bf bfs',
    ClusterInformation: 'clusterinformation clusterinformations clusterinfo clusterinfos',
    FelixConfiguration: 'felixconfiguration felixconfigurations felixconfig felixconfigs',
    GlobalNetworkPolicy: 'globalnetworkpolicy globalnetworkpolicies gnp gnps',
    NetworkPolicy: 'networkpolicy networkpolicies np nps policy policies pol pols',
    StagedNetworkPolicy: 'stagednetworkpolicy stagednetworkpolicies snp snps',
    HostEndpoint: 'hostendpoint hostendpoints hep heps',
    Node: 'node nodes no nos',
    WorkloadEndpoint: 'workloadendpoint workloadendpoints wep weps',
    Profile: 'profile profiles pro pros',
    Tier: 'tier tiers',
    NetworkSet: 'networkset networksets netset netsets',
    GlobalNetworkSet: 'globalnetworkset globalnetworksets globalnetset gnetset gnetsets',
    IPReservation: 'ipreservation ipreservations',
    KubeControllersConfiguration: 'kubecontrollersconfiguration kubecontrollersconfig kubecontrollersconfigs',
  };
  for (const [kind, text] of Object.entries(words))
    for (const word of text.split(' ')) assert.equal(kindOfWord(word)?.kind, kind, word);
  assert.match(await succeeds(['get', 'pools', '-o', 'yaml']), /^kind: IPPoolList$/m);
  assert.match(await succeeds(['get', 'PRO', 'kns.default', '-o', 'name']), /^profile\..*\/kns\.default$/m);
});

test('CT-013: success in each verb, of one and of several', async () => {
  const two = `${pool('m1', '10.51.0.0/16')}---\n${pool('m2', '10.52.0.0/16')}`;
  const said = (verb: string, count: number): RegExp =>
    new RegExp(`^Successfully ${verb} ${count} 'IPPool' resource\\(s\\)$`, 'm');
  assert.match(await succeeds(['create', '-f', '-'], two), said('created', 2));
  assert.match(await succeeds(['apply', '-f', '-'], two), said('applied', 2));
  assert.match(await succeeds(['replace', '-f', '-'], pool('m1', '10.51.0.0/16')), said('replaced', 1));
  assert.match(
    await succeeds(['patch', 'ippool', 'm1', '-p', '{"spec":{"natOutgoing":true}}']),
    /^Successfully patched 1 'IPPool' resource/m,
  );
  assert.match(await succeeds(['validate', '-f', '-'], two), said('validated', 2));
  assert.match(await succeeds(['delete', 'ippool', 'm1', 'm2']), said('deleted', 2));
  await refuses(['apply'], /give a file, a directory or - for standard input with -f/);
});

test('CT-025: version: ours, the cluster’s, its type; --client asks nobody; a cluster that is away', async () => {
  assert.match(
    await succeeds(['version']),
    /^Client Version: +v\d\S*\nGit commit: +\S+\nCluster Version: +\S+\nCluster Type: +\S+/,
  );
  const away = { KUBECONFIG: '', K8S_API_ENDPOINT: 'http://127.0.0.1:1' };
  const client = await calicoctl(['version', '--client'], '', away);
  assert.deepEqual([client.code, client.out.split('\n').length], [0, 3], client.err);
  const lost = await calicoctl(['version'], '', away);
  assert.equal(lost.code, 1);
  assert.match(lost.out, /^Client Version/);
  assert.match(lost.err, /Unable to retrieve Cluster Version or Type/);
  await refuses(['version', '--poll=often'], /Invalid poll duration/);
});

test('CT-002: log levels; clusters of other versions are served with and without the flag', async () => {
  const info = await calicoctl(['get', 'tiers', '-l', 'info']);
  assert.match(info.err, /\[INFO\] datastore kubernetes: .*kubeconfig$/m);
  assert.doesNotMatch(info.err, /DEBUG/);
  const debug = await calicoctl(['--log-level=debug', 'get', 'tiers']);
  assert.equal(debug.code, 0);
  assert.match(debug.err, /\[DEBUG\] list Tier \(all\): ok in \d+ ms/);
  assert.match(debug.out, /^NAME/);
  assert.equal((await calicoctl(['get', 'tiers'])).err, '');
  await refuses(
    ['get', 'tiers', '-l', 'loud'],
    /Unknown log level: loud, expected one of: panic, fatal, error/,
  );
  const setVersion = (calicoVersion: string): Promise<string> =>
    succeeds(['patch', 'clusterinfo', 'default', '-p', JSON.stringify({ spec: { calicoVersion } })]);
  await setVersion('v3.1.0');
  assert.match(await succeeds(['ipam', 'show']), /^\+/);
  assert.match(await succeeds(['version']), /Cluster Version: +v3\.1\.0/);
  assert.match(await succeeds(['ipam', 'show', '--allow-version-mismatch']), /^\+/);
  assert.match(await succeeds(['--allow-version-mismatch', 'get', 'tiers']), /^NAME/);
});

test('CT-051: cluster diags: resources, addresses, sessions in one archive, without secrets', async () => {
  await succeeds(['annotate', 'ippool', 'split-one-0', 'bgp-password=hunter2']);
  const folder = mkdtempSync(join(directory, 'diags-'));
  const { code, out, err } = await run(process.execPath, [program, 'cluster', 'diags', '--since=1h'], {
    env: { ...process.env, KUBECONFIG: kubeconfig, HOME: directory, PWD: folder },
    cwd: folder,
  });
  assert.equal(code, 0, err);
  const name = /Diagnostic bundle created at \.\/(\S+)$/m.exec(out)?.[1] ?? '';
  assert.match(name, /^calico-diagnostics-\d{8}_\d{6}\.tar\.gz$/);
  await run('tar', ['-xzf', join(folder, name), '-C', folder]);
  const read = (file: string): string =>
    readFileSync(join(folder, name.replace('.tar.gz', ''), file), 'utf8');
  assert.match(read('cluster/calico/ippools.yaml'), /name: split-one-0/);
  assert.match(read('cluster/calico/ippools.yaml'), /bgp-password: <censored>/);
  assert.match(read('cluster/calico/tiers.txt'), /^NAME +ORDER/);
  assert.match(read('cluster/ipam/show.txt'), /GROUPING/);
  assert.match(read('cluster/ipam/check.txt'), /Check complete/);
  assert.match(read('cluster/version.txt'), /Cluster Type/);
  assert.match(out, /Created temporary directory: (\S+)/);
  assert.ok(!existsSync(/temporary directory: (\S+)/.exec(out)?.[1] ?? ''));
  await refuses(['cluster', 'diags', '--since=yesterday'], /Invalid --since value/);
  await refuses(['cluster', 'diags', '--max-logs=-1'], /--max-logs/);
});

test('CT-041: node run: what it would run, and what it refuses', async () => {
  const felix = join(directory, 'felix.cfg');
  writeFileSync(felix, '[global]\nLogSeverityScreen = debug\n');
  const out = await succeeds([
    'node',
    'run',
    '--dryrun',
    '--name=n1',
    '--ip=10.0.0.21',
    '--as=1.10',
    '--no-default-ippools',
    '--ip-autodetection-method=interface=eth.*',
    `--felix-config=${felix}`,
  ]);
  const environment = [
    'NODENAME=n1',
    'IP=10.0.0.21',
    'AS=65546',
    "IP_AUTODETECTION_METHOD='interface=eth.*'",
    'CALICO_NETWORKING_BACKEND=bird',
    'NO_DEFAULT_POOLS=true',
    'FELIX_LOGSEVERITYSCREEN=debug',
  ];
  for (const variable of environment)
    assert.ok(out.includes(` ${variable} `) || out.includes(`\n${variable} `), `${variable}: ${out}`);
  assert.match(out, / agent --allow-root-namespace$/m);
  assert.match(out, / speaker --allow-root-namespace --engine native$/m);
  assert.doesNotMatch(await succeeds(['node', 'run', '--dryrun', '--backend=none']), / speaker /);
  await refuses(['node', 'run', '--dryrun', '--backend=gobgp'], /unknown backend 'gobgp'/);
  await refuses(['node', 'run', '--dryrun', '--ip=fd00::1'], /--ip is wrong IP version/);
  await refuses(['node', 'run', '--dryrun', '--as=70000.1'], /invalid AS number/);
  await refuses(
    ['node', 'run', '--dryrun', '--ip-autodetection-method=guess'],
    /invalid IP autodetection method/,
  );
});

test('CT-042: node diags: routes, rules, sessions, settings and logs, without secrets', async () => {
  const logs = mkdtempSync(join(directory, 'logs-'));
  writeFileSync(join(logs, 'felix.log'), 'started\nAuthorization: Bearer abcdefghijk\n');
  mkdirSync(join(logs, 'cni'));
  writeFileSync(join(logs, 'cni', 'cni.log'), 'ADD\n');
  const out = await succeeds(['node', 'diags', `--log-dir=${logs}`]);
  for (const line of ['Collecting diagnostics', 'Dumping routes (IPv4)', 'Copying Calico logs'])
    assert.ok(out.includes(line), out);
  const [, path = '', directoryOfIt = ''] =
    /Diags saved to ((\S+)\/diags-\d{8}_\d{6}\.tar\.gz)/.exec(out) ?? [];
  try {
    const { out: listed } = await run('tar', ['-tzf', path]);
    for (const file of [
      'date',
      'ipv4_route',
      'ipv6_addr',
      'nftables',
      'bgp_peers.json',
      'logs/felix.log',
      'logs/cni/cni.log',
    ])
      assert.ok(listed.split('\n').includes(`diagnostics/${file}`), `${file}: ${listed}`);
    const { out: felix } = await run('tar', ['-xzOf', path, 'diagnostics/logs/felix.log']);
    assert.equal(felix, 'started\nAuthorization: Bearer <censored>\n');
  } finally {
    rmSync(directoryOfIt, { recursive: true, force: true });
  }
});

test('CT-040: node status, from the socket of the speaker', async () => {
  await refuses(['node', 'status', '--socket', join(directory, 'none')], /Calico process is not running\./);
  const socket = join(directory, 'bgp.sock');
  const peers = [
    { kind: 'node-mesh', address: 'fd00::1', state: 'Established', since: new Date().toISOString() },
  ];
  const listening: Server = createServer((client) =>
    client.on('data', () => client.write(`${JSON.stringify({ ok: true, result: peers })}\n`)),
  );
  await new Promise<void>((done) => listening.listen(socket, done));
  const out = await succeeds(['node', 'status', '--socket', socket]);
  listening.close();
  assert.match(out, /IPv4 BGP status\nNo IPv4 peers found\./);
  assert.match(
    out,
    /IPv6 BGP status\n[\s\S]*\| fd00::1 +\| node-to-node mesh \| up +\| \d\d:\d\d:\d\d \| Established \|/,
  );
});

test('a server that is gone', async () => {
  server?.kill('SIGKILL');
  await refuses(['get', 'ippools'], /./);
});
