// Two hosts in two subnets with a router between them, and a pod behind each: what overlays are tried on.
//
//   pod1 10.244.1.5 ── h1 10.1.0.1 ── router ── 10.2.0.1 h2 ── pod2 10.244.2.5
import { execFile, execFileSync, spawn } from 'node:child_process';
import { expect } from '../../../src/lib/result.ts';
import { until } from '../../../src/lib/wait.ts';
import {
  createNamedNamespace,
  deleteNamedNamespace,
  type Kernel,
  openKernel,
} from '../../../src/kernel/mod.ts';

let serial = 0;
const parts = ['h1', 'h2', 'router', 'pod1', 'pod2'] as const;
export type Part = (typeof parts)[number];

export class OverlayHosts {
  readonly #name = `ov${process.pid}n${serial++}`;
  readonly kernels = new Map<Part, Kernel>();

  static async make(): Promise<OverlayHosts> {
    const hosts = new OverlayHosts();
    try {
      await hosts.#build();
      return hosts;
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #build(): Promise<void> {
    for (const part of parts) expect(await createNamedNamespace(this.ns(part)), part);
    for (const part of parts) this.ip(part, 'link set lo up');
    for (const n of [1, 2] as const) {
      this.#wire(`h${n}`, 'eth0', 'router', `r${n}`);
      this.ip(`h${n}`, `addr add 10.${n}.0.1/24 dev eth0`);
      this.ip('router', `addr add 10.${n}.0.254/24 dev r${n}`);
      this.ip(`h${n}`, `route add default via 10.${n}.0.254`);
      this.#wire(`h${n}`, `cali${n}`, `pod${n}`, 'eth0');
      this.ip(`pod${n}`, `addr add 10.244.${n}.5/32 dev eth0`);
      this.ip(`pod${n}`, `route add 169.254.1.1 dev eth0 scope link`);
      this.ip(`pod${n}`, `route add default via 169.254.1.1`);
      this.ip(`h${n}`, `route add 10.244.${n}.5 dev cali${n} scope link`);
      this.sysctl(`h${n}`, `net/ipv4/conf/cali${n}/proxy_arp`, '1');
      this.sysctl(`h${n}`, `net/ipv4/neigh/cali${n}/proxy_delay`, '0');
    }
    for (const part of ['h1', 'h2', 'router'] as const) this.sysctl(part, 'net/ipv4/ip_forward', '1');
    for (const part of ['h1', 'h2'] as const)
      this.kernels.set(part, expect(await openKernel({ netns: this.path(part) }), `open ${part}`));
  }

  kernel(part: 'h1' | 'h2'): Kernel {
    return this.kernels.get(part) as Kernel;
  }

  ns(part: Part): string {
    return `${this.#name}-${part}`;
  }

  path(part: Part): string {
    return `/var/run/netns/${this.ns(part)}`;
  }

  ip(part: Part, command: string): string {
    return execFileSync('ip', ['-n', this.ns(part), ...command.split(' ')], { encoding: 'utf8' });
  }

  sysctl(part: Part, path: string, value: string): void {
    execFileSync('ip', ['netns', 'exec', this.ns(part), 'sh', '-c', `echo ${value} > /proc/sys/${path}`]);
  }

  /** Runs a command there; what it wrote, and its exit code. */
  run(part: Part, ...command: string[]): Promise<{ readonly code: number; readonly output: string }> {
    return new Promise((resolve) => {
      execFile(
        'ip',
        ['netns', 'exec', this.ns(part), ...command],
        { encoding: 'utf8' },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr }),
      );
    });
  }

  /** What tcpdump sees on a device while `act` runs, and until all of `awaited` is seen. */
  async capture(
    part: Part,
    device: string,
    filter: string,
    act: () => Promise<unknown>,
    awaited: readonly RegExp[] = [],
  ): Promise<string> {
    const child = spawn('ip', [
      'netns',
      'exec',
      this.ns(part),
      'tcpdump',
      '-lnvei',
      device,
      '--immediate-mode',
      ...filter.split(' '),
    ]);
    let output = '';
    let said = '';
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    try {
      const listens = await until(
        () => (said.includes('listening') || child.exitCode !== null ? true : undefined),
        { timeoutMs: 60_000 },
      );
      if (listens === undefined || child.exitCode !== null) throw new Error(`tcpdump: ${said}`);
      await act();
      await until(() => (awaited.every((one) => one.test(output)) ? true : undefined), { timeoutMs: 20_000 });
      // What should not be there has as long to come.
      await new Promise((resolve) => setTimeout(resolve, 150));
      // All that met the filter is printed: at this signal it says how far it is.
      const isThrough = (): boolean => {
        const told = [
          ...said.matchAll(/(\d+) packets? captured, (\d+) packets? received .*, (\d+) packets? dropped/g),
        ];
        const [captured = 0, received, dropped = 0] = (told.at(-1) ?? []).slice(1).map(Number);
        return received !== undefined && captured + dropped >= received;
      };
      await until(() => (isThrough() || !child.kill('SIGUSR1') ? true : undefined), {
        timeoutMs: 20_000,
        everyMs: 50,
      });
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
    return output;
  }

  #wire(a: Part, deviceA: string, b: Part, deviceB: string): void {
    this.ip(a, `link add ${deviceA} type veth peer name ${deviceB} netns ${this.ns(b)}`);
    this.ip(a, `link set ${deviceA} up`);
    this.ip(b, `link set ${deviceB} up`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const kernel of this.kernels.values()) await kernel.close();
    for (const part of parts) await deleteNamedNamespace(this.ns(part));
  }
}
