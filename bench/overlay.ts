// Overlays between two nodes with a router between them: pod to pod by each mode as Felix's dataplane sets it up, beside bare
// routing and beside tunnels made by hand with `ip`. Modes take turns in every round; medians are told.
//   npm run bench -- overlay [ROUNDS] [SECONDS]
// One JSON object per line: MB/s of one and of four TCP streams, microseconds of a ping, TCP connections per second, each
// also as a part of what bare routing has, and the best of all rounds: on a busy machine that is what tells something.
import { spawn } from 'node:child_process';
import { expect } from '../src/lib/result.ts';
import { CalculationGraph, type CalcUpdate, type PolicyUpdate } from '../src/felix/calc/mod.ts';
import { Dataplane } from '../src/felix/dataplane/mod.ts';
import { OverlayHosts } from '../test/kernel/support/overlay-hosts.ts';

const rounds = Number(process.argv[2] ?? 3);
const seconds = Number(process.argv[3] ?? 2);

type Measured = { stream: number; streams4: number; rttUs: number; rttLeastUs: number; connects: number };
type Mode = {
  readonly name: string;
  /** Sets the overlay up and gives how to take it down; undefined: the kernel cannot. */
  readonly build: (hosts: OverlayHosts) => Promise<(() => Promise<void>) | undefined>;
};

const set = (kind: string, name: string, spec: object, namespace?: string): CalcUpdate | PolicyUpdate =>
  ({
    type: 'set',
    kind,
    object: { kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) }, spec },
  }) as unknown as CalcUpdate;

/** The overlay as agents make it. */
async function byFelix(hosts: OverlayHosts, modes: object): Promise<() => Promise<void>> {
  const dataplanes: Dataplane[] = [];
  for (const own of [1, 2] as const) {
    const graph = new CalculationGraph({
      nodeName: `h${own}`,
      policy: true,
      environment: { Ipv6Support: 'false' },
    });
    const dataplane = new Dataplane({
      kernel: hosts.kernel(`h${own}`),
      onHostInterfaces: (interfaces) => graph.setHostInterfaces(interfaces),
    });
    expect(await dataplane.readHostInterfaces(), 'interfaces');
    graph.update(set('IPPool', 'p', { cidr: '10.244.0.0/16', ...modes }));
    for (const n of [1, 2]) {
      graph.update(
        set('Node', `h${n}`, {
          bgp: { ipv4Address: `10.${n}.0.1/24`, ipv4IPIPTunnelAddr: `10.244.${n}.1` },
          ipv4VXLANTunnelAddr: `10.244.${n}.1`,
        }),
      );
      const cidr = `10.244.${n}.0/26`;
      graph.update(
        set('IPAMBlock', `b${n}`, { cidr, affinity: `host:h${n}`, allocations: [], attributes: [] }),
      );
      const spec = { node: `h${n}`, interfaceName: `cali${n}`, ipNetworks: [`10.244.${n}.5/32`] };
      graph.update(set('WorkloadEndpoint', `pod${n}`, { ...spec, containerID: `pod${n}` }, 'default'));
    }
    dataplane.apply(graph.flush());
    expect(await dataplane.start(), 'start');
    dataplanes.push(dataplane);
  }
  await new Promise((resolve) => setTimeout(resolve, 600));
  for (const dataplane of dataplanes) await dataplane.idle();
  return async () => {
    for (const dataplane of dataplanes) await dataplane.stop();
  };
}

const nothing = async (): Promise<void> => undefined;

/** VXLAN with the same parameters, by hand. */
async function vxlanByHand(hosts: OverlayHosts): Promise<() => Promise<void>> {
  for (const n of [1, 2] as const) {
    const o = 3 - n;
    hosts.ip(`h${n}`, `link add vx type vxlan id 4096 local 10.${n}.0.1 dev eth0 dstport 4789 nolearning`);
    hosts.ip(`h${n}`, `link set vx mtu 1450 address 66:00:00:00:00:0${n} up`);
    hosts.ip(`h${n}`, `neigh add 10.244.${o}.1 lladdr 66:00:00:00:00:0${o} dev vx`);
    hosts.ip(`h${n}`, `route add 10.244.${o}.0/26 via 10.244.${o}.1 dev vx onlink`);
    await hosts.run(
      `h${n}`,
      'bridge',
      'fdb',
      'add',
      `66:00:00:00:00:0${o}`,
      'dev',
      'vx',
      'dst',
      `10.${o}.0.1`,
    );
  }
  return nothing;
}

/** The kernel's own tunl0, by hand, where it has one. */
async function ipipByHand(hosts: OverlayHosts): Promise<(() => Promise<void>) | undefined> {
  for (const n of [1, 2] as const) {
    const made = await hosts.run(`h${n}`, 'ip', 'link', 'add', 'tunl0', 'type', 'ipip');
    if (made.code !== 0 && !made.output.includes('File exists')) return undefined;
    hosts.ip(`h${n}`, 'link set tunl0 mtu 1480 up');
    hosts.ip(`h${n}`, `route add 10.244.${3 - n}.0/26 via 10.${3 - n}.0.1 dev tunl0 onlink`);
  }
  return nothing;
}

async function bare(hosts: OverlayHosts): Promise<() => Promise<void>> {
  for (const n of [1, 2] as const) {
    const o = 3 - n;
    hosts.ip(`h${n}`, `route add 10.244.${o}.0/26 via 10.${n}.0.254`);
    hosts.ip('router', `route add 10.244.${n}.0/26 via 10.${n}.0.1`);
  }
  return nothing;
}

const modes: readonly Mode[] = [
  { name: 'bare', build: bare },
  { name: 'vxlan', build: (hosts) => byFelix(hosts, { vxlanMode: 'Always' }) },
  { name: 'vxlan by hand', build: vxlanByHand },
  { name: 'ipip', build: (hosts) => byFelix(hosts, { ipipMode: 'Always' }) },
  { name: 'ipip by hand', build: ipipByHand },
];

const server = `require('net').createServer((c) => { c.on('data', () => {}); c.on('error', () => {}); c.on('end', () => c.end('x')); }).listen(5001)`;
const client = (streams: number): string => `
const net = require('net'); const block = Buffer.alloc(1 << 18); let sent = 0; let open = ${streams};
const start = performance.now();
for (let i = 0; i < ${streams}; i++) { const s = net.connect(5001, '10.244.2.5');
  const push = () => { while (performance.now() - start < ${seconds * 1000}) { sent += block.length; if (!s.write(block)) return; } s.end(); };
  s.on('connect', push); s.on('drain', push); s.on('data', () => {});
  s.on('end', () => { if (--open === 0) { console.log(sent / 1e6 / ((performance.now() - start) / 1000)); process.exit(); } }); }`;
const connector = `
const net = require('net'); let n = 0; const start = performance.now();
const next = () => { if (performance.now() - start > ${seconds * 500}) { console.log(n / ((performance.now() - start) / 1000)); process.exit(); }
  const s = net.connect(5001, '10.244.2.5', () => { n++; s.end(); }); s.on('data', () => {}); s.on('close', next); }; next();`;

async function measure(hosts: OverlayHosts): Promise<Measured> {
  const child = spawn('ip', ['netns', 'exec', hosts.ns('pod2'), process.execPath, '-e', server]);
  const number = async (script: string): Promise<number> => {
    const { code, output } = await hosts.run('pod1', process.execPath, '-e', script);
    if (code !== 0) throw new Error(output);
    return Number(output.trim());
  };
  try {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const stream = await number(client(1));
    const streams4 = await number(client(4));
    const connects = await number(connector);
    const ping = await hosts.run('pod1', 'ping', '-n', '-q', '-i', '0.002', '-c', '1000', '10.244.2.5');
    const [, least, mean] = /= ([\d.]+)\/([\d.]+)\//.exec(ping.output) ?? [];
    return { stream, streams4, rttUs: Number(mean) * 1000, rttLeastUs: Number(least) * 1000, connects };
  } finally {
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.kill();
    await ended;
  }
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

const all = new Map<string, Measured[]>();
for (let round = 0; round < rounds; round++) {
  for (const mode of modes) {
    await using hosts = await OverlayHosts.make();
    const takeDown = await mode.build(hosts);
    if (takeDown === undefined) continue;
    all.set(mode.name, [...(all.get(mode.name) ?? []), await measure(hosts)]);
    await takeDown();
  }
}
const base = all.get('bare') ?? [];
for (const { name } of modes) {
  const runs = all.get(name);
  if (runs === undefined) {
    console.log(JSON.stringify({ bench: 'overlay', mode: name, skipped: 'this kernel has no such device' }));
    continue;
  }
  const line: Record<string, unknown> = { bench: 'overlay', mode: name, rounds: runs.length };
  for (const what of ['stream', 'streams4', 'rttUs', 'connects'] as const) {
    const value = median(runs.map((run) => run[what]));
    line[what] = Math.round(value * 10) / 10;
    const best =
      what === 'rttUs' ? Math.min(...runs.map((r) => r.rttLeastUs)) : Math.max(...runs.map((r) => r[what]));
    line[`${what}Best`] = Math.round(best * 10) / 10;
    line[`${what}OfBare`] = Math.round((value / median(base.map((run) => run[what]))) * 100) / 100;
  }
  console.log(JSON.stringify(line));
}
