// Calico's own policy on a lab, with kubectl and real packets: tiers, global policy, Log and Pass, policy of administrators,
// staged policy, network sets, host endpoints, what is refused at the door; and what `margay policy` says about it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { bundled, margay, run, TestLab, without } from '../support/lab.ts';
import { PolicyMatrix, type Expectation } from '../support/policy-matrix.ts';

const skip = without('kubectl', 'ip', 'nft');
let lab: TestLab;
let matrix: PolicyMatrix;

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('calipol', ['--topology', 'flat', '--nodes', '2', '--dual-stack']);
  matrix = await PolicyMatrix.make(lab);
  await matrix.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'host', namespace: 'default' },
    spec: {
      hostNetwork: true,
      nodeName: 'worker1',
      containers: [{ name: 'server', image: 'agnhost', args: ['8090', '8091'] }],
    },
  });
  // As the upstream project installs it: a definition.
  await matrix.apply(administratorsDefinition);
  await matrix.kubectl([
    'wait',
    '--for=condition=Established',
    '--timeout=120s',
    'crd/clusternetworkpolicies.policy.networking.k8s.io',
  ]);
  await matrix.refresh();
});
after(async () => {
  await matrix?.close();
  await lab?.down();
});

const v3 = 'projectcalico.org/v3';
const resource = (kind: string, name: string, spec: object, labels: object = {}): object => ({
  apiVersion: v3,
  kind,
  metadata: { name, labels },
  spec,
});
const globalPolicy = (name: string, spec: object): object => resource('GlobalNetworkPolicy', name, spec);
const policyIn = (namespace: string, name: string, spec: object, kind = 'NetworkPolicy'): object => ({
  apiVersion: v3,
  kind,
  metadata: { name, namespace },
  spec,
});
const administrators = (name: string, spec: object): object => ({
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name },
  spec,
});

const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
const administratorsDefinition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'clusternetworkpolicies.policy.networking.k8s.io' },
  spec: {
    group: 'policy.networking.k8s.io',
    scope: 'Cluster',
    names: {
      kind: 'ClusterNetworkPolicy',
      plural: 'clusternetworkpolicies',
      singular: 'clusternetworkpolicy',
    },
    versions: [
      {
        name: 'v1alpha2',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', properties: { spec: open, status: open } } },
      },
    ],
  },
};

const namespaceOf = (path: string): string => path.split('/')[0] ?? '';
const everybody: Expectation = () => true;
async function isAsExpected(expected: Expectation, question = {}): Promise<void> {
  assert.deepEqual(await matrix.differences(expected, question), []);
}
const kinds = [
  'networkpolicies.projectcalico.org',
  'globalnetworkpolicies.projectcalico.org',
  'stagedglobalnetworkpolicies.projectcalico.org',
  'stagednetworkpolicies.projectcalico.org',
  'clusternetworkpolicies.policy.networking.k8s.io',
  'networkpolicies.networking.k8s.io',
  'hostendpoints.projectcalico.org',
  'globalnetworksets.projectcalico.org',
];
const behaviour = (name: string, holds: () => Promise<void>): void => {
  test(name, { skip }, async () => {
    try {
      await holds();
    } finally {
      await matrix.kubectl(['delete', kinds.join(','), '--all', '-A', '--wait=false']);
      await matrix.kubectl([
        'delete',
        'tiers.projectcalico.org',
        'security',
        '--ignore-not-found',
        '--wait=false',
      ]);
    }
  });
};
const security = resource('Tier', 'security', { order: 10 });

behaviour('SR-173, SR-174: a namespaced policy is for its namespace, a global one for all', async () => {
  await matrix.apply(
    policyIn('x', 'p', {
      selector: "pod == 'a'",
      ingress: [{ action: 'Allow', source: { selector: "pod == 'b'" } }],
    }),
  );
  await isAsExpected((from, to) => to !== 'x/a' || from === 'x/b');
  await matrix.apply(
    policyIn('x', 'p', { selector: "pod == 'zz'" }),
    globalPolicy('p', {
      selector: "pod == 'a'",
      ingress: [{ action: 'Allow', source: { selector: "pod == 'b'" } }],
    }),
  );
  await isAsExpected((from, to) => !to.endsWith('/a') || from.endsWith('/b'));
});

behaviour(
  'SR-008: rules are enforced on the host: the workload has none of them, and cannot take them away',
  async () => {
    await matrix.apply(globalPolicy('p', { selector: "pod == 'a'", ingress: [{ action: 'Deny' }] }));
    await isAsExpected((_, to) => !to.endsWith('/a'));
    const inside = (command: string) =>
      lab.exec('pod/x/a', 'sh', '-c', `PATH=$PATH:/usr/sbin:/sbin; nft list ruleset; ${command}`);
    const { code, out, err } = await inside('nft flush ruleset && nft add table ip own');
    assert.deepEqual(
      [code, out, err],
      [0, '', ''],
      'root in the pod finds no rule, and may do with rules as it likes',
    );
    await isAsExpected((_, to) => !to.endsWith('/a'));
  },
);

behaviour('SR-175: a database that only its front end may reach', async () => {
  await matrix.apply(
    policyIn('x', 'db', {
      selector: "pod == 'a'",
      types: ['Ingress', 'Egress'],
      ingress: [
        {
          action: 'Allow',
          protocol: 'TCP',
          source: { selector: "pod == 'b'" },
          destination: { ports: [80] },
        },
      ],
      egress: [{ action: 'Allow' }],
    }),
  );
  await isAsExpected((from, to) => to !== 'x/a' || from === 'x/b');
  await isAsExpected((_, to) => to !== 'x/a', { port: 81 });
});

behaviour('RS-125, RS-090: tiers in order; Pass goes on, Deny and the end of a tier do not', async () => {
  const open = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'open', namespace: 'x' },
    spec: { podSelector: {}, ingress: [{}] },
  };
  await matrix.apply(security, open);
  const inTier = (...ingress: object[]) =>
    globalPolicy('security.p', { tier: 'security', selector: "projectcalico.org/namespace == 'x'", ingress });
  await matrix.apply(
    inTier(
      { action: 'Deny', source: { selector: "pod == 'c'" } },
      { action: 'Pass', source: { selector: "pod == 'b'" } },
    ),
  );
  await isAsExpected((from, to) => namespaceOf(to) !== 'x' || from.endsWith('/b'));
  await matrix.apply(resource('Tier', 'security', { order: 10, defaultAction: 'Pass' }));
  await isAsExpected((from, to) => namespaceOf(to) !== 'x' || !from.endsWith('/c'));
  // Behind the default tier nobody asks for it.
  await matrix.apply(resource('Tier', 'security', { order: 2_000_000 }));
  await isAsExpected(everybody);
});

behaviour('SR-177: order decides between policies, then the name; never their age', async () => {
  const deny = (name: string, more = {}) =>
    globalPolicy(name, { selector: "pod == 'a'", ingress: [{ action: 'Deny' }], ...more });
  const allow = (name: string, more = {}) =>
    globalPolicy(name, { selector: "pod == 'a'", ingress: [{ action: 'Allow' }], ...more });
  await matrix.apply(deny('m'));
  await isAsExpected((_, to) => !to.endsWith('/a'));
  await matrix.apply(allow('n'));
  await isAsExpected((_, to) => !to.endsWith('/a'));
  await matrix.apply(allow('l'));
  await isAsExpected(everybody);
  await matrix.apply(deny('m', { order: 5 }));
  await isAsExpected((_, to) => !to.endsWith('/a'));
});

behaviour('RS-100: Log goes on and allows nothing', async () => {
  await matrix.apply(globalPolicy('p', { selector: "pod == 'a'", ingress: [{ action: 'Log' }] }));
  await isAsExpected((_, to) => !to.endsWith('/a'));
  await matrix.apply(
    globalPolicy('p', { selector: "pod == 'a'", ingress: [{ action: 'Log' }, { action: 'Allow' }] }),
  );
  await isAsExpected(everybody);
});

behaviour('SR-182: network sets stand for networks by their labels', async () => {
  const address = `${matrix.address('y/b')}/32`;
  await matrix.apply(
    resource('GlobalNetworkSet', 'friends', { nets: [address] }, { friend: 'yes' }),
    globalPolicy('p', {
      selector: "pod == 'a'",
      ingress: [{ action: 'Allow', source: { selector: "friend == 'yes'" } }],
    }),
  );
  await isAsExpected((from, to) => !to.endsWith('/a') || from === 'y/b');
  await matrix.apply(
    resource('GlobalNetworkSet', 'friends', { nets: ['192.168.0.0/16'] }, { friend: 'yes' }),
  );
  await isAsExpected(everybody);
});

behaviour('RS-135: policy of administrators comes first, the baseline last', async () => {
  const subject = { namespaces: { matchLabels: { ns: 'x' } } };
  const from = [{ namespaces: { matchLabels: { ns: 'y' } } }];
  const open = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'open', namespace: 'x' },
    spec: { podSelector: {}, ingress: [{}] },
  };
  await matrix.apply(
    open,
    administrators('admin', { tier: 'Admin', priority: 1, subject, ingress: [{ action: 'Deny', from }] }),
  );
  await isAsExpected((sender, to) => namespaceOf(to) !== 'x' || namespaceOf(sender) !== 'y');
  await matrix.apply(
    administrators('admin', { tier: 'Admin', priority: 1, subject, ingress: [{ action: 'Pass', from }] }),
  );
  await isAsExpected(everybody);
  await matrix.apply(
    administrators('base', { tier: 'Baseline', priority: 1, subject, ingress: [{ action: 'Deny', from }] }),
  );
  await isAsExpected(everybody);
  await matrix.kubectl(['delete', 'networkpolicies.networking.k8s.io', '-n', 'x', 'open']);
  await isAsExpected((sender, to) => namespaceOf(to) !== 'x' || namespaceOf(sender) !== 'y');
});

behaviour('RS-121: staged policies change nothing, and policy test tells what they would', async () => {
  await matrix.apply(
    policyIn('x', 'p', { selector: 'all()', ingress: [{ action: 'Deny' }] }, 'StagedNetworkPolicy'),
  );
  const question = ['policy', 'test', '--from', 'y/a', '--to', 'x/a', '--port', '80'];
  assert.equal((await asked(...question)).code, 0);
  const staged = await asked(...question, '--staged');
  assert.equal(staged.code, 1, staged.err);
  assert.match(staged.out, /denied by rule ingress\[0\] of np:x\/p/);
  assert.match((await asked('policy', 'of', 'x/a')).out, /staged \(changes nothing\)\n {2}snp:x\/p Set/);
  await isAsExpected(everybody);
});

const asked = (...argv: readonly string[]) => margay(argv, { ...process.env, KUBECONFIG: lab.kubeconfig });

behaviour('policy of, pods of, policy unused: with hits counted on the nodes', async () => {
  await matrix.apply(
    policyIn('x', 'p', {
      selector: "pod == 'a'",
      ingress: [
        { action: 'Allow', protocol: 'TCP', source: { selector: "pod == 'b'" } },
        { action: 'Deny', protocol: 'UDP' },
      ],
    }),
    policyIn('x', 'typo', { selector: "pod == 'aa'", ingress: [{ action: 'Deny' }] }),
  );
  await isAsExpected((from, to) => to !== 'x/a' || from === 'x/b');
  const of = await asked('policy', 'of', 'x/a');
  assert.match(
    of.out,
    /np:x\/p\n {6}\[0\] allow TCP from \[namespace == "x" && pod == "b"\] · 2 addresses · \d+ hits?\n {6}\[1\] deny UDP · never hit\n/,
  );
  const pods = await asked('pods', 'of', 'np/x/p', '-o', 'json');
  const [report] = JSON.parse(pods.out) as {
    endpoints: { endpoint: string }[];
    rules: { hits?: { packets: number } }[];
  }[];
  assert.deepEqual(
    report?.endpoints.map(({ endpoint }) => endpoint),
    ['x/a'],
  );
  assert.ok((report?.rules[0]?.hits?.packets ?? 0) > 0);
  const unused = await asked('policy', 'unused');
  assert.match(unused.out, /np:x\/p +ingress\[1\] +never hit/);
  assert.match(unused.out, /np:x\/typo +selects nobody/);
  // The files of a change, in the cluster as it is.
  const judged = await run(
    process.execPath,
    [
      await bundled(),
      'policy',
      'test',
      '-f',
      '-',
      '--cluster',
      '--from',
      'x/b',
      '--to',
      'x/a',
      '--port',
      '80',
    ],
    {
      env: { ...process.env, KUBECONFIG: lab.kubeconfig },
      input: JSON.stringify(policyIn('x', 'p', { selector: "pod == 'a'", ingress: [] })),
    },
  );
  assert.equal(judged.code, 1, judged.err);
});

behaviour('trace: a packet through the lab, node by node, beside what policy means', async () => {
  await matrix.apply(
    policyIn('x', 'p', {
      selector: "pod == 'a'",
      ingress: [
        { action: 'Allow', protocol: 'TCP', source: { namespaceSelector: "ns == 'y'" } },
        { action: 'Deny' },
      ],
    }),
  );
  await isAsExpected((from, to) => to !== 'x/a' || namespaceOf(from) === 'y');
  const trace = async (from: string, ...more: readonly string[]) => {
    const { code, out, err } = await asked('trace', '--from', from, '--to', 'x/a', '-o', 'json', ...more);
    assert.notEqual(code, 2, err);
    return JSON.parse(out) as {
      hops: { node: string; rules: string[]; end: { kind: string; by?: string } }[];
      arrived: boolean;
      predicted: string;
      agrees: boolean;
    };
  };
  const home = await matrix.nodeOf('x/a');
  const passed = await trace('y/b', '--port', '80');
  assert.equal(passed.arrived, true, JSON.stringify(passed));
  assert.equal(passed.agrees, true);
  assert.equal(passed.hops[0]?.node, await matrix.nodeOf('y/b'));
  assert.equal(passed.hops.at(-1)?.node, home);
  assert.ok(passed.hops.at(-1)?.rules.includes('default np:x/p ingress[0] allow'), JSON.stringify(passed));
  const stopped = await trace('z/b', '--protocol', 'ICMP');
  assert.equal(stopped.arrived, false, JSON.stringify(stopped));
  assert.equal(stopped.predicted, 'deny');
  assert.deepEqual(stopped.hops.at(-1)?.end, { kind: 'dropped', by: 'default np:x/p ingress[1] deny' });
  const text = await asked('trace', '--from', `node/${home}`, '--to', 'x/a', '--port', '80');
  assert.equal(text.code, 0, text.err + text.out);
  assert.match(text.out, /made here\n {2}out by cali\w+\nanswer: yes\npolicy means: allowed/);
});

behaviour(
  'SR-190, SR-191, SR-192, SR-194: a host endpoint closes its host, a profile or a policy opens it',
  async () => {
    const host = (port: number) => [{ from: 'node/master1', to: 'default/host', port }] as const;
    const reached = async (port: number): Promise<boolean> => (await matrix.connects(host(port)))[0] === true;
    await matrix.until(async () => (await reached(8090)) && reached(8091));
    const endpoint = (profiles: readonly string[]) =>
      resource(
        'HostEndpoint',
        'worker1-eth0',
        {
          node: 'worker1',
          interfaceName: 'eth0',
          expectedIPs: ['10.0.0.12'],
          profiles,
          ports: [{ name: 'web', protocol: 'TCP', port: 8090 }],
        },
        { role: 'worker' },
      );
    await matrix.apply(endpoint([]));
    await matrix.until(async () => !(await reached(8090)) && !(await reached(8091)));
    // Pods behind it are none of its business (RS-143).
    await isAsExpected(everybody);
    await matrix.apply(endpoint(['projectcalico-default-allow']));
    await matrix.until(async () => (await reached(8090)) && reached(8091));
    await matrix.apply(
      endpoint([]),
      globalPolicy('workers', {
        selector: "role == 'worker'",
        types: ['Ingress', 'Egress'],
        ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: ['web'] } }],
        egress: [{ action: 'Allow' }],
      }),
    );
    await matrix.until(async () => (await reached(8090)) && !(await reached(8091)));
    assert.match(
      (await asked('policy', 'of', 'hep/worker1-eth0')).out,
      /^host endpoint worker1-eth0 [\s\S]*gnp:workers\n {6}\[0\] allow TCP to .*port web/,
    );
  },
);

behaviour('SR-193: labels of a host endpoint stand for its expected addresses in rules', async () => {
  await matrix.apply(
    resource(
      'HostEndpoint',
      'master1-eth0',
      {
        node: 'master1',
        interfaceName: 'eth0',
        expectedIPs: ['10.0.0.11'],
        profiles: ['projectcalico-default-allow'],
      },
      { role: 'master' },
    ),
    globalPolicy('p', {
      selector: "pod == 'a'",
      ingress: [{ action: 'Allow', source: { selector: "role == 'master'" } }],
    }),
  );
  const away = await Promise.all(
    ['x/a', 'y/a', 'z/a'].map(async (path) => ({ path, node: await matrix.nodeOf(path) })),
  );
  for (const { path, node } of away)
    await matrix.until(async () => {
      const reach = await matrix.fromNodes(path);
      return reach['master1'] === true && reach['worker1'] === (node === 'worker1');
    });
});

behaviour('what makes no sense is refused at the door', async () => {
  const refusal = async (object: object): Promise<string> => {
    const { code, err } = await run('kubectl', ['apply', '-f', '-'], {
      env: { ...process.env, KUBECONFIG: lab.kubeconfig },
      input: JSON.stringify(object),
    });
    assert.notEqual(code, 0);
    return err;
  };
  assert.match(await refusal(globalPolicy('p', { selector: 'app ==' })), /spec\.selector/);
  assert.match(await refusal(globalPolicy('p', { tier: 'nowhere', selector: 'all()' })), /nowhere/);
  assert.match(await refusal(globalPolicy('p', { ingress: [{ action: 'Permit' }] })), /action/);
  assert.match(await refusal(globalPolicy('p', { ingress: [{ action: 'Allow', sauce: {} }] })), /sauce/);
  const enormous = Array.from({ length: 1025 }, () => ({ action: 'Allow' }));
  assert.match(await refusal(globalPolicy('p', { ingress: enormous })), /1024/);
  const nets = Array.from({ length: 257 }, (_, i) => `10.0.${i >> 8}.${i & 255}/32`);
  assert.match(await refusal(globalPolicy('p', { ingress: [{ action: 'Allow', source: { nets } }] })), /256/);
});
