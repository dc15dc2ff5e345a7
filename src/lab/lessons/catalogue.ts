// The lessons: every BGP design and every routing mode of the seeds, and encryption.
import type { Lesson } from './types.ts';

const bare = { reached: true, encapsulation: 'none' } as const;
const ipip = { reached: true, encapsulation: 'ipip' } as const;
const vxlan = { reached: true, encapsulation: 'vxlan' } as const;
const wireguard = { reached: true, encapsulation: 'wireguard' } as const;

export const lessons: readonly Lesson[] = [
  {
    name: 'mesh',
    title: 'BGP full mesh, and leaves that take part',
    design: 'mesh',
    mode: 'bgp',
    leafPeers: true,
    introduction: [
      'Every node has a session with every other node, all of them in AS 64512, and tells them which blocks of pod addresses it owns. Nothing is wrapped: a packet between pods has one IP header, with the addresses of the pods.',
      'That is enough inside of a subnet. Between racks routers forward by destination, and the destination is a pod: so the leaves need to know the blocks too. Here each node also has a session with its leaf, and tells it of its own blocks only.',
    ],
    expect: { near: bare, far: bare },
    remarks: [
      'In the rack the frame goes from node to node: the MAC addresses are those of the two nodes, the leaf only bridges it.',
      'Across racks the node sends the frame to the MAC address of its gateway. Each router takes one from the TTL and matched a route that it learned by BGP.',
      'The pod knows one route, to 169.254.1.1, which answers as ee:ee:ee:ee:ee:ee: the node forwards whatever comes.',
    ],
    question: 'How many sessions does a mesh of 100 nodes have?',
    answer: '4,950: n × (n − 1) / 2. That is what route reflectors are for.',
  },
  {
    name: 'mesh-black-hole',
    title: 'BGP full mesh, and a fabric that knows nothing of pods',
    design: 'mesh',
    mode: 'bgp',
    leafPeers: false,
    introduction: [
      'The same mesh, without the sessions to the leaves. The nodes still tell each other of all blocks, across racks too: sessions between nodes are ordinary connections between node addresses, which the fabric routes.',
    ],
    expect: { near: bare, far: { reached: false, encapsulation: 'none' } },
    remarks: [
      'worker1 has a route to the far block and sends the packet to its gateway, as it should.',
      'The leaf has no route to a pod address and drops the packet. It cannot even say so: the one to tell is a pod, too.',
      'What to do: let the leaves learn the blocks (lessons mesh, as-per-rack, as-per-server), or wrap packets so that the leaves see node addresses only (ipip, vxlan and their crosssubnet forms).',
    ],
    question:
      'All sessions are Established and every node has a route to every block. Why does the ping fail?',
    answer:
      'A session says that the nodes know. The packet is forwarded by routers in between, and they do not.',
  },
  {
    name: 'rr',
    title: 'Route reflectors on selected nodes',
    design: 'rr',
    mode: 'bgp',
    leafPeers: true,
    introduction: [
      'Two nodes, one in each rack, are reflectors: their Node has a routeReflectorClusterID, and a label by which BGPPeers find them. The mesh is off. Every other node has a session with both reflectors, so that one of them may fail.',
      'A reflector passes routes on unchanged. Next hops stay those of the nodes with the blocks: packets do not go through the reflector.',
    ],
    expect: { near: bare, far: bare },
    remarks: [
      'The walk is that of the mesh, hop by hop: reflection changes who says it, not where packets go.',
      'The routes on worker1 came from master1 or worker3, and lead to the node that has the block.',
    ],
    question: 'How many sessions do 100 nodes have with two reflectors?',
    answer: '197: each of 98 nodes with both, and the reflectors with each other. About n instead of n².',
  },
  {
    name: 'as-per-rack',
    title: 'An AS per rack',
    design: 'as-per-rack',
    mode: 'bgp',
    leafPeers: true,
    introduction: [
      'All nodes of a rack and their leaf share an AS: 65001 and 65002. A node has one session only, with its leaf, inside of the AS; the leaf reflects between its nodes. Leaves and spine (AS 65000) speak eBGP.',
    ],
    expect: { near: bare, far: bare },
    remarks: [
      'Inside of the rack the leaf reflects the route with the next hop of the other node: frames do not go through its routing.',
      'Across racks the AS path is 65000 65002: one entry per network that passed it on.',
    ],
    question: 'Why must the leaf be a reflector?',
    answer:
      'A router does not pass a route from one peer of its own AS to another one, lest it goes in circles. A reflector may, since it marks what it has reflected.',
  },
  {
    name: 'as-per-server',
    title: 'An AS per compute server',
    design: 'as-per-server',
    mode: 'bgp',
    leafPeers: true,
    introduction: [
      'Every node is an AS of its own: 65011, 65021, 65022 and 65023. It has one eBGP session, with its leaf. No reflectors, no mesh: all is plain eBGP, whose AS paths prevent loops.',
    ],
    expect: { near: bare, far: bare },
    remarks: [
      'The AS path to the far block names every hop of the way: leaf, spine, leaf, node.',
      'The leaf leaves the next hop alone when it tells a node of another one in the same rack: so they reach each other directly.',
    ],
    question: 'Two racks whose nodes all used AS 65011: what would happen?',
    answer:
      'A node drops routes with its own AS in their path, since that is how loops show. Nodes would not learn from nodes of the same AS, unless numAllowedLocalASNumbers lets them.',
  },
  {
    name: 'ipip',
    title: 'IP in IP, always',
    design: 'mesh',
    mode: 'ipip',
    leafPeers: false,
    introduction: [
      'The packet of the pod travels inside of another one, from node to node: 20 bytes more, IP protocol 4. The fabric sees node addresses only, and needs to know nothing of pods: the leaves have no session with the nodes here.',
    ],
    expect: { near: ipip, far: ipip },
    remarks: [
      'On eth0 there are two IP headers. The outer one has the addresses of the nodes, and its TTL counts the routers; the inner one is that of the pods.',
      'The route to the block leads through tunl0; what comes out of it is routed again, by the outer address.',
    ],
    question: 'What has the MTU of a pod to do with it?',
    answer: 'The outer header takes 20 bytes: with 1500 on the wire pods get 1480.',
  },
  {
    name: 'ipip-crosssubnet',
    title: 'IP in IP, only across subnets',
    design: 'mesh',
    mode: 'ipip-crosssubnet',
    leafPeers: false,
    introduction: [
      'Within a subnet the nodes reach each other directly, so nothing needs to be wrapped there. Packets to a node of another subnet pass routers, which know node addresses only: those are wrapped.',
    ],
    expect: { near: bare, far: ipip },
    remarks: [
      'The subnet is that of the address in the Node resource, with its mask: a wrong mask there makes a wrong choice here.',
    ],
    question: 'Which of both pings has two IP headers on eth0?',
    answer: 'The one to the other rack.',
  },
  {
    name: 'vxlan',
    title: 'VXLAN, always',
    design: 'mesh',
    mode: 'vxlan',
    leafPeers: false,
    introduction: [
      'The packet of the pod becomes a frame, and the frame travels in UDP from node to node: port 4789, network identifier 4096, 50 bytes more. To anything in between it is UDP between nodes; clouds that forward nothing else forward that.',
    ],
    expect: { near: vxlan, far: vxlan },
    remarks: [
      'There are four MAC addresses: outside those of the next hop, inside those of the two vxlan.calico devices, which every node knows beforehand. Nothing is flooded.',
      'Routes to blocks lead through vxlan.calico, to the address that the other node has there.',
    ],
    question: 'Is BGP needed for it?',
    answer:
      'No. The agent of each node knows from the datastore which node has which block. Without BGP sessions it works the same.',
  },
  {
    name: 'vxlan-crosssubnet',
    title: 'VXLAN, only across subnets',
    design: 'mesh',
    mode: 'vxlan-crosssubnet',
    leafPeers: false,
    introduction: [
      'As IP in IP across subnets, with VXLAN: bare packets inside of a subnet, frames in UDP between subnets.',
    ],
    expect: { near: bare, far: vxlan },
    remarks: [
      'In the rack the route to the block leads through eth0, to the other rack through vxlan.calico.',
    ],
    question: 'Where could one see from the outside that pods talk across racks?',
    answer: 'On the spine: UDP to port 4789 between node addresses. Who talks to whom is inside.',
  },
  {
    name: 'wireguard',
    title: 'WireGuard: what pods say is encrypted between nodes',
    design: 'mesh',
    mode: 'bgp',
    leafPeers: false,
    encrypts: true,
    introduction: [
      'Each node makes a pair of keys and puts the public one into its Node. The others make it a peer of their device wireguard.cali, with the blocks of that node as what it may send and get. From then on a packet between pods of different nodes is encrypted by the first node and decrypted by the second one: UDP, port 51820, 60 bytes more.',
      'The fabric sees node addresses only, and needs to know nothing of pods, as with the overlays. Pools and BGP stay as they were: routes to the blocks of peers are in a table of their own, which is asked first.',
    ],
    expect: { near: wireguard, far: wireguard },
    remarks: [
      'On eth0 and in the fabric there is UDP between nodes and nothing else: no pod address, no ICMP, no length but that of the whole, filled up to a multiple of 16. The row is known to be the ping by its size alone.',
      'On wireguard.cali, before it is encrypted and after it is decrypted, the packet is as the pod sent it. That is where policy sees it.',
      'The route to the block is one of table 1. The packet that leaves bears the mark 0x200000, for which the rule that leads there does not hold: so it takes the route to the node, and does not come to wireguard.cali again.',
    ],
    question: 'What of two pods on the same node?',
    answer: 'Their packets never leave the node, and are not encrypted.',
  },
];

export const lessonNamed = (name: string): Lesson | undefined => lessons.find((l) => l.name === name);
