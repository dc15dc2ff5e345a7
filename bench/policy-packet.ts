// What policy costs packets: a client pod and a server pod on one node, Felix between them with each back end, beside bare
// routing and beside connection tracking alone. Scenarios differ in endpoints of the node, policies of the server, and
// members of the sets that the policies name; the client is in the set of the last one.
//   npm run bench -- policy-packet [--full] [--rounds N] [--ms MILLISECONDS] [--only SCENARIO]
// One JSON object per line: new TCP connections per second, packets per second that are each a new UDP flow, MB/s of one TCP
// stream, round trips per second; each also per second of the sender's CPU time as a part of what bare routing has in the
// same round (`…OfBare`), which holds on a busy machine, too; and what it took to load. Medians of the rounds. Layouts take
// turns.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { CalculationGraph, type CalcUpdate } from '../src/felix/calc/mod.ts';
import { Dataplane, systemRunner } from '../src/felix/dataplane/mod.ts';
import { createNamedNamespace, deleteNamedNamespace, openKernel, type Kernel } from '../src/kernel/mod.ts';
import { expect } from '../src/lib/result.ts';

const { values: flags } = parseArgs({
  options: {
    full: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    ms: { type: 'string', default: '400' },
    only: { type: 'string' },
  },
});
const rounds = Number(flags.rounds ?? (flags.full ? 5 : 1));
const milliseconds = Number(flags.ms);

type Scenario = { readonly endpoints: number; readonly policies: number; readonly members: number };
type Layout = 'bare' | 'conntrack' | 'nftables' | 'iptables-legacy' | 'iptables-nft';
/** Per second, and per second of CPU time. */
type Speed = { readonly wall: number; readonly cpu: number };
const works = ['connects', 'flows', 'stream', 'trips'] as const;
type Measured = Readonly<Record<(typeof works)[number], Speed>> & { readonly loadMs: number };

const quickScenarios: readonly Scenario[] = [
  { endpoints: 2, policies: 1, members: 10 },
  { endpoints: 2, policies: 100, members: 10 },
  { endpoints: 2, policies: 1000, members: 10 },
  { endpoints: 1000, policies: 10, members: 10 },
  { endpoints: 2, policies: 1, members: 100_000 },
];
const fullScenarios: readonly Scenario[] = [
  ...quickScenarios,
  { endpoints: 2, policies: 10, members: 10 },
  { endpoints: 10, policies: 10, members: 10 },
  { endpoints: 100, policies: 10, members: 10 },
  { endpoints: 2, policies: 10, members: 1000 },
];
const quickLayouts: readonly Layout[] = ['bare', 'nftables', 'iptables-legacy'];
const fullLayouts: readonly Layout[] = ['bare', 'conntrack', 'nftables', 'iptables-legacy', 'iptables-nft'];
const environments: Readonly<Partial<Record<Layout, Readonly<Record<string, string>>>>> = {
  nftables: { NFTablesMode: 'Enabled' },
  'iptables-legacy': { NFTablesMode: 'Disabled', IptablesBackend: 'Legacy' },
  'iptables-nft': { NFTablesMode: 'Disabled', IptablesBackend: 'NFT' },
};

const addresses = { client: '10.65.0.1', server: '10.65.0.2' };
const macs = { node: 'ee:ee:ee:ee:ee:ee', client: '02:00:00:00:00:01', server: '02:00:00:00:00:02' };
const nodeName = 'n1';
let serial = 0;

type Work = { readonly count: number; readonly ms: number; readonly cpuUs: number };

class BenchHost {
  readonly #name = `pp${process.pid}n${serial++}`;
  readonly #children: ChildProcess[] = [];
  #dataplane: Dataplane | undefined;
  #kernel!: Kernel;
  #lines!: AsyncIterator<string>;
  #driver!: ChildProcess;

  static async make(): Promise<BenchHost> {
    const host = new BenchHost();
    for (const part of ['node', 'client', 'server'])
      expect(await createNamedNamespace(host.#namespace(part)), part);
    host.#wire();
    host.#kernel = expect(await openKernel({ netns: `/run/netns/${host.#namespace('node')}` }), 'open');
    return host;
  }

  #namespace(part: string): string {
    return `${this.#name}-${part}`;
  }

  #batch(part: string, ...lines: readonly string[]): void {
    execFileSync('ip', ['-n', this.#namespace(part), '-batch', '-'], { input: lines.join('\n') });
  }

  #sysctl(part: string, ...settings: readonly string[]): void {
    execFileSync('ip', ['netns', 'exec', this.#namespace(part), 'sysctl', '-qw', ...settings]);
  }

  #wire(): void {
    for (const part of ['client', 'server'] as const) {
      const peer = `peer name eth0 address ${macs[part]} netns ${this.#namespace(part)}`;
      this.#batch(
        'node',
        `link add cali${part} address ${macs.node} type veth ${peer}`,
        `link set cali${part} up`,
      );
      this.#batch(
        part,
        'link set lo up',
        `addr add ${addresses[part]}/32 dev eth0`,
        'link set eth0 up',
        'route add 169.254.1.1 dev eth0 scope link',
        'route add default via 169.254.1.1 dev eth0',
        `neigh replace 169.254.1.1 lladdr ${macs.node} dev eth0 nud permanent`,
      );
      this.#batch(
        'node',
        `route add ${addresses[part]}/32 dev cali${part}`,
        `neigh replace ${addresses[part]} lladdr ${macs[part]} dev cali${part} nud permanent`,
      );
    }
    this.#sysctl('node', 'net.ipv4.ip_forward=1');
    this.#sysctl('client', 'net.ipv4.ip_local_port_range=1024 65535');
  }

  async build(layout: Layout, scenario: Scenario): Promise<number> {
    const started = performance.now();
    if (layout === 'bare') return 0;
    if (layout === 'conntrack')
      execFileSync('ip', ['netns', 'exec', this.#namespace('node'), 'nft', '-f', '-'], {
        input: `table ip t {
          chain f {
            type filter hook forward priority 0
            ct state established,related accept
            ct state invalid drop
          }
        }
        `,
      });
    else await this.#enforce(environments[layout] ?? {}, scenario);
    // Entries of ended connections must not fill the table.
    this.#sysctl(
      'node',
      'net.netfilter.nf_conntrack_udp_timeout=1',
      'net.netfilter.nf_conntrack_tcp_timeout_close=1',
    );
    return performance.now() - started;
  }

  async #enforce(environment: Readonly<Record<string, string>>, scenario: Scenario): Promise<void> {
    const graph = new CalculationGraph({
      nodeName,
      blackholeProtocol: 12,
      policy: true,
      environment: { ...environment, Ipv6Support: 'false', MaxIpsetSize: '1048576' },
    });
    for (const update of objectsOf(scenario)) graph.update(update);
    const dataplane = new Dataplane({
      kernel: this.#kernel,
      policy: true,
      commands: systemRunner({ netns: `/run/netns/${this.#namespace('node')}` }),
    });
    this.#dataplane = dataplane;
    dataplane.apply(graph.flush());
    expect(await dataplane.start(), 'start');
    const ready = (): boolean => {
      const { nftables, iptables } = dataplane.status();
      return [nftables, iptables].every(
        (one) => one === undefined || (one.synced && one.unfinished.length === 0),
      );
    };
    for (let turn = 0; turn < 3000 && !ready(); turn++) {
      await dataplane.idle();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (!ready()) throw new Error(JSON.stringify(dataplane.status().nftables.unfinished.slice(0, 3)));
    // Felix's neighbours go with the addresses that it takes over.
    for (const part of ['client', 'server'] as const)
      this.#batch(
        'node',
        `neigh replace ${addresses[part]} lladdr ${macs[part]} dev cali${part} nud permanent`,
      );
  }

  async connect(): Promise<void> {
    const run = async (part: string, ...args: readonly string[]): Promise<ChildProcess> => {
      const argv = ['netns', 'exec', this.#namespace(part), process.execPath, ...args];
      const child = spawn('ip', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
      this.#children.push(child);
      return child;
    };
    const script = new URL('support/packet-load.ts', import.meta.url).pathname;
    const server = await run('server', script, 'serve');
    if (server.stdout !== null) await once(server.stdout, 'data');
    this.#driver = await run('client', script, 'drive', addresses.server, addresses.client);
    const stdout = this.#driver.stdout;
    if (stdout === null) throw new Error('no output');
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    await this.#lines.next();
  }

  async #work(name: (typeof works)[number]): Promise<Work> {
    this.#driver.stdin?.write(`${name} ${milliseconds}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`${name} ended early`);
    return JSON.parse(line.value) as Work;
  }

  #arrived(): number {
    const links = execFileSync('ip', ['-n', this.#namespace('server'), '-j', '-s', 'link', 'show', 'eth0'], {
      encoding: 'utf8',
    });
    const [link] = JSON.parse(links) as readonly [{ stats64: { rx: { packets: number } } }];
    return link.stats64.rx.packets;
  }

  async measure(): Promise<Omit<Measured, 'loadMs'>> {
    await this.#work('connects');
    const connects = await this.#work('connects');
    const stream = await this.#work('stream');
    const trips = await this.#work('trips');
    const before = this.#arrived();
    const flows = await this.#work('flows');
    return {
      connects: speed(connects.count, connects),
      flows: speed(this.#arrived() - before, flows),
      stream: speed(stream.count / 1e6, stream),
      trips: speed(trips.count, trips),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'close');
      child.kill('SIGKILL');
      await ended;
    }
    await this.#dataplane?.stop();
    await this.#kernel.close();
    for (const part of ['node', 'client', 'server']) await deleteNamedNamespace(this.#namespace(part));
  }
}

function* objectsOf({ endpoints, policies, members }: Scenario): Generator<CalcUpdate> {
  const object = (kind: string, name: string, spec: object, more: object = {}): CalcUpdate =>
    ({
      type: 'set',
      kind,
      object: { apiVersion: 'projectcalico.org/v3', kind, metadata: { name, ...more }, spec },
    }) as unknown as CalcUpdate;
  const all = { action: 'Allow', source: {}, destination: {} };
  yield object('Profile', 'open', { ingress: [all], egress: [all] });
  const last = `s${policies - 1}`;
  for (let i = 0; i < endpoints; i++) {
    const part = i === 0 ? 'client' : i === 1 ? 'server' : `${i}`;
    const labels = i === 0 ? { s: last } : { role: 'server' };
    yield object(
      'WorkloadEndpoint',
      `n1-k8s-p${i}-eth0`,
      {
        node: nodeName,
        orchestrator: 'k8s',
        pod: `p${i}`,
        endpoint: 'eth0',
        containerID: `c${i}`,
        interfaceName: `cali${part}`,
        ipNetworks: [`${i < 2 ? addresses[i === 0 ? 'client' : 'server'] : `10.66.${i >> 8}.${i & 255}`}/32`],
        profiles: ['open'],
      },
      { namespace: 'default', labels },
    );
  }
  for (let i = 0; i < policies; i++) {
    const nets = Array.from({ length: members - (i === policies - 1 ? 1 : 0) }, (_, j) => {
      const n = i * members + j;
      return `11.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}/32`;
    });
    yield object('GlobalNetworkSet', `s${i}`, { nets }, { labels: { s: `s${i}` } });
    const allow = (protocol: string, ports: readonly number[]): object => ({
      action: 'Allow',
      protocol,
      source: { selector: `s == 's${i}'` },
      destination: { ports },
    });
    yield object('GlobalNetworkPolicy', `p${i}`, {
      order: i,
      selector: "role == 'server'",
      types: ['Ingress'],
      ingress: [allow('TCP', [80, 81, 82]), allow('UDP', [80])],
    });
  }
}

const speed = (count: number, { ms, cpuUs }: Work): Speed => ({
  wall: count / (ms / 1000),
  cpu: count / (cpuUs / 1e6),
});

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

const nameOf = ({ endpoints, policies, members }: Scenario): string =>
  `endpoints ${endpoints}, policies ${policies}, members ${members}`;

for (const scenario of flags.full ? fullScenarios : quickScenarios) {
  if (flags.only !== undefined && !nameOf(scenario).includes(flags.only)) continue;
  const runs = new Map<Layout, Measured[]>();
  for (let round = 0; round < rounds; round++)
    for (const layout of flags.full ? fullLayouts : quickLayouts) {
      await using host = await BenchHost.make();
      const loadMs = await host.build(layout, scenario);
      await host.connect();
      const measured = { ...(await host.measure()), loadMs };
      runs.set(layout, [...(runs.get(layout) ?? []), measured]);
    }
  const bare = runs.get('bare') ?? [];
  for (const [layout, all] of runs) {
    const line: Record<string, unknown> = { bench: 'policy-packet', ...scenario, layout, rounds: all.length };
    for (const what of works) {
      line[what] = Math.round(median(all.map((one) => one[what].wall)));
      const ratios = all.map((one, i) => one[what].cpu / (bare[i]?.[what].cpu ?? Number.NaN));
      line[`${what}OfBare`] = Math.round(median(ratios) * 100) / 100;
    }
    line['loadMs'] = Math.round(median(all.map((one) => one.loadMs)));
    console.log(JSON.stringify(line));
  }
}
