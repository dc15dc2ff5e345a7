// A node, its pods and something outside, in namespaces, for tests of Felix with the real kernel.
import { execFile, execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { expect } from '../../../src/lib/result.ts';
import { until } from '../../../src/lib/wait.ts';
import {
  createNamedNamespace,
  deleteNamedNamespace,
  type Kernel,
  openKernel,
} from '../../../src/kernel/mod.ts';

/** Why these tests cannot run here, or undefined. */
export function unable(...tools: readonly string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  const missing = ['ip', 'ping', ...tools].filter((tool) => {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`]);
      return false;
    } catch {
      return true;
    }
  });
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')}`;
}

/** What a program says first; fails when it ends without a word. */
export function firstWord(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.stdout?.once('data', (chunk: Buffer | string) => resolve(chunk.toString().trim()));
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(new Error(`${child.spawnargs.join(' ').slice(0, 300)} ended with ${code ?? signal}`)),
    );
  });
}

let serial = 0;

export class TestNode {
  readonly name = `fx${process.pid}n${serial++}`;
  readonly #namespaces: string[] = [];
  readonly #children: ChildProcess[] = [];
  kernel!: Kernel;

  /** `node` with eth0 10.0.0.1/24 towards `outside` 10.0.0.254; no default route on the node. */
  static async make(): Promise<TestNode> {
    const node = new TestNode();
    await node.#namespace('node');
    await node.#namespace('out');
    node.ip('node', 'link set lo up');
    node.ip('out', 'link set lo up');
    node.ip('node', `link add eth0 type veth peer name eth0 netns ${node.ns('out')}`);
    node.ip('node', 'addr add 10.0.0.1/24 dev eth0');
    node.ip('node', 'link set eth0 up');
    node.ip('out', 'addr add 10.0.0.254/24 dev eth0');
    node.ip('out', 'link set eth0 up');
    node.kernel = expect(await openKernel({ netns: node.path('node') }), 'open node');
    return node;
  }

  ns(part: string): string {
    return `${this.name}-${part}`;
  }

  path(part: string): string {
    return `/var/run/netns/${this.ns(part)}`;
  }

  async #namespace(part: string): Promise<void> {
    expect(await createNamedNamespace(this.ns(part)), `namespace ${part}`);
    this.#namespaces.push(this.ns(part));
  }

  ip(part: string, command: string): string {
    return execFileSync('ip', ['-n', this.ns(part), ...command.split(' ')], { encoding: 'utf8' });
  }

  /** Runs a command in a namespace; what it wrote, and its exit code. */
  run(part: string, command: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
    return new Promise((resolve) => {
      execFile(
        'ip',
        ['netns', 'exec', this.ns(part), ...command],
        { encoding: 'utf8' },
        (error, stdout, stderr) => {
          resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr });
        },
      );
    });
  }

  spawn(part: string, command: readonly string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.ns(part), ...command], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    return child;
  }

  /** As `spawn`; it has said its first word. */
  async spawnReady(part: string, command: readonly string[]): Promise<ChildProcess> {
    const child = this.spawn(part, command);
    await firstWord(child);
    return child;
  }

  /** A process in this test's own namespace, ended with the node. */
  spawnHere(command: string, args: readonly string[]): ChildProcess {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#children.push(child);
    return child;
  }

  /** What the CNI plugin does in and around the pod's namespace; the rest is Felix's. */
  async pod(name: string, address: string, hostInterface = `cali${name}`): Promise<void> {
    await this.#namespace(name);
    this.ip(
      'node',
      `link add ${hostInterface} address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns ${this.ns(name)}`,
    );
    this.ip('node', `link set ${hostInterface} up`);
    this.ip(name, 'link set lo up');
    this.ip(name, 'link set eth0 up');
    this.ip(name, `addr add ${address}/32 dev eth0`);
    this.ip(name, 'route add 169.254.1.1 dev eth0 scope link');
    this.ip(name, 'route add default via 169.254.1.1 dev eth0');
  }

  /** TTL of an answer, or undefined when there was none. */
  async ping(part: string, address: string): Promise<number | undefined> {
    const { output } = await this.run(part, ['ping', '-n', '-c', '1', '-W', '1', address]);
    const ttl = /ttl=(\d+)/.exec(output)?.[1];
    return ttl === undefined ? undefined : Number(ttl);
  }

  async pingWorks(part: string, address: string): Promise<boolean> {
    const ttl = await until(() => this.ping(part, address), { timeoutMs: 60_000 });
    return ttl !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) if (child.exitCode === null) child.kill('SIGKILL');
    await this.kernel.close();
    for (const name of this.#namespaces) await deleteNamedNamespace(name);
  }
}
