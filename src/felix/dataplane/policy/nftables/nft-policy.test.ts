import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyNode, rule, started } from './testing.ts';

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
  const entry = (name = 'calia'): unknown => {
    const row = node.rows.get(`ip element to-workload ${name}`);
    return row?.kind === 'element' ? row.element.data : undefined;
  };
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
  assert.notEqual(entry(), entry('calib'));
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
  const build = (steps: readonly ((node: PolicyNode) => void)[]): readonly string[] => {
    const node = started();
    for (const step of steps) {
      step(node);
      node.flush();
    }
    return node.texts();
  };
  const p = (node: PolicyNode) =>
    node.set('NetworkPolicy', 'p', {
      selector: 'app == "b"',
      types: ['Ingress'],
      ingress: [rule(0), rule(5), rule(7)],
    });
  const q = (node: PolicyNode) =>
    node.set('NetworkPolicy', 'q', {
      order: 1,
      selector: 'all()',
      types: ['Ingress', 'Egress'],
      ingress: [rule(2)],
      egress: [rule(3)],
    });
  const wide = (node: PolicyNode) =>
    node.set('GlobalNetworkSet', 'n', { nets: ['172.16.0.0/12'] }, { app: 'b' });
  const host = (node: PolicyNode) =>
    node.set('HostEndpoint', 'h', { node: 'n1', interfaceName: '*' }, { app: 'h' });
  const away = (kind: string, name: string) => (node: PolicyNode) => node.remove(kind, name);
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

test('FX-044: tunnels of other nodes pass host endpoints, as long as they are in use', () => {
  const node = new PolicyNode();
  const chain = (name: string): readonly string[] => {
    const row = node.rows.get(`ip chain ${name}`);
    return row?.kind === 'chain'
      ? row.rules.map((rule) => (typeof rule === 'string' ? rule : rule.expression))
      : [];
  };
  const tunnel = (text: string): boolean => text.includes('@all-hosts');
  node.set('HostEndpoint', 'h', { node: 'n1', interfaceName: 'eth0' });
  node.flush();
  assert.deepEqual(chain('host-in').filter(tunnel), []);
  node.set('IPPool', 'p', { cidr: '10.244.0.0/16', vxlanMode: 'Always' });
  node.set('IPPool', 'q', { cidr: '10.245.0.0/16', ipipMode: 'CrossSubnet' });
  node.flush();
  assert.deepEqual(chain('host-in').filter(tunnel), [
    'meta l4proto 4 ip saddr @all-hosts fib daddr type local return',
    'udp dport 4789 ip saddr @all-hosts fib daddr type local return',
  ]);
  assert.deepEqual(chain('host-out').filter(tunnel), [
    'meta l4proto 4 ip daddr @all-hosts fib saddr type local return',
    'udp dport 4789 ip daddr @all-hosts fib saddr type local return',
  ]);
  node.set('IPPool', 'p', { cidr: '10.244.0.0/16' });
  node.set('IPPool', 'q', { cidr: '10.245.0.0/16' });
  node.flush();
  assert.deepEqual(chain('host-in').filter(tunnel), []);
});
