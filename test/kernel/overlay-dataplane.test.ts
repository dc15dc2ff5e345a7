// The overlay by Felix's own dataplane on the real kernel: two nodes with a router between them, and packets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { CalculationGraph, type CalcUpdate, type PolicyUpdate } from '../../src/felix/calc/mod.ts';
import { Dataplane, removeDataplane } from '../../src/felix/dataplane/mod.ts';
import { unable } from './support/felix-node.ts';
import { OverlayHosts } from './support/overlay-hosts.ts';

const skip = unable('tcpdump', 'bridge', 'python3', 'tc') ?? false;
type Update = CalcUpdate | PolicyUpdate;
const set = (kind: string, name: string, spec: object, namespace?: string): Update =>
  ({
    type: 'set',
    kind,
    object: {
      apiVersion: 'projectcalico.org/v3',
      kind,
      metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
      spec,
    },
  }) as unknown as Update;
const pool = (modes: object, cidr = '10.244.0.0/16', name = 'p'): Update =>
  set('IPPool', name, { cidr, ...modes });
const cluster: readonly Update[] = [1, 2].flatMap((n) => [
  set('Node', `h${n}`, {
    bgp: { ipv4Address: `10.${n}.0.1/24`, ipv4IPIPTunnelAddr: `10.244.${n}.1` },
    ipv4VXLANTunnelAddr: `10.244.${n}.1`,
  }),
  set(
    'WorkloadEndpoint',
    `pod${n}`,
    { node: `h${n}`, interfaceName: `cali${n}`, ipNetworks: [`10.244.${n}.5/32`], containerID: `pod${n}` },
    'default',
  ),
  set('IPAMBlock', `10-244-${n}-0-26`, {
    cidr: `10.244.${n}.0/26`,
    affinity: `host:h${n}`,
    allocations: [],
    attributes: [],
  }),
]);

class Felix {
  readonly graph: CalculationGraph;
  readonly dataplane: Dataplane;

  constructor(hosts: OverlayHosts, name: 'h1' | 'h2') {
    this.graph = new CalculationGraph({
      nodeName: name,
      policy: true,
      environment: { Ipv6Support: 'false' },
    });
    this.dataplane = new Dataplane({
      kernel: hosts.kernel(name),
      onHostInterfaces: (interfaces) => this.graph.setHostInterfaces(interfaces),
    });
  }

  async start(...updates: readonly Update[]): Promise<void> {
    expect(await this.dataplane.readHostInterfaces(), 'interfaces');
    this.update(...updates);
    expect(await this.dataplane.start(), 'start');
    await this.settled();
  }

  update(...updates: readonly Update[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  /** All rows are in the kernel; what comes by events of the kernel may still be on its way. */
  async settled(): Promise<void> {
    let stuck: readonly string[] = [];
    const isSettled = await until(
      async () => {
        await this.dataplane.idle();
        stuck = Object.entries(this.dataplane.status()).flatMap(
          ([name, { synced, unfinished, dumpError }]) =>
            synced && unfinished.length === 0 ? [] : [`${name}: ${dumpError ?? JSON.stringify(unfinished)}`],
        );
        return stuck.length === 0 ? true : undefined;
      },
      { timeoutMs: 60_000 },
    );
    assert.ok(isSettled, `not settled: ${stuck.join('; ')}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dataplane.stop();
  }
}

/** Tries until it does not throw, as long as a busy machine may take; throws what it threw last. */
async function eventually(check: () => unknown): Promise<void> {
  let last: unknown;
  const done = await until(
    async () => {
      try {
        await check();
        return true;
      } catch (error) {
        last = error;
        return undefined;
      }
    },
    { timeoutMs: 60_000, everyMs: 50 },
  );
  if (done === undefined) throw last;
}

class Pair {
  readonly hosts: OverlayHosts;
  readonly nodes: readonly Felix[];

  private constructor(hosts: OverlayHosts) {
    this.hosts = hosts;
    this.nodes = [new Felix(hosts, 'h1'), new Felix(hosts, 'h2')];
  }

  static async start(modes: object): Promise<Pair> {
    const pair = new Pair(await OverlayHosts.make());
    try {
      for (const node of pair.nodes) await node.start(pool(modes), ...cluster);
      if (Object.keys(modes).length > 0) await eventually(() => pair.ping());
      return pair;
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Other modes; over when pods reach each other by them. */
  async switch(modes: object): Promise<void> {
    for (const node of this.nodes) node.update(pool(modes));
    for (const node of this.nodes) await node.settled();
    if (Object.keys(modes).length > 0) await eventually(() => this.ping());
  }

  /** What Felix made for the tunnels of both hosts, without the numbers of the kernel. */
  async state(): Promise<string> {
    const script = `for d in tunl0 vxlan.calico; do
        ip -d link show $d; ip -4 addr show $d; ip neigh show dev $d nud permanent; bridge fdb show dev $d | sort
        tc filter show dev $d egress
      done 2>/dev/null; tc filter show dev eth0 ingress; ip route show proto 80`;
    const shown = await Promise.all(
      (['h1', 'h2'] as const).map((host) => this.hosts.run(host, 'sh', '-c', script)),
    );
    return shown
      .map(({ output }) => output.replaceAll(/^\d+: |\b(id|tag|handle) \w+|(?<=-overlay-\w+-)\w+/gm, ''))
      .join('\n');
  }

  async ping(...options: string[]): Promise<string> {
    const { code, output } = await this.hosts.run(
      'pod1',
      'ping',
      '-n',
      '-c',
      '2',
      '-i',
      '0.1',
      '-W',
      '1',
      ...options,
      '10.244.2.5',
    );
    assert.equal(code, 0, output);
    return output;
  }

  /** A transfer by TCP from pod to pod; the number of bytes that arrived. */
  async transfer(bytes: number): Promise<number> {
    const server = this.hosts.run(
      'pod2',
      'python3',
      '-c',
      'import socket\ns=socket.socket(); s.setsockopt(1,2,1); s.bind(("0.0.0.0",5001)); s.listen(); s.settimeout(60)\nc,_=s.accept(); n=0\nwhile True:\n  d=c.recv(65536)\n  if not d: break\n  n+=len(d)\nprint(n)',
    );
    await eventually(async () => {
      assert.match((await this.hosts.run('pod2', 'ss', '-ltn')).output, /:5001\b/);
    });
    const client = await this.hosts.run(
      'pod1',
      'python3',
      '-c',
      `import socket\ns=socket.create_connection(("10.244.2.5",5001),60); s.sendall(b"x"*${bytes}); s.close()`,
    );
    const { output } = await server;
    assert.equal(client.code, 0, client.output);
    return Number(output.trim());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) await node[Symbol.asyncDispose]();
    await this.hosts[Symbol.asyncDispose]();
  }
}

test('FX-091 SR-092…SR-095 SR-117: each mode on the wire, one after the other without a restart', {
  skip,
}, async () => {
  await using pair = await Pair.start({ ipipMode: 'Always' });
  const { hosts } = pair;
  const ipip = await hosts.capture('router', 'r2', 'proto 4', async () => {
    assert.match(await pair.ping(), /ttl=62/);
  });
  assert.match(ipip, /10\.1\.0\.1 > 10\.2\.0\.1: /);
  assert.match(ipip, /10\.244\.1\.5 > 10\.244\.2\.5: ICMP echo request/);
  assert.match(hosts.ip('h1', 'route show'), /10\.244\.2\.0\/26 via 10\.2\.0\.1 dev tunl0 proto 80 onlink/);
  assert.match(hosts.ip('h1', 'addr show tunl0'), /mtu 1480[\s\S]*inet 10\.244\.1\.1\/32/);
  const inside = await hosts.capture('h2', 'tunl0', 'icmp', async () => void (await pair.ping()));
  assert.match(
    inside,
    /10\.244\.1\.5 > 10\.244\.2\.5: ICMP echo request/,
    'what came out of the tunnel is seen on tunl0',
  );
  assert.doesNotMatch(inside, /10\.1\.0\.1 > 10\.2\.0\.1/);
  await pair.ping('-M', 'do', '-s', '1400');
  assert.equal(await pair.transfer(300_000), 300_000);

  await pair.switch({ vxlanMode: 'Always' });
  assert.equal(
    (await hosts.run('h1', 'ip', 'link', 'show', 'tunl0')).code === 0,
    /ipip/.test(hosts.ip('h1', '-d link')),
  );
  const vxlan = await hosts.capture('router', 'r2', 'udp port 4789', async () => {
    assert.match(await pair.ping(), /ttl=62/);
  });
  assert.match(vxlan, /10\.1\.0\.1\.\d+ > 10\.2\.0\.1\.4789: VXLAN, flags \[I\] \(0x08\), vni 4096/);
  assert.match(vxlan, /66:[0-9a-f:]+ > 66:[0-9a-f:]+/);
  await pair.ping('-M', 'do', '-s', '1400');
  assert.equal(await pair.transfer(300_000), 300_000);

  await pair.switch({});
  await eventually(async () => {
    assert.doesNotMatch(hosts.ip('h1', 'route show'), /10\.244\.2\.0/);
    assert.equal((await hosts.run('h1', 'ip', 'link', 'show', 'vxlan.calico')).code, 1);
  });
  for (const node of pair.nodes)
    for (const [name, { counters }] of Object.entries(node.dataplane.status()))
      assert.deepEqual([counters.drifted, counters.failures], [0, 0], name);
});

test('FX-091: too big for the tunnel: the sender is told the MTU; strangers’ protocol 4 is dropped', {
  skip,
}, async () => {
  await using pair = await Pair.start({ ipipMode: 'Always' });
  const { hosts } = pair;
  const { output } = await hosts.run(
    'pod1',
    'ping',
    '-n',
    '-c',
    '1',
    '-W',
    '1',
    '-M',
    'do',
    '-s',
    '1470',
    '10.244.2.5',
  );
  assert.match(output, /Frag needed and DF set \(mtu = 1480\)|message too long, mtu=1480/i);
  // A packet in a packet from the router, which is no node: raw, made by hand.
  const script = (source: string): string =>
    [
      'import socket,struct',
      'def csum(b):',
      '  s=sum(struct.unpack("!%dH"%(len(b)//2),b)); s=(s>>16)+(s&0xffff); s+=s>>16; return ~s&0xffff',
      'icmp=struct.pack("!BBHHH",8,0,0,7,1)+b"x"*8',
      'icmp=icmp[:2]+struct.pack("!H",csum(icmp))+icmp[4:]',
      'h=struct.pack("!BBHHHBBH4s4s",0x45,0,20+len(icmp),1,0,64,1,0,socket.inet_aton("10.244.1.77"),socket.inet_aton("10.244.2.5"))',
      'h=h[:10]+struct.pack("!H",csum(h))+h[12:]',
      'o=struct.pack("!BBHHHBBH4s4s",0x45,0,40+len(icmp),1,0,64,4,0,socket.inet_aton("SOURCE"),socket.inet_aton("10.2.0.1"))'.replace(
        'SOURCE',
        source,
      ),
      's=socket.socket(socket.AF_INET,socket.SOCK_RAW,socket.IPPROTO_RAW)',
      's.sendto(o+h+icmp,("10.2.0.1",0))',
    ].join('\n');
  const arrives = async (source: string): Promise<string> =>
    hosts.capture('pod2', 'eth0', 'icmp and src 10.244.1.77', async () => {
      const sent = await hosts.run('router', 'python3', '-c', script(source));
      assert.equal(sent.code, 0, sent.output);
    });
  assert.match(await arrives('10.1.0.1'), /10\.244\.1\.77 > 10\.244\.2\.5/, 'a known node’s comes through');
  assert.doesNotMatch(await arrives('10.2.0.254'), /10.244/, 'a stranger’s does not');
  assert.doesNotMatch(await arrives('10.1.0.2'), /10.244/);
});

test('IP in IP by eBPF: what the kernel cuts up carries right headers on every piece', { skip }, async () => {
  await using pair = await Pair.start({ ipipMode: 'Always' });
  const { hosts } = pair;
  // No offload at the wire: the kernel itself cuts the 64 KB packets of TCP.
  hosts.ip('h1', 'link set eth0 gso_max_size 2000');
  const wire = await hosts.capture('router', 'r1', 'proto 4 and src 10.1.0.1', async () => {
    assert.equal(await pair.transfer(300_000), 300_000);
  });
  const lengths = [...wire.matchAll(/proto IPIP \(4\), length (\d+)/g)].map(([, length]) => Number(length));
  assert.ok(lengths.length > 50, `${lengths.length} packets`);
  assert.ok(Math.max(...lengths) <= 1500, `the longest has ${Math.max(...lengths)} bytes`);
  assert.doesNotMatch(wire, /bad cksum/);
  assert.match(wire, /flags \[DF\], proto IPIP \(4\)/);
});

test('a link in the middle that carries less, or leads nowhere: pods hear of it, and transfers go on', {
  skip,
}, async () => {
  await using pair = await Pair.start({ ipipMode: 'Always' });
  const { hosts } = pair;
  const ping = async (bytes: number): Promise<string> =>
    (await hosts.run('pod1', ...`ping -n -c 1 -W 10 -M do -s ${bytes} 10.244.2.5`.split(' '))).output;
  hosts.ip('router', 'link set r2 mtu 1400');
  // The first transfer meets it unprepared: its packets are 1480 long inside.
  const told = await hosts.capture('pod1', 'eth0', 'icmp', async () => {
    assert.equal(await pair.transfer(300_000), 300_000);
  });
  assert.match(
    told,
    /10\.1\.0\.254 > 10\.244\.1\.5: ICMP 10\.244\.2\.5 unreachable - need to frag \(mtu 1380\)/,
  );
  assert.doesNotMatch(told, /bad cksum|wrong icmp cksum/);
  assert.match(hosts.ip('pod1', 'route get 10.244.2.5'), /mtu 1380/);
  assert.match(await ping(1352), / 1 received/, 'exactly what fits');
  // What the node itself sends through the tunnel.
  const own = await hosts.run(
    'h1',
    ...'ping -n -c 1 -W 10 -M do -s 1400 -I 10.244.1.1 10.244.2.5'.split(' '),
  );
  assert.match(own.output, /10\.1\.0\.254 .*mtu ?= ?1380/);
  hosts.ip('router', 'route add unreachable 10.2.0.1/32');
  assert.match(await ping(56), /From 10\.1\.0\.254 icmp_seq=1 Destination Host Unreachable/);
  hosts.ip('router', 'route del unreachable 10.2.0.1/32');

  hosts.ip('pod1', 'route flush cache');
  await pair.switch({ vxlanMode: 'Always' });
  assert.equal(await pair.transfer(300_000), 300_000);
});

test('FX-044 FX-142: VXLAN is taken from nodes only, and from addresses that the configuration names', {
  skip,
}, async () => {
  await using pair = await Pair.start({ vxlanMode: 'Always' });
  const { hosts } = pair;
  const mac = /link\/ether (\S+)/.exec(hosts.ip('h2', 'link show vxlan.calico'))?.[1] ?? '';
  // A ping from 10.244.1.77 in VXLAN, made by hand on the router.
  const script = (source: string): string =>
    [
      'import socket,struct',
      'def csum(b):',
      '  s=sum(struct.unpack("!%dH"%(len(b)//2),b)); s=(s>>16)+(s&0xffff); s+=s>>16; return ~s&0xffff',
      'def ip(proto,src,dst,body):',
      '  h=struct.pack("!BBHHHBBH4s4s",0x45,0,20+len(body),1,0,64,proto,0,socket.inet_aton(src),socket.inet_aton(dst))',
      '  return h[:10]+struct.pack("!H",csum(h))+h[12:]+body',
      'icmp=struct.pack("!BBHHH",8,0,0,7,1)+b"x"*8',
      'icmp=icmp[:2]+struct.pack("!H",csum(icmp))+icmp[4:]',
      `inner=bytes.fromhex("${mac.replaceAll(':', '')}6600000000770800")+ip(1,"10.244.1.77","10.244.2.5",icmp)`,
      'vxlan=struct.pack("!II",0x08000000,4096<<8)+inner',
      'udp=struct.pack("!HHHH",40000,4789,8+len(vxlan),0)+vxlan',
      's=socket.socket(socket.AF_INET,socket.SOCK_RAW,socket.IPPROTO_RAW)',
      `s.sendto(ip(17,"${source}","10.2.0.1",udp),("10.2.0.1",0))`,
    ].join('\n');
  const arrives = async (source: string): Promise<string> =>
    hosts.capture('pod2', 'eth0', 'icmp and src 10.244.1.77', async () => {
      const sent = await hosts.run('router', 'python3', '-c', script(source));
      assert.equal(sent.code, 0, sent.output);
    });
  assert.match(await arrives('10.1.0.1'), /10\.244\.1\.77 > 10\.244\.2\.5/, 'a known node’s comes through');
  assert.doesNotMatch(await arrives('10.2.0.254'), /10\.244/, 'a stranger’s does not');
  const named = set('FelixConfiguration', 'default', { externalNodesList: ['10.2.0.128/25'] });
  for (const node of pair.nodes) node.update(named);
  for (const node of pair.nodes) await node.settled();
  await eventually(async () =>
    assert.match(await arrives('10.2.0.254'), /10\.244\.1\.77 > 10\.244\.2\.5/, 'FX-142: now it is known'),
  );
  assert.doesNotMatch(await arrives('10.2.0.7'), /10\.244/);
});

test('FX-085: drift: programs, device, entries and routes come back', { skip }, async () => {
  await using pair = await Pair.start({ ipipMode: 'Always' });
  const { hosts } = pair;
  const back = async (break_: () => unknown): Promise<void> => {
    const before = await pair.state();
    await break_();
    await eventually(async () => assert.equal(await pair.state(), before));
    for (const node of pair.nodes) await node.settled();
    // Programs know the number of a device, which is another one when it was made anew.
    await eventually(() => pair.ping());
  };
  if (!/ipip/.test(hosts.ip('h2', '-d link show tunl0'))) {
    await back(() => hosts.run('h2', 'tc', 'filter', 'del', 'dev', 'eth0', 'ingress'));
    await back(() => hosts.run('h2', 'tc', 'qdisc', 'del', 'dev', 'tunl0', 'clsact'));
    await back(() => hosts.ip('h2', 'link del tunl0'));
  }
  await back(() => hosts.ip('h2', 'addr flush dev tunl0'));
  await back(() => hosts.ip('h2', 'link set tunl0 down mtu 1300'));
  await back(() => hosts.ip('h1', 'route del 10.244.2.0/26'));
  await pair.switch({ vxlanMode: 'Always' });
  await back(() => hosts.ip('h1', 'neigh del 10.244.2.1 dev vxlan.calico'));
  await back(() =>
    hosts.run(
      'h1',
      'sh',
      '-c',
      'bridge fdb del $(bridge fdb show dev vxlan.calico | cut -d" " -f1) dev vxlan.calico',
    ),
  );
  await back(() => hosts.ip('h1', 'link del vxlan.calico'));
  await back(() => hosts.ip('h1', 'link set vxlan.calico address 66:00:00:00:00:99'));
});

test('FX-066: what a node sends into a tunnel from another address of its own gets the tunnel’s; a pod’s packet keeps its own', {
  skip,
}, async () => {
  await using pair = await Pair.start({ ipipMode: 'Always' });
  const { hosts } = pair;
  const sourceSeen = (part: 'h1' | 'pod1', ...flags: readonly string[]): Promise<string> =>
    hosts.capture('pod2', 'eth0', 'icmp[icmptype]==icmp-echo', async () => {
      const { code, output } = await hosts.run(
        part,
        'ping',
        '-n',
        '-c',
        '2',
        '-i',
        '0.2',
        '-W',
        '5',
        ...flags,
        '10.244.2.5',
      );
      assert.equal(code, 0, output);
    });
  for (const modes of [{ ipipMode: 'Always' }, { vxlanMode: 'Always' }]) {
    await pair.switch(modes);
    await eventually(async () =>
      assert.match(await sourceSeen('h1', '-I', '10.1.0.1'), /10\.244\.1\.1 > 10\.244\.2\.5/),
    );
    assert.match(await sourceSeen('h1'), /10\.244\.1\.1 > 10\.244\.2\.5/);
    assert.match(await sourceSeen('pod1'), /10\.244\.1\.5 > 10\.244\.2\.5/);
  }
  // Without a tunnel it is as it was.
  await pair.switch({});
  hosts.ip('router', 'route replace 10.244.2.0/26 via 10.2.0.1');
  hosts.ip('router', 'route replace 10.244.1.0/26 via 10.1.0.1');
  await eventually(async () =>
    assert.match(await sourceSeen('h1', '-I', '10.1.0.1'), /10\.1\.0\.1 > 10\.244\.2\.5/),
  );
});

test('SR-102: what is uninstalled leaves nothing: devices, programs, routes, tables; what others made stays', {
  skip,
}, async () => {
  await using pair = await Pair.start({ ipipMode: 'Always' });
  const { hosts, nodes } = pair;
  const [first] = nodes;
  assert.ok(first !== undefined);
  first.update(pool({ vxlanMode: 'Always' }, '10.77.0.0/16', 'second'));
  await first.settled();
  const state = async (): Promise<string> => {
    const { output } = await hosts.run(
      'h1',
      'sh',
      '-c',
      'ip -o link; ip route show table all; ip rule; nft list tables; for d in eth0 cali1; do tc filter show dev $d ingress; done',
    );
    return output;
  };
  hosts.ip('h1', 'route add 172.30.0.0/16 via 10.1.0.254 proto static');
  await eventually(async () => {
    const before = await state();
    for (const there of [/tunl0/, /vxlan\.calico/, /proto 80/, /calico-overlay-in/, /table ip calico/])
      assert.match(before, there);
  });
  await first.dataplane.stop();
  const removed = expect(await removeDataplane({ kernel: hosts.kernel('h1') }), 'removal');
  assert.deepEqual(removed.devices.toSorted(), ['tunl0', 'vxlan.calico']);
  const left = await state();
  assert.doesNotMatch(left, /tunl0|vxlan\.calico|proto 80|proto bird|calico-overlay|table ip6? calico/);
  assert.match(left, /172\.30\.0\.0\/16 via 10\.1\.0\.254 dev eth0 proto static/);
  assert.match(left, /10\.244\.1\.5 dev cali1 scope link/);
  const again = expect(await removeDataplane({ kernel: hosts.kernel('h1') }), 'removal');
  assert.deepEqual([again.devices, again.programs, again.routes, again.tables], [[], 0, 0, 0]);
});

test('FX-009: a second run finds everything right: not one write, not one packet lost', {
  skip,
}, async () => {
  for (const modes of [{ ipipMode: 'Always' }, { vxlanMode: 'Always' }]) {
    await using pair = await Pair.start(modes);
    await pair.ping();
    const running = pair.hosts.run('pod1', 'ping', '-n', '-q', '-i', '0.01', '-c', '150', '10.244.2.5');
    await pair.nodes[0]?.dataplane.stop();
    await using second = new Felix(pair.hosts, 'h1');
    await second.start(pool(modes), ...cluster);
    for (const [name, { counters }] of Object.entries(second.dataplane.status()))
      assert.deepEqual([counters.puts, counters.removes, counters.drifted], [0, 0, 0], name);
    assert.match((await running).output, / 0% packet loss/);
  }
});
