// The text of the report: pure, from the findings to lines.
import { drawTopology } from '../topology/mod.ts';
import type { RunningLab } from '../launcher.ts';
import type { Findings } from './demo.ts';
import { matrixLines, section, table } from './text.ts';

export function report(findings: Findings, tookMs: number): string[] {
  const { topology, sessions, pods, matrix, podRoutes, hostRoutes } = findings;
  const established = sessions.filter((s) => s.established).length;
  return [
    `The lab was up after ${(tookMs / 1000).toFixed(1)} s.`,
    ...section('topology', drawTopology(topology)),
    ...section('nodes', table([['NAME', 'STATUS', 'RACK', 'ADDRESS'], ...findings.nodeRows])),
    ...(topology.backend === 'bird'
      ? section(`BGP sessions: ${established} of ${sessions.length} ends established`, sessionLines(findings))
      : section(`backend ${topology.backend}`, [backendText[topology.backend]])),
    ...section('pods', table([['NAME', 'NODE', 'ADDRESS'], ...pods.map((p) => [p.name, p.node, p.address])])),
    ...section('every pod to every pod: TTL seen / HTTP status', [
      ...matrixLines(matrix),
      '',
      ...explainMatrix(findings),
    ]),
    ...section(`routes in pod ${podRoutes.pod.name}`, lines(podRoutes.text)),
    ...section(`routes of ${hostRoutes.node}`, lines(hostRoutes.text)),
  ];
}

const backendText = {
  vxlan: 'Nobody speaks BGP: the agents write the routes to other nodes’ blocks themselves.',
  none: 'Another network has the pods: a range of addresses per node, and static routes to it. Calico does policy.',
} as const;

const lines = (text: string): string[] => text.trimEnd().split('\n');

/** All sessions of a small lab; of a large one those that are not established. */
function sessionLines(findings: Findings): string[] {
  const { sessions } = findings;
  const shown = sessions.length <= 40 ? sessions : sessions.filter((s) => !s.established);
  if (shown.length === 0) return [`All ${sessions.length} ends are established.`];
  return table([
    ['MACHINE', 'AS', 'PEER', 'AS', 'KIND', 'STATE', 'ROUTES'],
    ...shown.map((s) => [s.machine, s.as, s.peer, s.peerAs, s.kind, s.state, s.routes]),
  ]);
}

function explainMatrix({ topology, matrix, mode }: Findings): string[] {
  const explained = [
    '64: the pod itself. 63: same node, one host forwards. 62: across nodes of a subnet, two hosts forward.',
  ];
  if (mode !== 'bgp')
    explained.push('62 across racks too: in a tunnel the routers in between count in the outer header only.');
  else if (topology.racks.length > 1 && topology.backend === 'none')
    explained.push('59: across racks, through leaf, spine and leaf, by the other network’s static routes.');
  else if (topology.racks.length > 1 && topology.fabricBgp)
    explained.push('59: across racks, through leaf, spine and leaf, which learned the pod blocks by BGP.');
  else if (topology.racks.length > 1) explained.push('', ...blackHole(matrix));
  const clients = matrix.cells.filter((c) => c.probe.client !== undefined);
  if (clients.length > 0 && clients.every((c) => c.probe.client === c.from.address))
    explained.push("Every server saw its client's own pod address: no NAT between pods.");
  return explained;
}

/** Why plain BGP between nodes is not enough across subnets (SR-098, SR-135). */
function blackHole(matrix: Findings['matrix']): string[] {
  const lost = matrix.cells.find((c) => c.probe.ttl === undefined);
  if (lost === undefined) return ['No pod was out of reach, although the fabric speaks no BGP.'];
  const silent = lost.probe.problem === undefined || lost.probe.problem === 'no answer';
  return [
    `Rack 2 is a black hole for pods. ${lost.from.node} knows the block of ${lost.to.node} from the node mesh, with that`,
    'node as next hop. The next hop lies in another subnet, so the packet goes to the gateway, the leaf, as it is: pod',
    'addresses outside and inside. The leaf routes the subnets of the nodes, but nobody told it of pod blocks.',
    silent
      ? 'It cannot even say so: its ICMP error would go to the asking pod, whose address it does not know either.'
      : `It says so: ${lost.probe.problem}.`,
    'Let leaves and spine speak BGP with the nodes (start without --no-fabric-bgp), or encapsulate across subnets.',
  ];
}

/** The verdict, and how to go on. */
export function closing(findings: Findings, running: RunningLab, stays: boolean): string[] {
  const { problems, matrix } = findings;
  const reached = matrix.cells.filter((c) => c.probe.ttl !== undefined).length;
  const verdict =
    problems.length === 0
      ? reached === matrix.cells.length
        ? [`All as expected: every pod reaches every pod (${reached} of ${matrix.cells.length}).`]
        : [
            `All as expected for a fabric without BGP: ${reached} of ${matrix.cells.length} pairs reach each other.`,
          ]
      : ['Not as expected:', ...problems.slice(0, 20).map((p) => `  ${p}`), ...more(problems.length - 20)];
  if (!stays) return ['', ...verdict];
  return [
    '',
    ...verdict,
    ...section('how to go on', [
      'npm run margay -- lab shell              a shell on master1, with kubectl, ip and tcpdump',
      'npm run margay -- lab shell worker3      … on another node, or on leaf01, leaf02, spine',
      'npm run margay -- lab exec worker1 -- ip route',
      `npm run margay -- lab exec pod/${findings.podRoutes.pod.name} -- ip route`,
      'npm run margay -- lab status             machines and processes',
      'npm run margay -- lab down               ends it; nothing is left',
      '',
      `export KUBECONFIG=${running.paths.kubeconfig}`,
      'kubectl get nodes,pods -A -o wide',
      'kubectl create deployment myapp --image=ikubernetes/demoapp:v1.0 --replicas=6',
      'kubectl get ippools -o yaml',
    ]),
  ];
}

const more = (count: number): string[] => (count > 0 ? [`  … and ${count} more`] : []);
