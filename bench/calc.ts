// The calculation graph for policy, in the shape of upstream's own benchmarks. Arguments: [SHAPE] [SCALE]; shapes are
// snapshot, churn, sets, isolated, labels; scale 1 is upstream's size. One JSON object per line; heap in MB after a collection.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PolicyGraph, type PolicyUpdate } from '../src/felix/calc/mod.ts';
import { LabelIndex, selector } from '../src/selector/mod.ts';

const [shape = 'snapshot', scaleText = '1'] = process.argv.slice(2);
const scale = Number(scaleText);
const v3 = 'projectcalico.org/v3';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
function heapMb(): number {
  collect();
  return Math.round(process.memoryUsage().heapUsed / 1e6);
}
const seconds = (ms: number): number => Math.round(ms) / 1000;

const set = (kind: string, object: object): PolicyUpdate =>
  ({ type: 'set', kind, object }) as unknown as PolicyUpdate;

const namespaceOf = (i: number): string => `namespace-${i % 100}`;
const addressOf = (i: number): string => `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}/32`;

const endpoint = (i: number, node: string, labels: Record<string, string>): PolicyUpdate => {
  const namespace = namespaceOf(i);
  const own = {
    ...labels,
    'projectcalico.org/namespace': namespace,
    'projectcalico.org/orchestrator': 'k8s',
    'projectcalico.org/serviceaccount': 'default',
  };
  return set('WorkloadEndpoint', {
    apiVersion: v3,
    kind: 'WorkloadEndpoint',
    metadata: { name: `pod-${i}`, namespace, labels: own },
    spec: {
      node,
      orchestrator: 'k8s',
      interfaceName: `cali${i}`,
      ipNetworks: [addressOf(i)],
      profiles: [`kns.${namespace}`, `ksa.${namespace}.default`],
      ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
    },
  });
};
const namespace = (i: number): PolicyUpdate =>
  set('Namespace', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: namespaceOf(i), labels: { team: `team-${i % 10}` } },
  });

/** A policy of one namespace with five rules, each about another application. */
const policy = (i: number, applications: number): PolicyUpdate =>
  set('NetworkPolicy', {
    apiVersion: v3,
    kind: 'NetworkPolicy',
    metadata: { name: `policy-${i}`, namespace: namespaceOf(i) },
    spec: {
      order: i % 1000,
      selector: `app == 'app-${i % applications}'`,
      ingress: Array.from({ length: 5 }, (_, n) => ({
        action: 'Allow',
        protocol: 'TCP',
        source: { selector: `app == 'app-${(i + n + 1) % applications}'` },
        destination: { ports: n === 0 ? ['http'] : [80 + n] },
      })),
    },
  });

function report(name: string, graph: PolicyGraph, start: number, heapBefore: number, messages: number): void {
  const ms = performance.now() - start;
  console.log(
    JSON.stringify({
      bench: name,
      seconds: seconds(ms),
      heapMb: heapMb() - heapBefore,
      messages,
      ...graph.stats,
    }),
  );
}

/** `endpoints` in the cluster, 200 of them here, `policies` of five rules. */
function snapshot(endpoints: number, policies: number): PolicyGraph {
  const applications = 100;
  const heap = heapMb();
  const start = performance.now();
  const graph = new PolicyGraph({ nodeName: 'here' });
  for (let i = 0; i < 100; i++) graph.update(namespace(i));
  for (let i = 0; i < endpoints; i++)
    graph.update(
      endpoint(i, i < 200 ? 'here' : `node-${i % 1000}`, {
        app: `app-${Math.floor(i / 100) % applications}`,
        pod: `pod-${i}`,
      }),
    );
  for (let i = 0; i < policies; i++) graph.update(policy(i, applications));
  const messages = graph.flush().length;
  report('calc-snapshot', graph, start, heap, messages);
  return graph;
}

/** One change and one flush at a time. */
function churn(graph: PolicyGraph, endpoints: number, policies: number): void {
  const changes: Readonly<Record<string, (i: number) => PolicyUpdate>> = {
    'remote endpoint moves to another application': (i) =>
      endpoint(300 + (i % (endpoints - 300)), 'node-1', { app: `app-${i % 100}`, pod: 'moved' }),
    'local endpoint changes a label': (i) =>
      endpoint(i % 200, 'here', { app: `app-${Math.floor((i % 200) / 100)}`, run: `${i}` }),
    'policy changes': (i) => policy(i % policies, 100 - (i % 7)),
  };
  for (const [name, change] of Object.entries(changes)) {
    const times: number[] = [];
    let messages = 0;
    for (let i = 0; i < 2000; i++) {
      const update = change(i * 7919);
      const start = performance.now();
      graph.update(update);
      messages += graph.flush().length;
      times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    const at = (q: number): number => Math.round((times[Math.floor(times.length * q)] ?? 0) * 1000);
    console.log(
      JSON.stringify({ bench: 'calc-churn', change: name, p50Us: at(0.5), p99Us: at(0.99), messages }),
    );
  }
}

/** Network sets, each with a policy that selects it, and a local endpoint that all policies select. */
function networkSets(count: number): void {
  const heap = heapMb();
  const start = performance.now();
  const graph = new PolicyGraph({ nodeName: 'here' });
  for (let i = 0; i < 10_000 * scale; i++)
    graph.update(endpoint(i, i < 200 ? 'here' : 'there', { app: 'a' }));
  for (let i = 0; i < count; i++) {
    const nets = Array.from({ length: 5 }, (_, n) => `172.${16 + (i & 15)}.${(i >> 4) & 255}.${n * 16}/28`);
    const metadata = { name: `set-${i}`, labels: { set: `set-${i}` } };
    graph.update(
      set('GlobalNetworkSet', { apiVersion: v3, kind: 'GlobalNetworkSet', metadata, spec: { nets } }),
    );
    const spec = {
      selector: "app == 'a'",
      egress: [{ action: 'Allow', destination: { selector: `set == 'set-${i}'` } }],
    };
    graph.update(
      set('GlobalNetworkPolicy', {
        apiVersion: v3,
        kind: 'GlobalNetworkPolicy',
        metadata: { name: `p-${i}` },
        spec,
      }),
    );
  }
  const messages = graph.flush().length;
  report(`calc-sets-${count}`, graph, start, heap, messages);
}

/** Customers that reach only themselves; one of them is here. */
function isolated(customers: number): void {
  const heap = heapMb();
  const start = performance.now();
  const graph = new PolicyGraph({ nodeName: 'here' });
  for (let i = 0; i < customers; i++) {
    for (let n = 0; n < 2; n++)
      graph.update(endpoint(i * 2 + n, i < 100 ? 'here' : 'there', { customer: `c-${i}` }));
    const only = `customer == 'c-${i}'`;
    const spec = { selector: only, ingress: [{ action: 'Allow', source: { selector: only } }] };
    graph.update(
      set('GlobalNetworkPolicy', {
        apiVersion: v3,
        kind: 'GlobalNetworkPolicy',
        metadata: { name: `c-${i}` },
        spec,
      }),
    );
  }
  const messages = graph.flush().length;
  report(`calc-isolated-${customers}`, graph, start, heap, messages);
}

/** The label index alone: items in 100 namespaces under so many selectors, of which ten select nearly all and the others few. */
function labelIndex(selectors: number): void {
  const items = 10_000 * scale;
  const labelsOf = (i: number): Record<string, string> => ({
    app: `app-${i % selectors}`,
    ...(i % 3 === 0 ? { tier: 'web' } : {}),
  });
  const heap = heapMb();
  let matches = 0;
  const index = new LabelIndex<number, number>((_selector, _item, isMatch) => {
    matches += isMatch ? 1 : -1;
  });
  const start = performance.now();
  for (let i = 0; i < 100; i++) index.setParent(`ns-${i}`, { team: `team-${i % 10}` });
  for (let i = 0; i < selectors; i++)
    index.setSelector(
      i,
      selector(
        i % (selectors / 10) === 0
          ? `has(app) && team != 'team-${i % 7}'`
          : `app == 'app-${i}' && team in {'team-1', 'team-2'}`,
      ),
    );
  for (let i = 0; i < items; i++) index.setItem(i, labelsOf(i), [`ns-${i % 100}`]);
  const filledMs = performance.now() - start;
  const times: number[] = [];
  for (let i = 0; i < 2000; i++) {
    const item = (i * 7919) % items;
    const before = performance.now();
    index.setItem(item, labelsOf(item + i + 1), [`ns-${item % 100}`]);
    times.push(performance.now() - before);
  }
  times.sort((a, b) => a - b);
  const at = (q: number): number => Math.round((times[Math.floor(times.length * q)] ?? 0) * 1e6) / 1000;
  console.log(
    JSON.stringify({
      bench: 'calc-labels',
      selectors,
      items,
      seconds: seconds(filledMs),
      heapMb: heapMb() - heap,
      matches,
      evaluations: index.work.evaluations,
      changeP50Us: at(0.5),
      changeP99Us: at(0.99),
    }),
  );
}

const endpoints = 250_000 * scale;
const policies = 10_000 * scale;
if (shape === 'snapshot') snapshot(endpoints, policies);
else if (shape === 'churn') churn(snapshot(endpoints, policies), endpoints, policies);
else if (shape === 'sets') for (const count of [1000, 10_000]) networkSets(count * scale);
else if (shape === 'labels') for (const count of [10, 100, 1000, 10_000]) labelIndex(count);
else for (const count of [1000, 10_000, 100_000]) isolated(count * scale);
