// A real lab for the end-to-end tests: the command line as a user types it, kubectl from outside, commands on nodes and
// in pods.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, type SuiteContext, type TestContext } from 'node:test';
import { findEntrance, outputOf } from '../../src/lab/enter.ts';
import { labStatus, type LabStatus } from '../../src/lab/mod.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { reportLab } from './lab-report.ts';

/** Labs of a test file keep their state apart from those of the user, and of other tests. */
const stateDirectory = mkdtempSync(join(tmpdir(), 'margay-e2e-'));
process.env['XDG_RUNTIME_DIR'] = stateDirectory;
process.on('exit', () => rmSync(stateDirectory, { recursive: true, force: true }));

export type Output = { readonly code: number; readonly out: string; readonly err: string };

/** Runs a program to its end. */
export function run(
  command: string,
  argv: readonly string[],
  options: {
    readonly env?: NodeJS.ProcessEnv;
    readonly timeoutMs?: number;
    readonly input?: string;
    readonly cwd?: string;
  } = {},
): Promise<Output> {
  return new Promise((done) => {
    const child = spawn(command, argv, {
      env: options.env ?? process.env,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    let out = '';
    let err = '';
    const deadline = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 280_000);
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      out += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      err += chunk;
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
    child.on('error', (error) => {
      err += error.message;
    });
    child.on('close', (code) => {
      clearTimeout(deadline);
      done({ code: code ?? 137, out, err });
    });
  });
}

let program: Promise<string> | undefined;
/** The tests run what ships: the bundle, built from the sources as they are; or what MARGAY_MAIN names. */
export function bundled(): Promise<string> {
  program ??= (async () => {
    const given = process.env['MARGAY_MAIN'];
    if (given !== undefined) return resolve(given);
    const { code, err } = await run(process.execPath, [resolve('tools/build.mjs')]);
    if (code !== 0) throw new Error(`build: ${err}`);
    return resolve('dist/margay.js');
  })();
  return program;
}

export async function margay(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  input = '',
): Promise<Output> {
  return run(process.execPath, [await bundled(), ...argv], { env, input });
}

export type TestPod = {
  readonly name: string;
  readonly node: string;
  readonly address: string;
  readonly addresses: readonly string[];
  readonly netns: string;
  readonly uid: string;
};

export type CaptureOptions = {
  readonly device: string;
  readonly filter: string;
  readonly flags?: string;
  readonly end: number | string;
};

/** Labs that are up. */
const running = new Set<string>();

/** A failure on a lab tells how the lab stood. Benchmarks use labs, too, and have no tests. */
if (process.env['NODE_TEST_CONTEXT'] !== undefined)
  afterEach(async (context: TestContext | SuiteContext) => {
    const error = 'error' in context ? context.error : undefined;
    if (!(error instanceof Error) || running.size === 0) return;
    const cause = error.cause instanceof Error ? error.cause : error;
    for (const name of running) cause.stack = `${cause.stack ?? cause.message}\n${await reportLab(name)}`;
  });

export class TestLab {
  readonly name: string;
  readonly kubeconfig: string;

  private constructor(name: string, kubeconfig: string) {
    this.name = name;
    this.kubeconfig = kubeconfig;
  }

  /** `margay lab up FLAGS`; throws with what it said when it fails. */
  static async up(name: string, flags: readonly string[]): Promise<TestLab> {
    const up = await margay(['lab', 'up', '--name', name, ...flags]);
    if (up.code !== 0) {
      const status = await margay(['lab', 'status', '--name', name]);
      await margay(['lab', 'down', '--name', name]);
      throw new Error(`lab up: ${up.out}${up.err}\n${status.out}`);
    }
    const kubeconfig = /KUBECONFIG=(\S+)/.exec(up.out)?.[1] ?? '';
    running.add(name);
    return new TestLab(name, kubeconfig);
  }

  down(): Promise<Output> {
    running.delete(this.name);
    return margay(['lab', 'down', '--name', this.name]);
  }

  async status(): Promise<LabStatus> {
    return expect(await labStatus(this.name), 'lab status').lab;
  }

  /** By the entrance of `lab exec`, without the start of another program for each command. */
  async exec(node: string, ...command: readonly string[]): Promise<Output> {
    const entrance = await findEntrance(this.name, node);
    if (!entrance.ok) return { code: 1, out: '', err: entrance.error.message };
    return outputOf(entrance.value, command, 120_000);
  }

  /** A shell command on a node; throws when it fails. */
  async sh(node: string, script: string): Promise<string> {
    const { code, out, err } = await this.exec(node, 'sh', '-c', script);
    if (code !== 0) throw new Error(`${node}: ${script}: ${out}${err}`);
    return out;
  }

  inPod(pod: TestPod, script: string): Promise<string> {
    return this.sh(pod.node, `nsenter --net=${pod.netns} -- sh -c '${script.replaceAll("'", `'\\''`)}'`);
  }

  /** What tcpdump prints on a node while a script runs there: the script waits until the capture listens, and the capture ends
   *  when it has seen so many packets, or a line with the pattern. */
  capture(
    node: string,
    { device, filter, flags = '', end }: CaptureOptions,
    script: string,
  ): Promise<string> {
    const count = typeof end === 'number' ? `-c ${end}` : '';
    const isOver = typeof end === 'number' ? 'false' : `grep -q -e '${end}' $seen/out`;
    return this.sh(
      node,
      `PATH=$PATH:/usr/sbin; seen=$(mktemp -d)
      timeout 90 tcpdump -Z root -l --immediate-mode -n ${flags} ${count} -i ${device} '${filter}' >$seen/out 2>$seen/err & capture=$!
      until grep -q 'listening on' $seen/err; do kill -0 $capture || { cat $seen/err >&2; exit 1; }; sleep 0.02; done
      { ${script}
      } >/dev/null 2>&1
      for i in $(seq 600); do kill -0 $capture 2>/dev/null || break; ${isOver} && break; sleep 0.05; done
      kill $capture 2>/dev/null; wait $capture; cat $seen/out; rm -r $seen`,
    );
  }

  kubectl(...argv: readonly string[]): Promise<Output> {
    return run('kubectl', argv, { env: { ...process.env, KUBECONFIG: this.kubeconfig } });
  }

  async apply(object: unknown): Promise<void> {
    const { code, err } = await run('kubectl', ['apply', '-f', '-'], {
      env: { ...process.env, KUBECONFIG: this.kubeconfig },
      input: JSON.stringify(object),
    });
    if (code !== 0) throw new Error(`kubectl apply: ${err}`);
  }

  /** A deployment `web` of HTTP servers, spread over the nodes: its pods, ready. */
  async deploy(replicas: number): Promise<readonly TestPod[]> {
    const image = '--image=ikubernetes/demoapp:v1.0';
    const made = await this.kubectl('create', 'deployment', 'web', image, `--replicas=${replicas}`);
    if (made.code !== 0) throw new Error(`kubectl create deployment: ${made.err}`);
    return this.pods('app=web', replicas);
  }

  /** The block of addresses of a node; empty while it has none. */
  async blockOf(node: string): Promise<string> {
    const routes = await this.sh(node, 'ip -4 route show type blackhole');
    return /192\.168\.\d+\.\d+\/26/.exec(routes)?.[0] ?? '';
  }

  /** Ready pods of a label, with the namespace their runner made for them; undefined until there are so many. */
  async pods(selector: string, count: number, timeoutMs = 120_000): Promise<readonly TestPod[]> {
    const pods = await until(
      async () => {
        const { out } = await this.kubectl('get', 'pods', '-l', selector, '-o', 'json');
        const ready = readyPods(out);
        return ready.length === count ? ready : undefined;
      },
      { timeoutMs, everyMs: 200 },
    );
    if (pods === undefined)
      throw new Error(`not ${count} pods of ${selector} became ready\n${await reportLab(this.name)}`);
    const found = await Promise.all(
      pods.map(async (pod): Promise<TestPod> => {
        const record = await this.sh(pod.node, `cat /var/lib/margay/pods/${pod.uid}.json`);
        return { ...pod, netns: (JSON.parse(record) as { readonly netns: string }).netns };
      }),
    );
    return found.sort((a, b) => (`${a.node}${a.address}` < `${b.node}${b.address}` ? -1 : 1));
  }
}

/** A cluster-wide resource of Calico. */
export const calico = (kind: string, name: string, spec: object): object => ({
  apiVersion: 'projectcalico.org/v3',
  kind,
  metadata: { name },
  spec,
});

/** A pod of the node, the first unless said otherwise. */
export function podOn(pods: readonly TestPod[], node: string, i = 0): TestPod {
  const pod = pods.filter((p) => p.node === node)[i];
  if (pod === undefined) throw new Error(`no pod on ${node}`);
  return pod;
}

type PodJson = {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly spec: { readonly nodeName?: string };
  readonly status?: {
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
};

function readyPods(text: string): Omit<TestPod, 'netns'>[] {
  let items: readonly PodJson[];
  try {
    ({ items } = JSON.parse(text) as { items: readonly PodJson[] });
  } catch {
    return [];
  }
  return items
    .filter(
      (p) =>
        p.metadata.deletionTimestamp === undefined &&
        p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'),
    )
    .map((p) => ({
      name: p.metadata.name,
      uid: p.metadata.uid,
      node: p.spec.nodeName ?? '',
      address: p.status?.podIP ?? '',
      addresses: (p.status?.podIPs ?? []).map((i) => i.ip),
    }));
}

export const hasTool = (name: string): boolean =>
  spawnSync('sh', ['-c', `command -v ${name}`], {
    env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
  }).status === 0;

/** A reason to skip when a tool is missing, else false. */
export const without = (...tools: readonly string[]): string | false => {
  const missing = tools.filter((tool) => !hasTool(tool));
  return missing.length === 0 ? false : `missing: ${missing.join(', ')}`;
};

/** What this namespace holds, to be compared before and after. */
export function footprint(): Record<string, readonly string[]> {
  const output = (command: string, ...argv: readonly string[]): string[] =>
    spawnSync(command, argv, { encoding: 'utf8' }).stdout.split('\n').filter(Boolean);
  return {
    links: output('ip', '-o', 'link'),
    routes: output('ip', 'route', 'show', 'table', 'all'),
    namespaces: output('sh', '-c', 'ls /run/netns 2>/dev/null'),
    state: readdirSync(stateDirectory),
    mounts: readFileSync('/proc/self/mounts', 'utf8').split('\n'),
    processes: output('sh', '-c', "ps -eo args= | grep -E 'main.ts|margay' | grep -v grep"),
    files: output(
      'sh',
      '-c',
      'ls -d /etc/cni /opt/cni /var/lib/calico /var/log/calico /var/log/pods 2>/dev/null',
    ),
  };
}
