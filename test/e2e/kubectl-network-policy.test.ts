// Kubernetes NetworkPolicy as the upstream suite checks it: three namespaces (x, y, z) with three pods (a, b, c) each, policies
// applied with kubectl, and for each the question who reaches whom, asked with real packets between all pods.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestLab, without } from '../support/lab.ts';
import { PolicyMatrix, type Expectation, type PodPath, type Question } from '../support/policy-matrix.ts';

const skip = without('kubectl', 'ip');
let lab: TestLab;
let matrix: PolicyMatrix;

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('netpol', ['--topology', 'flat', '--nodes', '2', '--dual-stack']);
  matrix = await PolicyMatrix.make(lab);
});
after(async () => {
  await matrix?.close();
  await lab?.down();
});

type Peer = { readonly podSelector?: object; readonly namespaceSelector?: object; readonly ipBlock?: object };
type Port = { readonly port?: number | string; readonly endPort?: number; readonly protocol?: string };
type Spec = {
  readonly podSelector?: object;
  readonly policyTypes?: readonly ('Ingress' | 'Egress')[];
  readonly ingress?: readonly { readonly from?: readonly Peer[]; readonly ports?: readonly Port[] }[];
  readonly egress?: readonly { readonly to?: readonly Peer[]; readonly ports?: readonly Port[] }[];
};

const policy = (path: string, { podSelector = {}, ...spec }: Spec): object => {
  const [namespace, name] = path.split('/');
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace },
    spec: { podSelector, ...spec },
  };
};
const pod = (name: string): Peer => ({ podSelector: { matchLabels: { pod: name } } });
const namespace = (name: string): Peer => ({ namespaceSelector: { matchLabels: { ns: name } } });
const only = (name: string): object => ({ matchLabels: { pod: name } });

const namespaceOf = (path: PodPath): string => path.split('/')[0] ?? '';
/** What holds where no policy is in the way. */
const everybody: Expectation = () => true;
/** Who reaches the target (`x/a`, or `x` for all of that namespace), when everybody else is reached by everybody. */
const into =
  (target: PodPath, may: (from: PodPath) => boolean): Expectation =>
  (from, to) =>
    (target === 'x' ? namespaceOf(to) !== 'x' : to !== target) || may(from);
/** Whom the source (`x/a`, `x`) reaches, when everybody else reaches everybody. */
const outOf =
  (source: PodPath, may: (to: PodPath) => boolean): Expectation =>
  (from, to) =>
    (source === 'x' ? namespaceOf(from) !== 'x' : from !== source) || may(to);
const nobody = (): boolean => false;

async function isAsExpected(expected: Expectation, question: Question = {}): Promise<void> {
  assert.deepEqual(await matrix.differences(expected, question), []);
}

/** Each behaviour starts and ends without policy. */
const behaviour = (name: string, run: () => Promise<void>): void => {
  test(name, { skip }, async () => {
    try {
      await run();
    } finally {
      await matrix.kubectl(['delete', 'networkpolicies.networking.k8s.io', '--all', '-A', '--wait=false']);
    }
  });
};

behaviour('without policy everybody reaches everybody, by every protocol and both families', async () => {
  for (const protocol of ['tcp', 'udp', 'sctp'] as const)
    for (const family of [4, 6] as const) await isAsExpected(everybody, { protocol, family });
});

behaviour('SR-170, RS-133: default deny of ingress', async () => {
  await matrix.apply(policy('x/deny', { ingress: [] }));
  await isAsExpected(into('x', nobody));
  await isAsExpected(into('x', nobody), { protocol: 'udp', family: 6 });
  await isAsExpected(into('x', nobody), { protocol: 'sctp' });
});

behaviour(
  'RS-133, SR-181: default deny of egress, and of both; kubectl exec is not subject to it',
  async () => {
    await matrix.apply(policy('x/deny', { policyTypes: ['Egress'] }));
    await isAsExpected(outOf('x', nobody));
    await matrix.apply(policy('x/deny', { policyTypes: ['Ingress', 'Egress'] }));
    await isAsExpected((from, to) => namespaceOf(from) !== 'x' && namespaceOf(to) !== 'x');
    assert.equal(await matrix.kubectl(['exec', '-n', 'x', 'a', '--', 'echo', 'here']), 'here\n');
  },
);

behaviour('RS-133: allow all, beside default deny, in either order', async () => {
  await matrix.apply(policy('x/deny', { ingress: [] }));
  await isAsExpected(into('x', nobody));
  await matrix.apply(policy('x/allow', { ingress: [{}] }));
  await isAsExpected(everybody);
  await matrix.kubectl(['delete', 'networkpolicy', '-n', 'x', 'allow']);
  await isAsExpected(into('x', nobody));
});

behaviour('RS-132: a podSelector means pods of the policy’s namespace', async () => {
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [pod('b')] }] }));
  await isAsExpected(into('x/a', (from) => from === 'x/b'));
});

behaviour('RS-132: a namespaceSelector means all pods of the namespaces', async () => {
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [namespace('y')] }] }));
  await isAsExpected(into('x/a', (from) => namespaceOf(from) === 'y'));
});

behaviour('RS-132: matchExpressions of namespaces and of pods', async () => {
  const notY = { namespaceSelector: { matchExpressions: [{ key: 'ns', operator: 'NotIn', values: ['y'] }] } };
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [notY] }] }));
  await isAsExpected(into('x/a', (from) => namespaceOf(from) !== 'y'));
  const aOrC = { podSelector: { matchExpressions: [{ key: 'pod', operator: 'In', values: ['a', 'c'] }] } };
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [aOrC] }] }));
  await isAsExpected(into('x/a', (from) => from === 'x/c'));
  const others = { podSelector: { matchExpressions: [{ key: 'pod', operator: 'DoesNotExist' }] } };
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [others] }] }));
  await isAsExpected(into('x/a', nobody));
});

behaviour('RS-132: both selectors in one peer mean both, in two peers either', async () => {
  const both = { ...namespace('y'), ...pod('b') };
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [both] }] }));
  await isAsExpected(into('x/a', (from) => from === 'y/b'));
  const either = [namespace('y'), pod('b')];
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: either }] }));
  await isAsExpected(into('x/a', (from) => namespaceOf(from) === 'y' || from === 'x/b'));
  const several = [
    { ...namespace('y'), ...pod('b') },
    { ...namespace('z'), ...pod('c') },
  ];
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: several }] }));
  await isAsExpected(into('x/a', (from) => ['y/b', 'z/c'].includes(from)));
});

behaviour('RS-132: all namespaces but the own one', async () => {
  const others = {
    namespaceSelector: { matchExpressions: [{ key: 'ns', operator: 'NotIn', values: ['x'] }] },
  };
  await matrix.apply(policy('x/p', { ingress: [{ from: [others] }] }));
  await isAsExpected((from, to) => namespaceOf(to) !== 'x' || namespaceOf(from) !== 'x');
  await matrix.apply(policy('x/p', { ingress: [{ from: [{ podSelector: {} }] }] }));
  await isAsExpected((from, to) => namespaceOf(to) !== 'x' || namespaceOf(from) === 'x');
});

behaviour('RS-131: ports by number', async () => {
  await matrix.apply(policy('x/p', { ingress: [{ from: [namespace('x')], ports: [{ port: 81 }] }] }));
  await isAsExpected(into('x', nobody), { port: 80 });
  await isAsExpected((from, to) => namespaceOf(to) !== 'x' || namespaceOf(from) === 'x', { port: 81 });
});

behaviour('RS-131: policies stack: each adds what it allows', async () => {
  await matrix.apply(
    policy('x/one', { ingress: [{ from: [namespace('x')], ports: [{ port: 80 }] }] }),
    policy('x/two', { podSelector: only('a'), ingress: [{ from: [namespace('y')], ports: [{ port: 81 }] }] }),
  );
  await isAsExpected((from, to) => namespaceOf(to) !== 'x' || namespaceOf(from) === 'x', { port: 80 });
  await isAsExpected((from, to) => namespaceOf(to) !== 'x' || (to === 'x/a' && namespaceOf(from) === 'y'), {
    port: 81,
  });
});

behaviour('RS-131: ports by name, for ingress and egress, with the protocol of the rule', async () => {
  await matrix.apply(policy('x/p', { ingress: [{ ports: [{ port: 'serve-81-tcp' }] }] }));
  await isAsExpected(everybody, { port: 81 });
  await isAsExpected(into('x', nobody), { port: 80 });
  await isAsExpected(into('x', nobody), { port: 81, protocol: 'udp' });
  await matrix.apply(
    policy('x/p', {
      podSelector: only('a'),
      policyTypes: ['Egress'],
      egress: [{ ports: [{ port: 'serve-80-udp', protocol: 'UDP' }] }],
    }),
  );
  await isAsExpected(
    outOf('x/a', () => true),
    { protocol: 'udp' },
  );
  await isAsExpected(outOf('x/a', nobody));
});

behaviour('RS-131: endPort is the last of a range', async () => {
  await matrix.apply(policy('x/p', { ingress: [{ ports: [{ port: 80, endPort: 81 }] }] }));
  for (const port of [80, 81]) await isAsExpected(everybody, { port });
  await isAsExpected(into('x', nobody), { port: 82, protocol: 'udp' });
  await isAsExpected(into('x', nobody), { port: 80, protocol: 'udp' });
  await matrix.apply(
    policy('x/p', { policyTypes: ['Egress'], egress: [{ ports: [{ port: 81, endPort: 90 }] }] }),
  );
  await isAsExpected(outOf('x', nobody));
  await isAsExpected(everybody, { port: 81 });
});

behaviour('RS-131: protocols: UDP is not TCP, SCTP is not TCP, and all ports of one are all', async () => {
  await matrix.apply(policy('x/p', { ingress: [{ ports: [{ protocol: 'UDP' }] }] }));
  await isAsExpected(everybody, { protocol: 'udp', port: 81 });
  await isAsExpected(into('x', nobody));
  await isAsExpected(into('x', nobody), { protocol: 'sctp' });
  await matrix.apply(policy('x/p', { ingress: [{ ports: [{ protocol: 'SCTP', port: 80 }] }] }));
  await isAsExpected(everybody, { protocol: 'sctp' });
  await isAsExpected(into('x', nobody));
  await isAsExpected(into('x', nobody), { protocol: 'sctp', port: 81 });
});

behaviour(
  'RS-132: ipBlock allows addresses, except takes some out, another policy may allow them',
  async () => {
    const all = '192.168.0.0/16';
    const b = `${matrix.address('y/b')}/32`;
    const egress = (...to: Peer[]): Spec => ({
      podSelector: only('a'),
      policyTypes: ['Egress'],
      egress: [{ to }],
    });
    await matrix.apply(policy('x/p', egress({ ipBlock: { cidr: b } })));
    await isAsExpected(outOf('x/a', (to) => to === 'y/b'));
    await matrix.apply(policy('x/p', egress({ ipBlock: { cidr: all, except: [b] } })));
    await isAsExpected(outOf('x/a', (to) => to !== 'y/b'));
    // A network of the other family is no word about this one.
    await isAsExpected(outOf('x/a', nobody), { family: 6 });
    await matrix.apply(policy('x/q', egress({ ipBlock: { cidr: b } })));
    await isAsExpected(everybody);
    await matrix.apply(
      policy('x/p', {
        podSelector: only('a'),
        ingress: [{ from: [{ ipBlock: { cidr: all, except: [b] } }] }],
      }),
    );
    await matrix.kubectl(['delete', 'networkpolicy', '-n', 'x', 'q']);
    await isAsExpected(into('x/a', (from) => from !== 'y/b'));
  },
);

behaviour('RS-133: egress by namespace and pod, and both ends must allow', async () => {
  const both = { ...namespace('y'), ...pod('a') };
  await matrix.apply(
    policy('x/p', { podSelector: only('a'), policyTypes: ['Egress'], egress: [{ to: [both] }] }),
  );
  await isAsExpected(outOf('x/a', (to) => to === 'y/a'));
  await matrix.apply(policy('y/closed', { podSelector: only('a'), ingress: [{ from: [namespace('z')] }] }));
  await isAsExpected((from, to) => {
    if (from === 'x/a') return false;
    return to !== 'y/a' || namespaceOf(from) === 'z';
  });
  // The server allows, the client may not.
  await matrix.apply(policy('y/closed', { podSelector: only('a'), ingress: [{}] }));
  await matrix.apply(policy('x/p', { podSelector: only('a'), policyTypes: ['Egress'], egress: [] }));
  await isAsExpected(outOf('x/a', nobody));
});

behaviour('RS-133: ingress and egress of one policy', async () => {
  await matrix.apply(
    policy('x/p', {
      podSelector: only('a'),
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: [pod('b')], ports: [{ port: 80 }] }],
      egress: [{ to: [pod('c')], ports: [{ port: 80 }] }],
    }),
  );
  await isAsExpected((from, to) => (from === 'x/a' ? to === 'x/c' : to !== 'x/a' || from === 'x/b'));
  await isAsExpected((from, to) => from !== 'x/a' && to !== 'x/a', { port: 81 });
});

behaviour('deny, then allow, then deny: a policy that changes, and one that goes', async () => {
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [] }));
  await isAsExpected(into('x/a', nobody));
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [namespace('z')] }] }));
  await isAsExpected(into('x/a', (from) => namespaceOf(from) === 'z'));
  await matrix.apply(policy('x/p', { podSelector: only('b'), ingress: [] }));
  await isAsExpected(into('x/b', nobody));
  await matrix.kubectl(['delete', 'networkpolicy', '-n', 'x', 'p']);
  await isAsExpected(everybody);
});

behaviour('labels of namespaces change: who is allowed changes with them', async () => {
  const approved = { namespaceSelector: { matchLabels: { approved: 'yes' } } };
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [approved] }] }));
  await isAsExpected(into('x/a', nobody));
  await matrix.kubectl(['label', 'namespace', 'y', 'approved=yes']);
  await isAsExpected(into('x/a', (from) => namespaceOf(from) === 'y'));
  await matrix.kubectl(['label', 'namespace', 'y', 'approved-']);
  await isAsExpected(into('x/a', nobody));
});

behaviour('labels of pods change: of the peer, and of the pod that the policy is for', async () => {
  const approved = { podSelector: { matchLabels: { approved: 'yes' } }, namespaceSelector: {} };
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [approved] }] }));
  await isAsExpected(into('x/a', nobody));
  await matrix.kubectl(['label', 'pod', '-n', 'y', 'b', 'approved=yes']);
  await isAsExpected(into('x/a', (from) => from === 'y/b'));
  await matrix.kubectl(['label', 'pod', '-n', 'y', 'b', 'approved-']);
  await matrix.apply(policy('x/p', { podSelector: { matchLabels: { target: 'yes' } }, ingress: [] }));
  await isAsExpected(everybody);
  await matrix.kubectl(['label', 'pod', '-n', 'x', 'b', 'target=yes']);
  await isAsExpected(into('x/b', nobody));
  await matrix.kubectl(['label', 'pod', '-n', 'x', 'b', 'target-']);
  await isAsExpected(everybody);
});

behaviour('SR-171, SR-172: the pod’s own node keeps access, other nodes need an ipBlock', async () => {
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [] }));
  const home = await matrix.nodeOf('x/a');
  const others = matrix.nodes.filter((one) => one !== home);
  await isAsExpected(into('x/a', nobody));
  const reach = () => matrix.fromNodes('x/a');
  assert.deepEqual(await reach(), Object.fromEntries([[home, true], ...others.map((one) => [one, false])]));
  const subnet = { ipBlock: { cidr: '10.0.0.0/24' } };
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [subnet] }] }));
  await matrix.until(async () => Object.values(await reach()).every(Boolean));
});

behaviour('a pod that is made again under its name and labels meets the policy from the start', async () => {
  await matrix.apply(policy('x/p', { podSelector: only('a'), ingress: [{ from: [pod('b')] }] }));
  await isAsExpected(into('x/a', (from) => from === 'x/b'));
  await matrix.restart('x/a', 'x/b');
  await isAsExpected(into('x/a', (from) => from === 'x/b'));
});

behaviour('RS-133: policy of Kubernetes does not select pods in the network of their host', async () => {
  await matrix.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'host', namespace: 'x', labels: { pod: 'host' } },
    spec: {
      hostNetwork: true,
      nodeName: 'worker1',
      containers: [{ name: 'server', image: 'agnhost', args: ['8090'] }],
    },
  });
  await matrix.refresh();
  await matrix.apply(policy('x/deny', { policyTypes: ['Ingress', 'Egress'] }));
  await isAsExpected((from, to) => namespaceOf(from) !== 'x' && namespaceOf(to) !== 'x');
  const others = ['y/a', 'z/b'].map((from) => ({ from, to: 'x/host', port: 8090 }));
  await matrix.until(async () => (await matrix.connects(others)).every(Boolean));
});
