import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CalculationGraph, type CalcUpdate } from '../../../calc/mod.ts';
import { nftKey, type NftRow } from '../../nftables.ts';
import { policySettings } from '../inputs/mod.ts';
import { NftPolicy } from './nft-policy.ts';

/** A graph and the rows that policy asks for. */
class Node {
  readonly graph = new CalculationGraph({ nodeName: 'n1', policy: true });
  readonly rows = new Map<string, NftRow>();
  writes = 0;
  #policy: NftPolicy | undefined;

  set(kind: string, name: string, spec: object, labels: object = {}): void {
    const namespaced = kind === 'WorkloadEndpoint' || kind === 'NetworkPolicy';
    const metadata = { name, labels, ...(namespaced ? { namespace: 'default' } : {}) };
    const apiVersion = kind === 'Namespace' ? 'v1' : 'projectcalico.org/v3';
    this.graph.update({
      type: 'set',
      kind,
      object: { apiVersion, kind, metadata, spec },
    } as unknown as CalcUpdate);
  }

  remove(kind: string, name: string): void {
    const namespaced = kind === 'WorkloadEndpoint' || kind === 'NetworkPolicy';
    const of = { name, ...(namespaced ? { namespace: 'default' } : {}) };
    this.graph.update({ type: 'delete', kind, name: of } as unknown as CalcUpdate);
  }

  endpoint(name: string, address: string): void {
    this.set(
      'WorkloadEndpoint',
      name,
      {
        node: 'n1',
        orchestrator: 'k8s',
        interfaceName: `cali${name}`,
        ipNetworks: [`${address}/32`],
        profiles: ['kns.default'],
        ports: [{ name: 'http', protocol: 'TCP', port: 80 }],
      },
      { app: name },
    );
  }

  flush(): void {
    const { config, policy } = this.graph.flush();
    if (config !== undefined) {
      const settings = policySettings(config, 'nftables');
      if (this.#policy !== undefined) this.#policy.configure(settings);
      this.#policy ??= new NftPolicy(
        {
          put: (row) => {
            const key = nftKey(row);
            const before = this.rows.get(key);
            if (before === undefined || JSON.stringify(before) !== JSON.stringify(row)) this.writes++;
            this.rows.set(key, row);
            return key;
          },
          drop: (key) => {
            if (this.rows.delete(key)) this.writes++;
          },
        },
        settings,
      );
    }
    this.#policy?.take(policy);
  }

  get policy(): NftPolicy {
    assert.ok(this.#policy);
    return this.#policy;
  }

  /** Programs by their plans: what they are called tells where they come from. */
  texts(): readonly string[] {
    const names = this.policy.programNames();
    const named = (text: string): string =>
      text.replace(/[0-9a-f]{12}(?:x\d+)?/g, (id) => names.get(id) ?? id);
    return [...this.rows].map(([key, row]) => named(`${key} ${JSON.stringify(row)}`)).toSorted();
  }
}

function started(): Node {
  const node = new Node();
  node.set('Namespace', 'default', {});
  node.endpoint('a', '10.0.0.1');
  node.endpoint('b', '10.0.0.2');
  node.flush();
  return node;
}

/** All kinds of things that rows are made of. */
const rule = (i: number): object => ({
  action: (['Allow', 'Deny', 'Pass', 'Log'] as const)[i % 4],
  protocol: 'TCP',
  source: {
    selector: i % 3 === 0 ? `app == "a" && x${i} != "1"` : 'app == "b"',
    ...(i % 5 === 0 ? { nets: ['10.0.0.0/8', `192.168.${i % 250}.0/24`] } : {}),
    ...(i % 7 === 0 ? { ports: [i % 60_000, '100:200'] } : {}),
  },
  destination: { ports: i % 2 === 0 ? ['http', 8080] : [i % 65_000] },
});

test('FX-005: ten thousand policies that come and go leave no set, no chain and no element', () => {
  const node = started();
  node.set('GlobalNetworkSet', 'n', { nets: ['172.16.0.0/12', '10.1.1.1/32'] }, { app: 'b' });
  node.flush();
  const before = node.texts();
  const living: string[] = [];
  for (let i = 0; i < 10_000; i++) {
    const name = `p${i}`;
    node.set('NetworkPolicy', name, {
      selector: i % 2 === 0 ? 'app == "a"' : 'app == "b"',
      order: i % 10,
      types: ['Ingress', 'Egress'],
      ingress: [rule(i)],
      egress: [rule(i + 1)],
    });
    living.push(name);
    if (living.length > 8) node.remove('NetworkPolicy', living.shift() ?? '');
    if (i % 50 === 0) node.flush();
  }
  for (const name of living) node.remove('NetworkPolicy', name);
  node.flush();
  assert.deepEqual(node.texts(), before);
});

test('what comes and goes between two flushes costs no write; a change writes what it is about', () => {
  const node = started();
  node.set('NetworkPolicy', 'p', {
    selector: 'app == "b"',
    types: ['Ingress'],
    ingress: [{ action: 'Allow', source: { selector: 'app == "a"' } }],
  });
  node.flush();
  const before = node.texts();
  node.writes = 0;
  node.endpoint('c', '10.0.0.3');
  node.remove('WorkloadEndpoint', 'c');
  node.flush();
  assert.equal(node.writes, 0);
  node.endpoint('c', '10.0.0.3');
  node.flush();
  const writes = node.writes;
  assert.ok(writes <= 12, `an endpoint of a known group costs ${writes} writes`);
  node.remove('WorkloadEndpoint', 'c');
  node.flush();
  assert.deepEqual(node.texts(), before);
});

test('a policy that comes for all endpoints of a program changes the program, and nothing that leads to it', () => {
  const node = started();
  const allow = (name: string, port: number): void =>
    node.set('NetworkPolicy', name, {
      selector: 'all()',
      types: ['Ingress'],
      ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [port] } }],
    });
  allow('first', 80);
  for (let i = 0; i < 50; i++) node.endpoint(`e${i}`, `10.0.1.${i}`);
  node.flush();
  const before = node.texts();
  const entry = (): unknown => node.rows.get('ip element to-workload calia');
  const ofA = entry();
  node.writes = 0;
  allow('second', 81);
  node.flush();
  assert.deepEqual(entry(), ofA);
  assert.ok(node.writes < 20, `${node.writes} writes`);
  node.remove('NetworkPolicy', 'second');
  node.flush();
  assert.deepEqual(node.texts(), before);
  // Who leaves gets a program of its own under another name, though its plan is the one that the name was made of.
  allow('second', 81);
  node.flush();
  node.set('NetworkPolicy', 'second', { selector: 'app == "a"', types: ['Ingress'] });
  node.flush();
  assert.notDeepEqual(entry(), node.rows.get('ip element to-workload calib'));
});

test('what a program read under another plan does not take it away when it goes', () => {
  const node = started();
  const linear = (name: string, selector: string, source: string): void =>
    node.set('GlobalNetworkPolicy', name, {
      selector,
      types: ['Ingress'],
      // Source ports are no criterion of compiled programs.
      ingress: [{ action: 'Allow', protocol: 'TCP', source: { selector: source, ports: [1] } }],
    });
  node.endpoint('c', '10.0.0.3');
  linear('first', 'app != "c"', 'has(x)');
  node.flush();
  // The program goes on under its name, without the set.
  node.remove('GlobalNetworkPolicy', 'first');
  linear('second', 'app != "c"', 'has(y)');
  node.flush();
  linear('third', 'app == "c"', 'has(x)');
  node.flush();
  node.remove('GlobalNetworkPolicy', 'third');
  node.flush();
  const targets = [...node.rows.values()].flatMap((row) =>
    row.kind === 'element' ? [/^goto (\S+)/.exec(String(row.element.data))?.[1] ?? []].flat() : [],
  );
  assert.ok(targets.length > 0);
  for (const name of targets) assert.ok(node.rows.has(`ip chain ${name}`), name);
});

test('the rows are a function of the state: another order, and another history, give the same', () => {
  const build = (steps: readonly ((node: Node) => void)[]): readonly string[] => {
    const node = started();
    for (const step of steps) {
      step(node);
      node.flush();
    }
    return node.texts();
  };
  const p = (node: Node) =>
    node.set('NetworkPolicy', 'p', {
      selector: 'app == "b"',
      types: ['Ingress'],
      ingress: [rule(0), rule(5), rule(7)],
    });
  const q = (node: Node) =>
    node.set('NetworkPolicy', 'q', {
      order: 1,
      selector: 'all()',
      types: ['Ingress', 'Egress'],
      ingress: [rule(2)],
      egress: [rule(3)],
    });
  const wide = (node: Node) => node.set('GlobalNetworkSet', 'n', { nets: ['172.16.0.0/12'] }, { app: 'b' });
  const host = (node: Node) =>
    node.set('HostEndpoint', 'h', { node: 'n1', interfaceName: '*' }, { app: 'h' });
  const away = (kind: string, name: string) => (node: Node) => node.remove(kind, name);
  const one = build([p, q, wide, host]);
  assert.deepEqual(build([host, wide, q, p]), one);
  assert.deepEqual(
    build([q, p, away('NetworkPolicy', 'q'), host, away('HostEndpoint', 'h'), wide, q, host]),
    one,
  );
});

test('FX-034: names of chains are readable, and long ones short and different', () => {
  const node = started();
  const long = `x${'y'.repeat(200)}`;
  for (const [i, name] of [long, `${long}z`].entries())
    node.set('NetworkPolicy', name, {
      selector: 'all()',
      types: ['Ingress'],
      ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [80 + i] } }],
    });
  node.set('NetworkPolicy', 'web', {
    selector: 'all()',
    types: ['Ingress'],
    ingress: [{ action: 'Allow', protocol: 'UDP' }],
  });
  node.flush();
  const chains = [...node.rows.values()].flatMap((row) =>
    row.kind === 'chain' && row.family === 'ip' ? [row.chain.name] : [],
  );
  assert.ok(chains.includes('rule-default_np_default_web_in0_allow'));
  const shortened = chains.filter((name) => name.startsWith('rule-default_np_default_xyyy'));
  assert.equal(shortened.length, 2);
  for (const name of chains) assert.ok(name.length <= 80, name);
});

test('ADD waits for the elements that lead to the endpoint’s programs', () => {
  const node = started();
  const keys = node.policy.keysOf('workload default/a');
  for (const key of [
    'ip element to-workload calia',
    'ip element from-workload calia',
    'ip element workload-sources calia . 10.0.0.1',
    'ip6 element to-workload calia',
  ])
    assert.ok(keys.includes(key), key);
  for (const key of keys) assert.ok(node.rows.has(key), key);
  assert.deepEqual(node.policy.keysOf('workload default/nobody'), []);
});
