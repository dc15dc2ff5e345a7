// What policy costs the agent itself, the API server left out: resources into the calculation, what it tells into rows, rows
// into the kernel. First all policies of one endpoint at once; then one change after the other: a rule edited, a member that
// comes and goes, a policy made and deleted, an endpoint that comes and goes.
//   npm run bench -- policy-load [--policies N] [--members N] [--rounds N] [--only CHANGE]
// One JSON line per kind of change, in ms: `total` from the resource until the kernel has it all, and in it `calc` the
// calculation, `compile` what it told into rows, `write` rows to transactions, messages and the kernel's answer; `userCpu` and
// `systemCpu` are the time that this process and the kernel worked for it, whatever else the machine did; p50 and p99.
// `threadCpuMean` is what the one thread worked that everybody waits for, with the kernel's part: a mean, as its clock is coarse.
import { parseArgs } from 'node:util';
import { CalculationGraph, type CalcUpdate } from '../src/felix/calc/mod.ts';
import { Dataplane } from '../src/felix/dataplane/mod.ts';
import { openKernel } from '../src/kernel/mod.ts';
import { expect } from '../src/lib/result.ts';

const { values: flags } = parseArgs({
  options: {
    policies: { type: 'string', default: '1000' },
    members: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '200' },
    only: { type: 'string', default: '' },
  },
});
const policies = Number(flags.policies);
const members = Number(flags.members);
const rounds = Number(flags.rounds);
const nodeName = 'n1';

const kernel = expect(await openKernel({}), 'open the kernel');
const graph = new CalculationGraph({
  nodeName,
  blackholeProtocol: 12,
  policy: true,
  environment: { NFTablesMode: 'Enabled', Ipv6Support: 'false' },
});
const dataplane = new Dataplane({ kernel, policy: true });

const update = (kind: string, name: string, spec: object | undefined, metadata: object = {}): void =>
  graph.update(
    (spec === undefined
      ? { type: 'delete', kind, name: { name, ...metadata } }
      : {
          type: 'set',
          kind,
          object: { apiVersion: 'projectcalico.org/v3', kind, metadata: { name, ...metadata }, spec },
        }) as unknown as CalcUpdate,
  );
const endpoint = (i: number): void =>
  update(
    'WorkloadEndpoint',
    `n1-k8s-p${i}-eth0`,
    {
      node: nodeName,
      orchestrator: 'k8s',
      pod: `p${i}`,
      endpoint: 'eth0',
      containerID: `c${i}`,
      interfaceName: `cali${i}`,
      ipNetworks: [`10.66.0.${i}/32`],
      profiles: ['open'],
    },
    { namespace: 'default', labels: { role: 'server' } },
  );
const networkSet = (i: number, extra: readonly string[] = []): void => {
  const nets = Array.from({ length: members }, (_, j) => {
    const n = i * members + j;
    return `11.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}/32`;
  });
  update('GlobalNetworkSet', `s${i}`, { nets: [...nets, ...extra] }, { labels: { s: `s${i}` } });
};
const policy = (i: number, port = 80): void => {
  const allow = (protocol: string, ports: readonly number[]): object => ({
    action: 'Allow',
    protocol,
    source: { selector: `s == 's${i % policies}'` },
    destination: { ports },
  });
  update('GlobalNetworkPolicy', `p${i}`, {
    order: i,
    selector: "role == 'server'",
    types: ['Ingress'],
    ingress: [allow('TCP', [port, 81, 82]), allow('UDP', [80])],
  });
};

type Times = {
  readonly total: number;
  readonly calc: number;
  readonly compile: number;
  readonly write: number;
  readonly userCpu: number;
  readonly systemCpu: number;
  readonly threadCpu: number;
};

async function change(act: () => void): Promise<Times> {
  const cpu = process.cpuUsage();
  const threadCpu = process.threadCpuUsage();
  const start = performance.now();
  act();
  const delta = graph.flush();
  const calculated = performance.now();
  dataplane.apply(delta);
  const compiled = performance.now();
  await dataplane.idle();
  const end = performance.now();
  const thread = process.threadCpuUsage(threadCpu);
  const { user, system } = process.cpuUsage(cpu);
  return {
    total: end - start,
    calc: calculated - start,
    compile: compiled - calculated,
    write: end - compiled,
    userCpu: user / 1000,
    systemCpu: system / 1000,
    threadCpu: (thread.user + thread.system) / 1000,
  };
}

function report(what: string, all: readonly Times[]): void {
  const at = (name: keyof Times, q: number): number => {
    const sorted = all.map((one) => one[name]).toSorted((a, b) => a - b);
    return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0) * 100) / 100;
  };
  const mean = all.reduce((sum, { threadCpu }) => sum + threadCpu, 0) / all.length;
  const line: Record<string, unknown> = { bench: 'policy-load', change: what, policies, members };
  for (const name of ['total', 'calc', 'compile', 'write', 'userCpu', 'systemCpu'] as const) {
    line[`${name}P50`] = at(name, 0.5);
    if (all.length > 1) line[`${name}P99`] = at(name, 0.99);
  }
  line['threadCpuMean'] = Math.round(mean * 100) / 100;
  console.log(JSON.stringify(line));
}

async function measure(what: string, act: (i: number) => void): Promise<void> {
  if (!what.includes(flags.only)) return;
  const all: Times[] = [];
  for (let i = 0; i < rounds; i++) {
    all.push(await change(() => act(i)));
    // Events about own writes and what the kernel does later are not part of the next change.
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  report(what, all);
}

try {
  const all = { action: 'Allow', source: {}, destination: {} };
  update('Profile', 'open', { ingress: [all], egress: [all] });
  endpoint(1);
  endpoint(2);
  dataplane.apply(graph.flush());
  expect(await dataplane.start(), 'start');
  await dataplane.idle();
  const every = (): void => {
    for (let i = 0; i < policies; i++) {
      networkSet(i);
      policy(i);
    }
  };
  report('all policies, made', [await change(every)]);
  // There and back: every round is an edit.
  await measure('one rule', (i) => policy(((i >> 1) * 7) % policies, i % 2 === 0 ? 1000 + i : 80));
  await measure('one member', (i) => networkSet(7 % policies, i % 2 === 0 ? ['12.0.0.1/32'] : []));
  await measure('one policy made, deleted', (i) =>
    i % 2 === 0 ? policy(policies + 7, 9000) : update('GlobalNetworkPolicy', `p${policies + 7}`, undefined),
  );
  await measure('one endpoint made, deleted', (i) =>
    i % 2 === 0
      ? endpoint(3)
      : update('WorkloadEndpoint', 'n1-k8s-p3-eth0', undefined, { namespace: 'default' }),
  );
  const { counts, unfinished } = dataplane.status().nftables;
  if (unfinished.length > 0) throw new Error(JSON.stringify(unfinished.slice(0, 3)));
  console.log(JSON.stringify({ bench: 'policy-load', rows: counts.rows }));
  const none = (): void => {
    for (let i = 0; i < policies; i++) {
      update('GlobalNetworkPolicy', `p${i}`, undefined);
      update('GlobalNetworkSet', `s${i}`, undefined);
    }
  };
  report('all policies, deleted', [await change(none)]);
  // What a process that has only begun pays more is the compiler of its own code.
  const again: Times[] = [];
  for (let i = 0; i < 3; i++) {
    again.push(await change(every));
    await change(none);
  }
  report('all policies, made again', again);
} finally {
  await dataplane.stop();
  await kernel.close();
}
