// Routers in network namespaces for the BGP tests: namespaces, cables, processes, and what the kernel shows. Runs inside the
// private namespaces that tools/run.mjs makes; everything ends with `close`.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { reportOf, reportTitle } from './report.ts';

/** What ships, where it is built: it starts three times as fast as the sources. */
const main = process.env['MARGAY_MAIN'] ?? fileURLToPath(new URL('../../../src/main.ts', import.meta.url));

export type Link = { readonly address: string; readonly interface: string };
export type KernelRoute = {
  readonly dst: string;
  readonly type?: string;
  readonly protocol?: string;
  readonly metric?: number;
  readonly gateway?: string;
  readonly dev?: string;
  readonly nexthops?: readonly { readonly gateway?: string; readonly dev?: string }[];
};

/** Why a test cannot run here, or undefined. */
export function missing(...programs: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root in its user namespace';
  const paths = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/usr/local/sbin', '/usr/local/bin'];
  for (const program of programs) {
    const found = program.startsWith('/')
      ? existsSync(program)
      : paths.some((p) => existsSync(join(p, program)));
    if (!found) return `${program} is not installed`;
  }
  return undefined;
}

/** Those that are not closed: what a failed test is reported with. */
const live = new Set<Network>();

export class Network {
  readonly directory = mkdtempSync(join(tmpdir(), 'margay-bgp-'));
  /** Hosts with a speaker of ours. */
  readonly speakers = new Set<string>();
  /** What daemons say about their sessions. */
  readonly words = new Map<string, () => string>();
  readonly #namespaces: string[] = [];
  readonly #segments: string[] = [];
  readonly #ports: string[] = [];
  readonly #processes = new Set<ChildProcess>();

  constructor() {
    live.add(this);
  }

  /** A host: a namespace with `lo` up that forwards. */
  host(name: string): void {
    run('ip', 'netns', 'add', name);
    this.#namespaces.push(name);
    this.ip(name, 'link set lo up');
    this.exec(name, 'sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
    this.exec(name, 'sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0', 'net.ipv6.conf.all.accept_dad=0');
  }

  /** A cable between two hosts, with addresses at both ends. */
  cable(a: string, b: string, aAddresses: readonly string[], bAddresses: readonly string[]): void {
    run('ip', 'link', 'add', b, 'netns', a, 'type', 'veth', 'peer', 'name', a, 'netns', b);
    for (const [host, port, addresses] of [
      [a, b, aAddresses],
      [b, a, bAddresses],
    ] as const) {
      for (const address of addresses) this.ip(host, `address add ${address} dev ${port}`);
      this.ip(host, `link set ${port} up`);
    }
  }

  /** A bridge in the test's own namespace, which may have addresses too: for peers played by the test itself. */
  segment(name: string, addresses: readonly string[] = []): void {
    run('ip', 'link', 'add', name, 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
    this.#segments.push(name);
    for (const address of addresses)
      run('ip', 'address', 'add', address, 'dev', name, ...(address.includes(':') ? ['nodad'] : []));
    run('ip', 'link', 'set', name, 'up');
  }

  /** The host's port on a segment. */
  attach(host: string, segment: string, addresses: readonly string[], port = 'eth0'): void {
    const other = `${segment}-${host}`.slice(0, 15);
    run('ip', 'link', 'add', other, 'master', segment, 'type', 'veth', 'peer', 'name', port, 'netns', host);
    this.#ports.push(other);
    run('ip', 'link', 'set', other, 'up');
    for (const address of addresses) this.ip(host, `address add ${address} dev ${port}`);
    this.ip(host, `link set ${port} up`);
  }

  /** Cuts the cable between a host and its segment, or puts it back. */
  plug(host: string, segment: string, isIn: boolean): void {
    const other = `${segment}-${host}`.slice(0, 15);
    run('ip', 'link', 'set', other, ...(isIn ? ['master', segment] : ['nomaster']));
  }

  ip(host: string, command: string): string {
    return run('ip', '-n', host, ...command.split(' '));
  }

  exec(host: string, ...command: readonly string[]): string {
    return run('ip', 'netns', 'exec', host, ...command);
  }

  routes(host: string, selector = 'proto bird', family = '-4'): KernelRoute[] {
    const text = run('ip', '-n', host, family, '-j', 'route', 'show', ...selector.split(' '));
    return JSON.parse(text === '' ? '[]' : text) as KernelRoute[];
  }

  file(name: string, content: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, content);
    return path;
  }

  /** Starts a program on a host; its output goes to `<name>.log`. */
  start(host: string, name: string, ...command: readonly string[]): ChildProcess {
    const log = openSync(join(this.directory, `${name}.log`), 'a');
    const child = spawn('ip', ['netns', 'exec', host, ...command], {
      stdio: ['ignore', log, log],
      env: { ...process.env, MARGAY_LOG: 'debug' },
    });
    closeSync(log);
    this.#processes.add(child);
    child.once('exit', () => this.#processes.delete(child));
    return child;
  }

  /** Ends a program with the network. */
  adopt(child: ChildProcess): void {
    this.#processes.add(child);
    child.once('exit', () => this.#processes.delete(child));
  }

  /** Our speaker with a plan file. */
  speaker(host: string, plan: object): ChildProcess {
    this.speakers.add(host);
    const file = this.file(`${host}.json`, JSON.stringify(plan));
    return this.start(
      host,
      `${host}-speaker`,
      process.execPath,
      main,
      'speaker',
      '--plan',
      file,
      '--socket',
      this.socket(host),
    );
  }

  socket(host: string): string {
    return join(this.directory, `${host}.sock`);
  }

  /** Asks a speaker; undefined while it does not answer, also when it ends meanwhile. */
  async ask<T>(host: string, request: object): Promise<T | undefined> {
    return new Promise((resolve) => {
      let text = '';
      const socket = connect(this.socket(host), () => socket.write(`${JSON.stringify(request)}\n`));
      socket.setEncoding('utf8');
      socket.on('error', () => resolve(undefined));
      socket.on('close', () => resolve(undefined));
      socket.setTimeout(20_000, () => socket.destroy());
      socket.on('data', (chunk: string) => {
        text += chunk;
        if (!text.endsWith('\n')) return;
        socket.destroy();
        const answer = JSON.parse(text) as { ok: boolean; result?: T };
        resolve(answer.ok ? answer.result : undefined);
      });
    });
  }

  log(name: string): string {
    const path = join(this.directory, `${name}.log`);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** kill -9, awaited. */
  async kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  /** Route events of the main table from now on, as `ip monitor` prints them. */
  async watch(host: string): Promise<{ lines(): string[] }> {
    const child = spawn('ip', ['-n', host, 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    this.adopt(child);
    await eventually(
      `route events of ${host} are followed`,
      () => this.exec(host, 'cat', '/proc/net/netlink'),
      (table) => table.split('\n').some((l) => followsRoutes(l.trim().split(/\s+/), child.pid)),
    );
    const noise = /table local|^local|^multicast|^anycast|fe80::|ff00::/;
    // Without the line that is being written.
    return {
      lines: () =>
        text
          .split('\n')
          .slice(0, -1)
          .filter((l) => !noise.test(l)),
    };
  }

  /** A counter of the host's kernel, of /proc/net/netstat. */
  counter(host: string, name: string): number {
    const lines = this.exec(host, 'cat', '/proc/net/netstat').split('\n');
    const [names = '', values = ''] = lines.filter((l) => l.startsWith('TcpExt:'));
    return Number(values.split(' ')[names.split(' ').indexOf(name)] ?? 0);
  }

  subdirectory(name: string): string {
    const path = join(this.directory, name);
    mkdirSync(path, { recursive: true });
    // Daemons that give up root write here too.
    chmodSync(this.directory, 0o755);
    chmodSync(path, 0o777);
    return path;
  }

  async close(): Promise<void> {
    live.delete(this);
    for (const child of this.#processes) await this.kill(child);
    // A namespace goes later than the command that deletes it; its cables are not waited for.
    for (const name of this.#ports) run('ip', 'link', 'delete', name);
    for (const name of this.#namespaces) run('ip', 'netns', 'delete', name);
    for (const name of this.#segments) run('ip', 'link', 'delete', name);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A line of /proc/net/netlink: the process's socket, with the group of IPv4 routes. */
const followsRoutes = (
  [, protocol, pid, groups = '0']: readonly string[],
  wanted: number | undefined,
): boolean => protocol === '0' && Number(pid) === wanted && (Number.parseInt(groups, 16) & 0x40) !== 0;

function run(program: string, ...argv: readonly string[]): string {
  try {
    return execFileSync(program, argv, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 120_000,
    });
  } catch (error) {
    // Some say what is wrong on their output: ping, vtysh.
    const { message, stdout } = error as Error & { stdout?: string };
    throw new Error(`${message}\n${stdout ?? ''}`.trim(), { cause: error });
  }
}

/** Waits until `probe` is content; the error shows what it saw last, and how the speakers and daemons are. */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  isRight: (value: T) => boolean,
  timeoutMs = 30_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  // What takes long is asked for less often.
  for (let waitMs = 40; ; waitMs = Math.min(waitMs * 1.2, 500)) {
    let value: T | undefined;
    let problem: string | undefined;
    try {
      value = await probe();
      if (isRight(value)) return value;
    } catch (error) {
      problem = (error as Error).message;
    }
    if (performance.now() > end)
      throw new Error(
        `${what} did not happen; last: ${(problem ?? JSON.stringify(value) ?? 'nothing').slice(0, 2_000)}\n${await reportOf(live)}`,
      );
    await delay(waitMs);
  }
}

type Peer = {
  readonly name: string;
  readonly state: string;
  readonly reasonText?: string;
  readonly session?: Session;
};
export type Session = {
  readonly peerAsn: number;
  readonly as4: boolean;
  readonly families: readonly number[];
  readonly refresh: boolean;
  readonly gracefulRestart?: object;
};

/** The session with the only (or named) peer, once it is up. */
export async function established(network: Network, host: string, name?: string): Promise<Session> {
  const peers = await eventually(
    `a session of ${host}`,
    () => network.ask<Peer[]>(host, { op: 'peers' }),
    (list) =>
      list?.some((p) => p.state === 'Established' && (name === undefined || p.name === name)) ?? false,
  );
  const session = peers?.find(
    (p) => p.state === 'Established' && (name === undefined || p.name === name),
  )?.session;
  if (session === undefined) throw new Error('an established peer has a session');
  return session;
}

/** For the top of a file of tests: one that fails without having waited is reported in the same way. */
export function reportFailures(): void {
  afterEach(async (t) => {
    const { passed, error } = t as TestContext;
    if (
      passed ||
      live.size === 0 ||
      ((error?.cause as Error | undefined)?.message ?? '').includes(reportTitle)
    )
      return;
    t.diagnostic(await reportOf(live));
  });
}
