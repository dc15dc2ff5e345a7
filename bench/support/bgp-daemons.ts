// The daemons that are measured side by side: our speaker, BIRD 2, FRR and GoBGP of Debian, each as a route reflector that
// takes sessions from 10.50.0.0/16, and what the kernel says they cost.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { as, clientAddress, serverAddress } from './bgp-load.ts';

export type DaemonName = 'margay' | 'bird' | 'frr' | 'gobgp';
export const port = 179;

/** `systemS` is the part of `cpuS` that the kernel took on its behalf: with TCP over loopback, also what the receivers' side
 *  of the stack costs. */
export type Usage = { readonly cpuS: number; readonly systemS: number; readonly rssMB: number };

export class Daemon {
  readonly name: DaemonName;
  readonly directory = mkdtempSync(join(tmpdir(), 'margay-bench-'));
  readonly #children: ChildProcess[] = [];

  private constructor(name: DaemonName) {
    this.name = name;
    chmodSync(this.directory, 0o777);
  }

  /** undefined when it is not installed. */
  static async start(name: DaemonName, clients: number): Promise<Daemon | undefined> {
    if (!installed(name)) return undefined;
    const daemon = new Daemon(name);
    starters[name](daemon, clients);
    await daemon.#listening();
    return daemon;
  }

  file(name: string, text: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, text);
    chmodSync(path, 0o644);
    return path;
  }

  run(command: string, ...argv: readonly string[]): void {
    const log = process.env['BENCH_LOG'] === undefined ? 'ignore' : 'inherit';
    this.#children.push(spawn(command, argv, { stdio: ['ignore', log, log] }));
  }

  /** CPU time and resident memory of all of its processes. */
  usage(): Usage {
    let user = 0;
    let system = 0;
    let kB = 0;
    for (const { pid } of this.#children) {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      user += Number(fields[11]);
      system += Number(fields[12]);
      kB += Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    }
    return { cpuS: (user + system) / 100, systemS: system / 100, rssMB: Math.round(kB / 1000) };
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((done) => void child.once('exit', done));
      // A profile is written at an orderly end.
      child.kill(process.env['BENCH_PROFILE'] === undefined ? 'SIGKILL' : 'SIGTERM');
      await gone;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #listening(): Promise<void> {
    const end = performance.now() + 20_000;
    for (;;) {
      const open = await new Promise<boolean>((done) => {
        const socket = connect({ host: serverAddress, port, localAddress: serverAddress });
        socket.once('connect', () => {
          socket.destroy();
          done(true);
        });
        socket.once('error', () => done(false));
      });
      if (open) return;
      if (performance.now() > end) throw new Error(`${this.name} does not listen`);
      await delay(50);
    }
  }
}

/** Where the reflector and its clients live: addresses on the loopback of the benchmark's own namespace. */
export function prepareNetwork(): void {
  const sh = (command: string): string => execFileSync('sh', ['-ec', command], { encoding: 'utf8' });
  sh(`ip link set lo up
    ip addr add ${serverAddress}/16 dev lo
    ip route add 10.50.0.0/16 dev lo proto static scope link
    sysctl -qw net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=8192`);
}

const program: Readonly<Record<DaemonName, string>> = {
  margay: process.execPath,
  bird: '/usr/sbin/bird',
  frr: '/usr/lib/frr/bgpd',
  gobgp: '/usr/bin/gobgpd',
};
export const installed = (name: DaemonName): boolean => existsSync(program[name]);

const bundle = resolve('dist/margay.js');

const starters: Readonly<Record<DaemonName, (daemon: Daemon, clients: number) => void>> = {
  margay: (daemon) => {
    const plan = daemon.file(
      'plan.json',
      JSON.stringify({
        local: {
          nodeName: 'rr',
          as,
          routerId: serverAddress,
          listen: { port, addresses: [serverAddress] },
          addresses: { 4: `${serverAddress}/16` },
          clusterId: serverAddress,
        },
        peers: [{ neighbourRange: '10.50.0.0/16', as, rrClient: true, limit: 5000, holdTimeSeconds: 240 }],
        installRoutes: false,
      }),
    );
    const main = existsSync(bundle) ? bundle : resolve('src/main.ts');
    const profiling = process.env['BENCH_PROFILE'];
    const flags =
      profiling === undefined ? [] : ['--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${profiling}`];
    daemon.run(
      process.execPath,
      ...flags,
      main,
      'speaker',
      '--plan',
      plan,
      '--socket',
      join(daemon.directory, 's'),
    );
  },
  bird: (daemon, clients) => {
    const sessions = Array.from(
      { length: clients },
      (_, i) => `protocol bgp c${i} from reflected { neighbor ${clientAddress(i)} as ${as}; }`,
    );
    const file = daemon.file(
      'bird.conf',
      [
        `router id ${serverAddress};`,
        'protocol device {}',
        'protocol direct { ipv4; }',
        'protocol static { ipv4; route 10.50.0.0/16 via "lo"; }',
        `template bgp reflected { local ${serverAddress} as ${as}; passive on; multihop; hold time 240;`,
        `rr client; rr cluster id ${serverAddress}; ipv4 { import all; export where source = RTS_BGP; }; }`,
        ...sessions,
        '',
      ].join('\n'),
    );
    daemon.run(program.bird, '-f', '-c', file, '-s', join(daemon.directory, 'ctl'));
  },
  frr: (daemon, clients) => {
    const zebra = daemon.file('zebra.conf', 'hostname rr\n');
    const bgpd = daemon.file(
      'bgpd.conf',
      [
        'frr defaults datacenter',
        `router bgp ${as}`,
        ` bgp router-id ${serverAddress}`,
        ` bgp cluster-id ${serverAddress}`,
        ' no bgp ebgp-requires-policy',
        ' no bgp network import-check',
        ' neighbor clients peer-group',
        ` neighbor clients remote-as ${as}`,
        ' neighbor clients timers 80 240',
        ` bgp listen limit ${Math.min(5000, clients + 100)}`,
        ' bgp listen range 10.50.0.0/16 peer-group clients',
        ' address-family ipv4 unicast',
        '  neighbor clients route-reflector-client',
        ' exit-address-family',
        '',
      ].join('\n'),
    );
    const common = (name: string): string[] =>
      `-u frr -g frr -i ${daemon.directory}/${name}.pid -z ${daemon.directory}/zserv.api --vty_socket ${daemon.directory} -A 127.0.0.1 -P 0`.split(
        ' ',
      );
    daemon.run('/usr/lib/frr/zebra', '-f', zebra, ...common('zebra'), '-r');
    daemon.run(program.frr, '-f', bgpd, ...common('bgpd'), '-l', serverAddress, '-n');
  },
  gobgp: (daemon) => {
    const file = daemon.file(
      'gobgp.toml',
      `[global.config]
  as = ${as}
  router-id = "${serverAddress}"
  port = ${port}
  local-address-list = ["${serverAddress}"]
[[peer-groups]]
  [peer-groups.config]
    peer-group-name = "clients"
    peer-as = ${as}
  [peer-groups.timers.config]
    hold-time = 240
  [peer-groups.route-reflector.config]
    route-reflector-client = true
    route-reflector-cluster-id = "${serverAddress}"
  [[peer-groups.afi-safis]]
    [peer-groups.afi-safis.config]
      afi-safi-name = "ipv4-unicast"
[[dynamic-neighbors]]
  [dynamic-neighbors.config]
    prefix = "10.50.0.0/16"
    peer-group = "clients"
`,
    );
    daemon.run(program.gobgp, '-f', file, '--api-hosts', '127.0.0.1:50051', '-p', '-l', 'error');
  },
};
