// Sessions and routes seen from anywhere: CalicoNodeStatus, `margay bgp`, and why a peer is down.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { calico, margay, TestLab, without } from '../support/lab.ts';
import { eventually, peersOf } from '../support/lab-router.ts';

const skip = without('kubectl', 'ip', 'nc');
let lab: TestLab;

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('status', ['--topology', 'two-racks']);
  await lab.deploy(4);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const bgp = async (...words: readonly string[]): Promise<string> => {
  const { code, out, err } = await margay(['bgp', ...words], { ...process.env, KUBECONFIG: lab.kubeconfig });
  assert.equal(code, 0, err);
  return out;
};
const blockOf = (node: string): Promise<string> => lab.blockOf(node);
type Status = {
  readonly lastUpdated?: string;
  readonly agent?: { readonly birdV4?: { readonly state?: string; readonly routerID?: string } };
  readonly bgp?: {
    readonly numberEstablishedV4: number;
    readonly peersV4?: readonly { peerIP: string; type: string; state: string }[];
  };
  readonly routes?: {
    readonly routesV4?: readonly {
      type: string;
      destination: string;
      gateway?: string;
      learnedFrom: { sourceType: string; peerIP?: string };
    }[];
  };
};
const statusOf = async (name: string): Promise<Status> => {
  const { out } = await lab.kubectl('get', 'caliconodestatuses.projectcalico.org', name, '-o', 'json');
  return (JSON.parse(out) as { readonly status?: Status }).status ?? {};
};

test('RS-182, BG-080: CalicoNodeStatus: the node fills agent, peers and routes, again and again', {
  skip,
}, async () => {
  const classes = ['Agent', 'BGP', 'Routes'];
  await lab.apply(calico('CalicoNodeStatus', 'w1', { node: 'worker1', classes, updatePeriodSeconds: 1 }));
  const far = await blockOf('worker3');
  const waysTo = (s: Status): string =>
    (s.routes?.routesV4 ?? [])
      .filter((r) => r.destination === far)
      .map((r) => `${r.type} ${r.gateway} ${r.learnedFrom.sourceType} ${r.learnedFrom.peerIP}`)
      .toSorted()
      .join();
  const status = await eventually(
    'a full status',
    () => statusOf('w1'),
    (s) =>
      s.bgp?.numberEstablishedV4 === 4 &&
      waysTo(s) === 'FIB 30.0.0.23 NodeMesh 30.0.0.23,RIB 10.0.0.254 BGPPeer 10.0.0.254',
  );
  assert.deepEqual([status.agent?.birdV4?.state, status.agent?.birdV4?.routerID], ['Ready', '10.0.0.21']);
  assert.deepEqual(status.bgp?.peersV4?.map((p) => `${p.peerIP} ${p.type} ${p.state}`).toSorted(), [
    '10.0.0.11 NodeMesh Established',
    '10.0.0.22 NodeMesh Established',
    '10.0.0.254 NodePeer Established',
    '30.0.0.23 NodeMesh Established',
  ]);
  await eventually(
    'another report',
    () => statusOf('w1'),
    (s) => s.lastUpdated !== status.lastUpdated,
  );
  assert.equal((await lab.kubectl('delete', 'caliconodestatuses.projectcalico.org', 'w1')).code, 0);
});

test('RS-182: bgp peers and bgp routes of every node from outside of the cluster; nothing is left of the questions', {
  skip,
}, async () => {
  const peers = await eventually(
    'all sessions',
    () => bgp('peers'),
    (text) => text.includes('16 of 16 ends of sessions are established'),
  );
  for (const node of ['master1', 'worker1', 'worker2', 'worker3'])
    assert.equal(peers.match(new RegExp(`^${node} .* Established `, 'gm'))?.length, 4, peers);
  const far = await blockOf('worker3');
  const routes = await bgp('routes', 'worker1');
  assert.match(
    routes,
    new RegExp(`^worker1 +\\* +${far.replaceAll('.', '\\.')} +30\\.0\\.0\\.23 +Mesh_30_0_0_23`, 'm'),
  );
  assert.match(routes, /our AS is in its path/);
  const { out } = await lab.kubectl('get', 'caliconodestatuses.projectcalico.org', '-o', 'name');
  assert.equal(out.trim(), '');
  const { code, err } = await margay(['bgp', 'peers', '--node', 'nobody'], {
    ...process.env,
    KUBECONFIG: lab.kubeconfig,
  });
  assert.equal(code, 1);
  assert.match(err, /no node "nobody".*master1/);
});

test('bgp why: the route chosen, the one that lost, whom it is told, and the filter that stops it', {
  skip,
}, async () => {
  const block = await blockOf('worker1');
  const shown = await eventually(
    'the way by the leaf',
    () => bgp('why', block, '--node', 'worker2'),
    (text) => /from Node_10_0_0_254 [\s\S]*already holds our AS 64512/.test(text),
  );
  assert.match(shown, /\* from Mesh_10_0_0_21 via 10\.0\.0\.21/);
  assert.match(shown, /Kernel\n +\* written/);
  assert.match(shown, /Node_10_0_0_254: refused by rule "BGPFilter own-blocks-only export 0"/);
  assert.match(shown, /Mesh_10_0_0_11: learned from a peer of our AS/);
  assert.match(
    await bgp('why', block, '--node', 'worker1', '--peer', '10.0.0.254'),
    /> Node_10_0_0_254: announced/,
  );
  // A router of the fabric is asked where it is.
  assert.match(await lab.sh('leaf01', `margay bgp why ${block} --local`), /\* from worker1_10_0_0_21 /);
  // A filter that a user made.
  await lab.apply(
    calico('BGPFilter', 'no-rack-2', {
      importV4: [{ action: 'Reject', matchOperator: 'In', cidr: '192.168.0.0/16' }],
    }),
  );
  const far = await blockOf('worker3');
  await lab.apply(
    calico('BGPPeer', 'filtered', {
      node: 'worker1',
      peerIP: '30.0.0.23',
      asNumber: 64512,
      filters: ['no-rack-2'],
    }),
  );
  await eventually(
    'the filter is named',
    () => bgp('why', far, '--node', 'worker1'),
    (text) => /from Node_30_0_0_23 [\s\S]*refused by rule "BGPFilter no-rack-2 import 0"/.test(text),
  );
  assert.match(await bgp('why', far, '--node', 'worker1'), /Kernel\n +no usable path|refused by/);
  await lab.kubectl('delete', 'bgppeers.projectcalico.org', 'filtered');
});

test('a peer that is down says why: refused, unreachable, no route, AS mismatch, password, TTL, hold timer', {
  skip,
}, async () => {
  const peer = (name: string, peerIP: string, more: object = {}): Promise<void> =>
    lab.apply(calico('BGPPeer', name, { node: 'worker1', peerIP, asNumber: 65010, ...more }));
  await lab.kubectl('create', 'secret', 'generic', 'secret', '-n', 'kube-system', '--from-literal=key=x');
  await peer('refused', '10.0.0.11:1790');
  await peer('nobody', '10.0.0.99');
  await peer('no-route', '99.9.9.9');
  // The leaf is AS 65001; the other leaf knows of no password, and is more than a hop away.
  await lab.kubectl('delete', 'bgppeers.projectcalico.org', 'rack-1-leaf');
  await peer('mismatch', '10.0.0.254');
  await peer('password', '30.0.0.254', {
    password: { secretKeyRef: { name: 'secret', key: 'key' } },
    ttlSecurity: 1,
  });
  const reason = (address: string, pattern: RegExp): Promise<string> =>
    eventually(
      `${address} says ${pattern}`,
      async () => (await peersOf(lab, 'worker1')).find((p) => p.address === address)?.reasonText ?? '',
      (text) => pattern.test(text),
    );
  await reason('10.0.0.99', /^Unreachable: the host does not answer/);
  await reason('99.9.9.9', /^Unreachable: there is no route/);
  await reason('10.0.0.254', /says it is AS 65001; expected AS 65010/);
  await reason('30.0.0.254', /^No answer .*password may not be the peer's.*more than 1 hops away/);
  // The address of the resource is one that the session can be told from.
  await eventually(
    'all of it at once',
    () => bgp('peers', '--node', 'worker1'),
    (text) =>
      [
        /10\.0\.0\.11 port 1790 .*Connection refused: no BGP speaker listens there/,
        /10\.0\.0\.254 .*The peer says it is AS 65001/,
        /10\.0\.0\.22 .*Established/,
      ].every((line) => line.test(text)),
  );
});

test('the hold timer says how long nothing came', { skip }, async () => {
  await lab.apply(
    calico('BGPPeer', 'quick', {
      node: 'worker2',
      peerIP: '10.0.0.11',
      asNumber: 64512,
      keepaliveTime: '1s',
    }),
  );
  await eventually(
    'the session with a hold time of 3 s',
    () => peersOf(lab, 'worker2'),
    (list) =>
      list.some((p) => p.address === '10.0.0.11' && p.name.startsWith('Node_') && p.state === 'Established'),
  );
  const pid = (await lab.status()).processes.find(
    (p) => p.machine === 'master1' && p.name === 'speaker',
  )?.pid;
  await lab.sh('master1', `kill -STOP ${pid}`);
  try {
    await eventually(
      'the hold timer',
      async () => (await peersOf(lab, 'worker2')).find((p) => p.address === '10.0.0.11')?.reasonText ?? '',
      (text) => /Hold timer expired: nothing received for 3 s/.test(text),
    );
  } finally {
    await lab.sh('master1', `kill -CONT ${pid}`);
  }
});

test('BG-005, BG-081: a probe of agent and speaker is answered well while sessions are up, and names who is missing', {
  skip,
}, async () => {
  const health = (...flags: string[]) =>
    lab.exec('worker3', 'margay', 'component', 'node', 'health', ...flags);
  const flags = ['--felix-live', '--felix-ready', '--bird-live', '--bird-ready', '--bird6-ready'];
  await eventually(
    'all is well',
    () => health(...flags),
    ({ code, out, err }) => code === 0 && out === '' && err === '',
  );
  await lab.apply(
    calico('BGPPeer', 'nobody-home', { node: 'worker3', peerIP: '30.0.0.99', asNumber: 65010 }),
  );
  const strict = await eventually(
    'the new peer is missed',
    () => health('--bird-ready', '--threshold-time', '60m'),
    ({ code }) => code === 1,
  );
  assert.match(strict.err, /BIRD is not ready: BGP not established with 30\.0\.0\.99/);
  // Of an old node one session is enough.
  assert.equal((await health('--bird-ready', '--threshold-time', '1ms')).code, 0);
  assert.equal((await lab.kubectl('delete', 'bgppeers.projectcalico.org', 'nobody-home')).code, 0);
});

test('BG-078: NetworkUnavailable is False while agent and speaker run, and True once the agent was told to end', {
  skip,
}, async () => {
  const condition = async (): Promise<string> => {
    const path = '{.status.conditions[?(@.type=="NetworkUnavailable")].reason}';
    return (await lab.kubectl('get', 'node', 'worker3', '-o', `jsonpath=${path}`)).out;
  };
  const becomes = (reason: string): Promise<string> =>
    eventually('the condition', condition, (text) => text === reason);
  const pidOf = async (name: string): Promise<number | undefined> =>
    (await lab.status()).processes.find((p) => p.machine === 'worker3' && p.name === name)?.pid;
  await becomes('CalicoIsUp');
  // The lab starts it again at once; without a speaker it does not call the network available.
  const speaker = await pidOf('speaker');
  await lab.sh('worker3', `kill -STOP ${speaker}; kill -TERM ${await pidOf('agent')}`);
  try {
    await becomes('CalicoIsDown');
    await eventually(
      'the agent is back',
      () => pidOf('agent'),
      (pid) => pid !== undefined,
    );
    assert.equal(await condition(), 'CalicoIsDown');
  } finally {
    await lab.sh('worker3', `kill -CONT ${speaker}`);
  }
  await becomes('CalicoIsUp');
});

test('SR-225, BG-072: how the address of a node was found is told by an event and by the Node', {
  skip,
}, async () => {
  const chosen = /IPv4 10\.0\.0\.21\/24 of eth0, chosen by first-found/;
  const { out: events } = await lab.kubectl('describe', 'node', 'worker1');
  assert.match(events, /NodeAddress/);
  assert.match(events, chosen);
  const shown = await margay(['get', 'node', 'worker1', '-o', 'yaml'], {
    ...process.env,
    KUBECONFIG: lab.kubeconfig,
  });
  assert.match(shown.out.replaceAll(/\n +/g, ' '), chosen);
});

test('SR-228, BG-074: an agent with the name of another machine that lives, or with its address, does not start', {
  skip,
}, async () => {
  const agent = (nodeName: string, env: string): Promise<{ code: number; err: string }> =>
    lab.exec(
      'worker2',
      'sh',
      '-c',
      `${env} timeout 110 margay agent --nodename ${nodeName} --no-cni --state-directory /run/second`,
    );
  const twin = await agent('worker1', 'IP=autodetect');
  assert.equal(twin.code, 1, twin.err);
  assert.match(twin.err, /Another machine is the node worker1, and lives at 10\.0\.0\.21\./);
  const thief = await agent('worker2', 'IP=10.0.0.21/24');
  assert.equal(thief.code, 1, thief.err);
  assert.match(thief.err, /Node worker1 has the address 10\.0\.0\.21 already/);
});
