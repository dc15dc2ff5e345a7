// IP in IP by eBPF on the real kernel: headers on the wire, big transfers, and what strangers get.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { addressToBigInt, type Address } from '../../src/lib/ip/mod.ts';
import type { TrafficFilter } from '../../src/kernel/mod.ts';
import { encapsulationProgram } from '../../src/felix/dataplane/overlay/egress-program.ts';
import { type Doorkeeping, ingressProgram } from '../../src/felix/dataplane/overlay/ingress-program.ts';
import { programLicence } from '../../src/felix/dataplane/overlay/program-parts.ts';
import { unable } from './support/felix-node.ts';
import { OverlayHosts } from './support/overlay-hosts.ts';

const skip = unable('tcpdump', 'python3') ?? false;

const one = (text: string): readonly [number, number] => {
  const number = Number(addressToBigInt(text as Address));
  return [number, number];
};

/** tunl0 by eBPF, as the agent makes it. */
async function tunnel(hosts: OverlayHosts, n: 1 | 2, sources: readonly string[]): Promise<void> {
  const kernel = hosts.kernel(`h${n}`);
  const mac = `02:00:00:00:00:0${n}`;
  const device = expect(
    await kernel.links.create({ kind: 'ifb', name: 'tunl0', mtu: 1480, mac, up: true }),
    'tunl0',
  );
  hosts.ip(`h${n}`, `addr add 10.244.${n}.1/32 dev tunl0`);
  const eth0 = expect(await kernel.links.get('eth0'), 'eth0');
  assert.ok(eth0);
  const local = `10.${n}.0.1` as Address;
  const outcomes = await kernel.filters.apply([
    {
      op: 'replace',
      filter: { linkIndex: device.index, direction: 'egress', priority: 1, name: 'out' },
      program: { code: encapsulationProgram(local), licence: programLicence },
    },
    {
      op: 'replace',
      filter: { linkIndex: eth0.index, direction: 'ingress', priority: 1, name: 'in' },
      program: {
        code: ingressProgram({
          v4: {
            local,
            sources: sources.map(one),
            ipip: { index: device.index, mac: Uint8Array.of(2, 0, 0, 0, 0, n) },
          },
        }),
        licence: programLicence,
      },
    },
  ]);
  for (const outcome of outcomes) expect(outcome, 'filters');
  hosts.ip(`h${n}`, `route add 10.244.${3 - n}.0/26 via 10.${3 - n}.0.1 dev tunl0 onlink`);
}

test('SR-094 SR-095: IP in IP by eBPF, node to node over a router', { skip }, async () => {
  await using hosts = await OverlayHosts.make();
  const nodes = Array.from({ length: 40 }, (_, i) => `10.9.${i}.1`);
  await tunnel(hosts, 1, ['10.2.0.1', ...nodes]);
  await tunnel(hosts, 2, ['10.1.0.1', ...nodes]);
  const wire = await hosts.capture('router', 'r2', 'proto 4', async () => {
    const ping = await hosts.run('pod1', 'ping', '-c', '2', '-i', '0.2', '-W', '1', '10.244.2.5');
    assert.equal(ping.code, 0, ping.output);
    assert.match(ping.output, /ttl=62/);
  });
  assert.match(wire, /10\.1\.0\.1 > 10\.2\.0\.1: .*\n?.*10\.244\.1\.5 > 10\.244\.2\.5/);
  assert.match(wire, /proto IPIP \(4\), length 104/);
});

/** One packet as the peer in user space got it. */
type Seen = { readonly outer: string; readonly inner: string; readonly bytes: number };

/** h2's end of the tunnel is a program that knows nothing of ours. */
class UserSpacePeer {
  readonly seen: Seen[] = [];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(hosts: OverlayHosts, ...more: readonly string[]): Promise<UserSpacePeer> {
    const script = fileURLToPath(new URL('support/ipip-peer.py', import.meta.url));
    const argv = [
      'netns',
      'exec',
      hosts.ns('h2'),
      'python3',
      script,
      '10.2.0.1',
      '10.1.0.1',
      'peer0',
      ...more,
    ];
    const child = spawn('ip', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
    const peer = new UserSpacePeer(child);
    await new Promise<void>((resolve, reject) => {
      child.once('exit', () => reject(new Error('the peer ended')));
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line === 'ready') resolve();
        else peer.seen.push(JSON.parse(line) as Seen);
      });
    });
    hosts.ip('h2', 'link set peer0 mtu 1480 up');
    hosts.ip('h2', 'route add 10.244.1.0/26 dev peer0');
    return peer;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }
}

/** The outer header that RFC 2003 asks for, written out. Of the identification it says nothing: ours is the inner one's. */
function outerOf({ inner, bytes }: Seen): string {
  const packet = Buffer.from(inner, 'hex');
  const outer = Buffer.alloc(20);
  outer[0] = 0x45;
  outer[1] = packet[1] ?? 0;
  outer.writeUInt16BE(bytes + 20, 2);
  outer.writeUInt16BE(packet.readUInt16BE(4), 4);
  outer.writeUInt16BE(packet.readUInt16BE(6) & 0x4000, 6);
  // One router, between both, has forwarded it.
  outer[8] = 64 - 1;
  outer[9] = 4;
  outer.set([10, 1, 0, 1, 10, 2, 0, 1], 12);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += outer.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  outer.writeUInt16BE(sum ^ 0xffff, 10);
  return outer.toString('hex');
}

test('SR-094 SR-095: packets of tunl0 are those of RFC 2003, byte by byte; another implementation, in user space, unpacks and answers them', {
  skip,
}, async () => {
  await using hosts = await OverlayHosts.make();
  await tunnel(hosts, 1, ['10.2.0.1']);
  const peer = await UserSpacePeer.start(hosts);
  try {
    const ping = async (...flags: readonly string[]): Promise<void> => {
      const { code, output } = await hosts.run(
        'pod1',
        'ping',
        '-c',
        '2',
        '-i',
        '0.2',
        '-W',
        '5',
        ...flags,
        '10.244.2.5',
      );
      assert.equal(code, 0, `${flags.join(' ')}: ${output}`);
      // The pattern of what came back is compared with what was sent.
      assert.doesNotMatch(output, /wrong data byte/);
    };
    // The very first packet, for which a neighbour must be found, is not lost.
    const first = await hosts.run('pod1', 'ping', '-c', '1', '-W', '10', '10.244.2.5');
    assert.equal(first.code, 0, first.output);
    await ping('-M', 'do', '-s', '1452');
    await ping('-M', 'dont', '-s', '0', '-Q', '0xb8');
    // In fragments, each of which is a packet of its own to the tunnel.
    await ping('-M', 'dont', '-s', '4000');
    const all = await until(() => (peer.seen.length >= 11 ? true : undefined), { timeoutMs: 60_000 });
    assert.ok(all, `${peer.seen.length} packets`);
    for (const seen of peer.seen) assert.equal(seen.outer, outerOf(seen), seen.inner);
    const flags = new Set(peer.seen.map(({ outer }) => outer.slice(12, 16)));
    assert.deepEqual([...flags].sort(), ['0000', '4000'], 'may be cut where the packet may be');
    assert.ok(peer.seen.some(({ outer }) => outer.slice(2, 4) === 'b8'));
    assert.ok(peer.seen.some(({ bytes }) => bytes === 1480));
    // Of the inner header only the TTL has changed, by one.
    for (const { inner } of peer.seen) assert.equal(inner.slice(16, 18), '3f');
  } finally {
    await peer.stop();
  }
});

test('an outer header with options, or with a wrong checksum, is not taken for the packet', {
  skip,
}, async () => {
  await using hosts = await OverlayHosts.make();
  await tunnel(hosts, 1, ['10.2.0.1']);
  const peer = await UserSpacePeer.start(hosts, 'options');
  try {
    const { output } = await hosts.run('pod1', 'ping', '-c', '2', '-i', '0.2', '-W', '1', '10.244.2.5');
    assert.match(output, / 0 received/);
    const arrived = await until(() => (peer.seen.length >= 2 ? true : undefined), { timeoutMs: 60_000 });
    assert.ok(arrived, 'they went out');
  } finally {
    await peer.stop();
  }
  // The stack checks it no more: written by hand, right behind h1's wire.
  const mac = /link\/ether (\S+)/.exec(hosts.ip('h1', 'link show eth0'))?.[1] ?? '';
  const send = (spoil: number): string => `
import socket, struct
def summed(head):
    total = sum(struct.unpack('>10H', head))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff
def header(protocol, length, source, destination, spoil=0):
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack('>BBHHHBBH', 0x45, 0, 20 + length, 1, 0, 64, protocol, 0) + ends
    return head[:10] + struct.pack('>H', summed(head) ^ spoil) + head[12:]
inner = header(17, 8, '10.244.2.5', '10.244.1.5') + struct.pack('>HHHH', 7, 7, 8, 0)
frame = bytes.fromhex('${mac.replaceAll(':', '')}' + '020000000042' + '0800') + header(4, len(inner), '10.2.0.1', '10.1.0.1', ${spoil}) + inner
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('r1', 0))
s.send(frame)
`;
  const arrives = (spoil: number): Promise<string> =>
    hosts.capture('pod1', 'eth0', 'udp and src 10.244.2.5', async () => {
      const sent = await hosts.run('router', 'python3', '-c', send(spoil));
      assert.equal(sent.code, 0, sent.output);
    });
  assert.match(await arrives(0), /10\.244\.2\.5\.7 > 10\.244\.1\.5\.7/);
  assert.doesNotMatch(await arrives(1), /10\.244\.2\.5/);
});

test('congestion met under the outer header reaches the inner one, or is told by a loss (RFC 6040)', {
  skip,
}, async () => {
  await using hosts = await OverlayHosts.make();
  await tunnel(hosts, 1, ['10.2.0.1']);
  // Not capable, ECT(1), ECT(0), congested: of the outer header, of the inner one, and what the pod is to see of it.
  const cases = [
    [0, 0, 0],
    [2, 0, 0],
    [3, 0, undefined],
    [0, 2, 2],
    [2, 2, 2],
    [3, 2, 3],
    [3, 1, 3],
    [0, 3, 3],
    [3, 3, 3],
    // The class of the way is the way's own.
    [0xb8, 0x20, 0x20],
    [0xbb, 0x22, 0x23],
  ] as const;
  const mac = /link\/ether (\S+)/.exec(hosts.ip('h1', 'link show eth0'))?.[1] ?? '';
  const script = `
import socket, struct
def header(tos, protocol, length, source, destination):
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack('>BBHHHBBH', 0x45, tos, 20 + length, 1, 0, 64, protocol, 0) + ends
    total = sum(struct.unpack('>10H', head))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return head[:10] + struct.pack('>H', total ^ 0xffff) + head[12:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('r1', 0))
for port, (outer, inner) in enumerate(${JSON.stringify([...cases, [0, 0]].map(([o, i]) => [o, i]))}, 7000):
    packet = header(inner, 17, 8, '10.244.2.5', '10.244.1.5') + struct.pack('>HHHH', 7, port, 8, 0)
    frame = bytes.fromhex('${mac.replaceAll(':', '')}' + '020000000042' + '0800')
    s.send(frame + header(outer, 4, len(packet), '10.2.0.1', '10.1.0.1') + packet)
`;
  const last = new RegExp(`10\\.244\\.1\\.5\\.${7000 + cases.length}:`);
  const send = async (): Promise<void> => {
    const { code, output } = await hosts.run('router', 'python3', '-c', script);
    assert.equal(code, 0, output);
  };
  const heard = await hosts.capture('pod1', 'eth0', 'udp and src 10.244.2.5', send, [last]);
  assert.match(heard, last);
  for (const [i, [outer, inner, wanted]] of cases.entries()) {
    const found = new RegExp(`tos 0x([0-9a-f]+)[^\\n]*\\n[^\\n]*10\\.244\\.1\\.5\\.${7000 + i}:`).exec(heard);
    const seen = found === null ? undefined : Number.parseInt(found[1] ?? '', 16);
    assert.equal(seen, wanted, `outer ${outer}, inner ${inner}:\n${heard}`);
  }
});

test('ICMP errors about the outer header are relayed when they are about a packet to a node, and say nothing impossible', {
  skip,
}, async () => {
  await using hosts = await OverlayHosts.make();
  await tunnel(hosts, 1, ['10.2.0.1']);
  const mac = /link\/ether (\S+)/.exec(hosts.ip('h1', 'link show eth0'))?.[1] ?? '';
  const script = `
import socket, struct
def summed(data):
    total = sum(struct.unpack('>%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff
def header(protocol, length, source, destination):
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack('>BBHHHBBH', 0x45, 0, 20 + length, 1, 0, 64, protocol, 0) + ends
    return head[:10] + struct.pack('>H', summed(head)) + head[12:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('r1', 0))
def error(port, kind, code, mtu=0, protocol=4, node='10.2.0.1', quoted=8):
    inner = (header(17, 1200, '10.244.1.5', '10.244.2.5') + struct.pack('>HHHH', port, 7, 1200, 0) + b'x' * 500)[:20 + quoted]
    rest = header(protocol, 20 + 1200, '10.1.0.1', node) + inner
    head = struct.pack('>BBHHH', kind, code, 0, 0, mtu)
    icmp = head[:2] + struct.pack('>H', summed(head + rest)) + head[4:] + rest
    s.send(bytes.fromhex('${mac.replaceAll(':', '')}' + '020000000042' + '0800') + header(1, len(icmp), '192.0.2.9', '10.1.0.1') + icmp)
error(7000, 11, 0)
error(7001, 3, 2)
error(7002, 3, 4, mtu=1400, node='10.9.9.9')
error(7003, 3, 4, mtu=60)
error(7004, 3, 4, mtu=1400, protocol=17)
error(7005, 0, 0)
error(7006, 3, 4, mtu=1400, quoted=500)
`;
  hosts.ip('h1', 'route add 192.0.2.9 via 10.1.0.254');
  const send = async (): Promise<void> => {
    const { code, output } = await hosts.run('router', 'python3', '-c', script);
    assert.equal(code, 0, output);
  };
  const last = /10\.244\.1\.5\.7006 >/;
  const heard = await hosts.capture('pod1', 'eth0', 'icmp and src 192.0.2.9', send, [last]);
  const quoted = [
    ...heard.matchAll(/192\.0\.2\.9 > 10\.244\.1\.5: (ICMP [^\n]*)\n[\s\S]*?10\.244\.1\.5\.(\d+) >/g),
  ];
  assert.deepEqual(
    quoted.map(([, text = '', port]) => `${port} ${text.replace(/,? length .*/, '')}`),
    [
      '7000 ICMP host 10.244.2.5 unreachable',
      '7001 ICMP host 10.244.2.5 unreachable',
      '7006 ICMP 10.244.2.5 unreachable - need to frag (mtu 1380)',
    ],
    heard,
  );
  assert.doesNotMatch(heard, /cksum/);
});

test('the kernel takes doorkeepers of every shape', { skip }, async () => {
  await using hosts = await OverlayHosts.make();
  const kernel = hosts.kernel('h1');
  const eth0 = expect(await kernel.links.get('eth0'), 'eth0');
  assert.ok(eth0);
  const local = '10.1.0.1' as Address;
  const nodes = Array.from({ length: 2000 }, (_, i) => one(`10.${i >> 8}.${i & 255}.3`));
  const local6 = 'fd00::1' as Address;
  const nodes6 = Array.from(
    { length: 500 },
    (_, i) => `fd00:0:0:${i % 3}::${(i + 1).toString(16)}` as Address,
  );
  const twins = ['fd00:0:0:1::7', 'fd00:0:0:2::7', 'fd00:0:0:3::7'] as Address[];
  const shapes: Doorkeeping[] = [
    { v4: { local, sources: [], ipip: 'guard' } },
    { v4: { local, sources: [], vxlanPort: 4789 } },
    { v4: { local, sources: nodes, ipip: 'guard', vxlanPort: 4789 } },
    {
      v4: {
        local,
        sources: [[1, 5], ...nodes, [0xe0000000, 0xffffffff]],
        ipip: { index: 7, mac: new Uint8Array(6) },
        vxlanPort: 4789,
      },
    },
    { v6: { local: local6, sources: [], vxlanPort: 4789 } },
    {
      v6: { local: local6, sources: [...nodes6, ...twins], vxlanPort: 4789 },
      v4: { local, sources: nodes, vxlanPort: 4789 },
    },
  ];
  for (const [i, shape] of shapes.entries()) {
    const filter: TrafficFilter = {
      linkIndex: eth0.index,
      direction: 'ingress',
      priority: 1,
      name: `shape ${i}`,
    };
    const program = { code: ingressProgram(shape), licence: programLicence };
    const [outcome] = await kernel.filters.apply([{ op: 'replace', filter, program }]);
    assert.ok(outcome);
    expect(outcome, `shape ${i}`);
    assert.deepEqual(expect(await kernel.filters.list(eth0.index), 'list'), [filter]);
  }
});
