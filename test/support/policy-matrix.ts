// Who reaches whom in a lab: the pods of the upstream suite for network policy (three namespaces with three pods each), and
// questions about all pairs of them at once.
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { resolve } from 'node:path';
import { until } from '../../src/lib/wait.ts';
import { bundled, run, type TestLab } from './lab.ts';
import type {
  ProberAnswer,
  ProberOutcome,
  ProberPlace,
  ProberProbe,
  ProberRequest,
} from './policy-prober.ts';

export const namespaces = ['x', 'y', 'z'];
export const podNames = ['a', 'b', 'c'];
/** `x/a`. */
export type PodPath = string;
export const allPods: readonly PodPath[] = namespaces.flatMap((namespace) =>
  podNames.map((name) => `${namespace}/${name}`),
);

export type Question = {
  readonly protocol?: 'tcp' | 'udp' | 'sctp';
  readonly port?: number;
  readonly family?: 4 | 6;
};
/** Whether one may reach the other. */
export type Expectation = (from: PodPath, to: PodPath) => boolean;

type PodJson = {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly nodeName: string; readonly hostNetwork?: boolean };
  readonly status?: {
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
};

const podManifest = (namespace: string, name: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels: { pod: name } },
  spec: {
    containers: [
      {
        name: 'server',
        image: 'agnhost',
        args: ['80', '81'],
        ports: [
          { name: 'serve-80-tcp', containerPort: 80, protocol: 'TCP' },
          { name: 'serve-81-tcp', containerPort: 81, protocol: 'TCP' },
          { name: 'serve-80-udp', containerPort: 80, protocol: 'UDP' },
          { name: 'serve-81-udp', containerPort: 81, protocol: 'UDP' },
          { name: 'serve-80-sctp', containerPort: 80, protocol: 'SCTP' },
          { name: 'serve-81-sctp', containerPort: 81, protocol: 'SCTP' },
        ],
      },
    ],
  },
});

export class PolicyMatrix {
  readonly #lab: TestLab;
  readonly #prober: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  readonly #addresses = new Map<PodPath, readonly string[]>();
  /** Names of the nodes. */
  nodes: readonly string[] = [];
  /** How many questions were asked in all. */
  probes = 0;

  private constructor(lab: TestLab, program: string) {
    this.#lab = lab;
    const argv = [
      'lab',
      'exec',
      '--name',
      lab.name,
      'master1',
      '--',
      process.execPath,
      resolve('test/support/policy-prober.ts'),
    ];
    this.#prober = spawn(process.execPath, [program, ...argv], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    if (this.#prober.stdout === null) throw new Error('the prober has no output');
    this.#answers = createInterface({ input: this.#prober.stdout })[Symbol.asyncIterator]();
  }

  static async make(lab: TestLab): Promise<PolicyMatrix> {
    const matrix = new PolicyMatrix(lab, await bundled());
    const objects = namespaces.flatMap((namespace) => [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels: { ns: namespace } } },
      ...podNames.map((name) => podManifest(namespace, name)),
    ]);
    await matrix.apply(...objects);
    await matrix.refresh();
    return matrix;
  }

  async #ask(request: ProberRequest): Promise<ProberAnswer> {
    this.#prober.stdin?.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#answers.next();
    if (done === true) throw new Error('the prober has ended');
    const answer = JSON.parse(value) as ProberAnswer;
    if (answer.error !== undefined) throw new Error(`prober: ${answer.error}`);
    return answer;
  }

  /** Finds all pods again: they may have got other namespaces and addresses. */
  async refresh(): Promise<void> {
    let seen = '';
    const pods = await until(
      async () => {
        seen = (await this.#lab.kubectl('get', 'pods', '-A', '-o', 'json')).out;
        const { items } = JSON.parse(seen) as { readonly items: readonly PodJson[] };
        const isReady = ({ metadata, status }: PodJson): boolean =>
          metadata.deletionTimestamp === undefined &&
          status?.conditions?.some(({ type, status: state }) => type === 'Ready' && state === 'True') ===
            true;
        return items.every(isReady) ? items : undefined;
      },
      { timeoutMs: 120_000, everyMs: 200 },
    );
    if (pods === undefined) throw new Error(`pods do not become ready: ${seen}`);
    const { machines } = await this.#lab.status();
    const holder = (node: string): number => machines.find(({ name }) => name === node)?.holderPid ?? 0;
    this.nodes = machines.filter(({ role }) => role === 'node').map(({ name }) => name);
    const places: ProberPlace[] = machines
      .filter(({ role }) => role === 'node')
      .map(({ name, holderPid }) => ({
        name: `node/${name}`,
        netns: `/proc/${holderPid}/ns/net`,
        isPod: false,
      }));
    for (const { metadata, spec, status } of pods) {
      const path = `${metadata.namespace}/${metadata.name}`;
      this.#addresses.set(
        path,
        (status?.podIPs ?? []).map(({ ip }) => ip),
      );
      if (spec.hostNetwork === true) continue;
      const record = await this.#lab.sh(spec.nodeName, `cat /var/lib/margay/pods/${metadata.uid}.json`);
      const { netns } = JSON.parse(record) as { readonly netns: string };
      places.push({ name: path, netns: `/proc/${holder(spec.nodeName)}/root${netns}`, isPod: true });
    }
    await this.#ask({ op: 'places', places });
  }

  address(path: PodPath, family: 4 | 6 = 4): string {
    const found = (this.#addresses.get(path) ?? []).find((one) => one.includes(':') === (family === 6));
    if (found === undefined) throw new Error(`${path} has no IPv${family} address`);
    return found;
  }

  /** `kubectl apply` of all of them. */
  async apply(...objects: readonly object[]): Promise<void> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    await this.kubectl(['apply', '-f', '-'], JSON.stringify(list));
  }

  async kubectl(argv: readonly string[], input = ''): Promise<string> {
    const env = { ...process.env, KUBECONFIG: this.#lab.kubeconfig };
    const { code, out, err } = await run('kubectl', argv, { env, input });
    if (code !== 0) throw new Error(`kubectl ${argv.join(' ')}: ${err}${out}`);
    return out;
  }

  async outcomes(probes: readonly ProberProbe[]): Promise<readonly ProberOutcome[]> {
    this.probes += probes.length;
    return (await this.#ask({ op: 'probe', probes })).outcomes ?? [];
  }

  /** All pairs of pods, again and again until they are as expected; gives the differences that stay. */
  async differences(
    expected: Expectation,
    { protocol = 'tcp', port = 80, family = 4 }: Question = {},
    pairs: readonly (readonly [PodPath, PodPath])[] = allPairs,
  ): Promise<readonly string[]> {
    const probes = pairs.map(([from, to]) => ({
      from,
      to,
      source: this.address(from, family),
      destination: this.address(to, family),
      protocol,
      port,
    }));
    let wrong: readonly string[] = [];
    await until(
      async () => {
        const outcomes = await this.outcomes(probes);
        wrong = probes.flatMap(({ from, to }, i) => {
          const wanted = expected(from, to);
          return (outcomes[i] === 'reached') === wanted
            ? []
            : [
                `${from} → ${to} ${protocol} ${port}: ${outcomes[i]}, expected ${wanted ? 'reached' : 'silence'}`,
              ];
        });
        return wrong.length === 0 ? true : undefined;
      },
      { timeoutMs: 60_000, everyMs: 100 },
    );
    return wrong;
  }

  /** Whether connections are made: `to` by its address, whatever its network. */
  async connects(
    list: readonly { readonly from: string; readonly to: PodPath; readonly port?: number }[],
  ): Promise<readonly boolean[]> {
    const probes = list.map(({ from, to, port = 80 }) => ({
      from,
      to,
      source: '',
      destination: this.address(to),
      protocol: 'tcp' as const,
      port,
    }));
    return (await this.outcomes(probes)).map((outcome) => outcome === 'reached');
  }

  /** Which nodes connect to the pod. */
  async fromNodes(to: PodPath): Promise<Readonly<Record<string, boolean>>> {
    const reached = await this.connects(this.nodes.map((node) => ({ from: `node/${node}`, to })));
    return Object.fromEntries(this.nodes.map((node, i) => [node, reached[i] === true]));
  }

  async nodeOf(path: PodPath): Promise<string> {
    const [namespace = '', name = ''] = path.split('/');
    return this.kubectl(['get', 'pod', '-n', namespace, name, '-o', 'jsonpath={.spec.nodeName}']);
  }

  /** Ends pods and makes them again. */
  async restart(...paths: readonly PodPath[]): Promise<void> {
    const names = paths.map((path) => path.split('/'));
    const [namespace = ''] = names[0] ?? [];
    await this.kubectl([
      'delete',
      'pod',
      '-n',
      namespace,
      ...names.map(([, name = '']) => name),
      '--grace-period=1',
    ]);
    await this.apply(...names.map(([, name = '']) => podManifest(namespace, name)));
    await this.refresh();
  }

  /** Waits until something holds. */
  async until(holds: () => Promise<boolean>): Promise<void> {
    const held = await until(async () => ((await holds()) ? true : undefined), {
      timeoutMs: 60_000,
      everyMs: 100,
    });
    if (held === undefined) throw new Error('it does not come true');
  }

  async close(): Promise<void> {
    this.#prober.stdin?.end();
    await new Promise((done) =>
      this.#prober.exitCode === null ? this.#prober.once('exit', done) : done(undefined),
    );
  }
}

/** A pod reaches itself without leaving its namespace, which says nothing of policy: left out. */
export const allPairs: readonly (readonly [PodPath, PodPath])[] = allPods.flatMap((from) =>
  allPods.filter((to) => to !== from).map((to) => [from, to] as const),
);
