// Who and whom, and what would be, asked of files.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Command } from '../types.ts';
import { countsOf } from './hits.ts';
import { policy, pods } from './mod.ts';

const shop = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: x}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db}}
spec: {containers: [{name: c, image: x, ports: [{name: pg, containerPort: 5432}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: spy, namespace: other, labels: {app: web}}
spec: {containers: [{name: c, image: x}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: pg}]}]}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: security}
spec: {order: 10, defaultAction: Pass}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: web}
spec:
  tier: security
  order: 5
  selector: app == 'web'
  types: [Egress]
  egress:
  - {action: Log}
  - {action: Deny, destination: {namespaceSelector: "team == 'x'"}}
  - {action: Pass}
  - {action: Allow}
---
apiVersion: projectcalico.org/v3
kind: StagedNetworkPolicy
metadata: {name: db2, namespace: shop}
spec: {selector: app == 'db', order: 1, ingress: [{action: Deny}]}
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: typo, namespace: shop}
spec: {selector: app == 'dbb', ingress: [{action: Deny}]}
`;

function fileWith(t: TestContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'margay-policy-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'x.yaml');
  writeFileSync(path, text);
  return path;
}

/** What the command prints, and its exit code. */
async function said(t: TestContext, command: Command, ...argv: readonly string[]) {
  let out = '';
  let problems = '';
  const output = t.mock.method(process.stdout, 'write', (text: string) => {
    out += text;
    return true;
  });
  const errors = t.mock.method(process.stderr, 'write', (text: string) => {
    problems += text;
    return true;
  });
  const code = await command.run(argv);
  output.mock.restore();
  errors.mock.restore();
  return { code, out, problems };
}

test('policy test: allowed is 0, denied is 1, and the reason is told', async (t) => {
  const file = fileWith(t, shop);
  const ask = (...argv: readonly string[]) => said(t, policy, 'test', '-f', file, ...argv);
  const allowed = await ask('--from', 'shop/web', '--to', 'shop/db-0', '--port', 'pg');
  assert.equal(allowed.code, 0, allowed.problems);
  assert.match(
    allowed.out,
    /^shop\/web \(198\.18\.0\.1\) to shop\/db-0 \(198\.18\.0\.2\), TCP port 5432: allowed\n/,
  );
  assert.match(
    allowed.out,
    /ingress of pod shop\/db-0: allowed by rule ingress\[0\] of knp:shop\/db in tier default/,
  );
  const denied = await ask('--from', 'other/spy', '--to', 'shop/db-0', '--port', '5432', '-o', 'json');
  assert.equal(denied.code, 1);
  const { action, why } = JSON.parse(denied.out) as { action: string; why: string };
  assert.equal(action, 'deny');
  assert.match(why, /the end of tier default/);
  assert.equal((await ask('--from', '203.0.113.9', '--to', 'shop/web', '--protocol', 'ICMP')).code, 0);
  const six = await ask('--from', 'shop/web', '--to', '2001:db8::1', '--protocol', 'icmp', '--family', '6');
  assert.match(six.out, /ICMPv6 type 128: allowed/);
});

test('RS-121: policy test --staged: the verdict if staged policies were in force', async (t) => {
  const file = fileWith(t, shop);
  const question = ['-f', file, '--from', 'shop/web', '--to', 'shop/db-0', '--port', '5432'];
  assert.equal((await said(t, policy, 'test', ...question)).code, 0);
  const staged = await said(t, policy, 'test', '--staged', ...question);
  assert.equal(staged.code, 1);
  assert.match(staged.out, /denied by rule ingress\[0\] of np:shop\/db2/);
});

test('policy test: what cannot be said is 2', async (t) => {
  const file = fileWith(t, shop);
  const ask = async (...argv: readonly string[]) => {
    const { code, problems } = await said(t, policy, 'test', ...argv);
    assert.equal(code, 2, argv.join(' '));
    return problems;
  };
  assert.match(await ask('-f', file, '--from', 'shop/web'), /--from and --to/);
  assert.match(await ask('-f', file, '--from', 'shop/web', '--to', 'shop/db-0'), /--port/);
  assert.match(
    await ask('-f', file, '--from', 'shop/web', '--to', 'shop/db', '--port', '1'),
    /no pod shop\/db/i,
  );
  assert.match(await ask('-f', file, '--from', 'shop/web', '--to', 'shop/db-0', '--port', 'x'), /It has pg/);
  assert.match(
    await ask('-f', file, '--from', 'shop/web', '--to', '2001:db8::1', '--family', '4', '--port', '1'),
    /no addresses of one family/,
  );
  assert.match(await ask('-f', '/nowhere.yaml', '--from', 'a', '--to', 'b'), /cannot be read/);
  const broken = fileWith(t, shop.replace("app == 'dbb'", 'app =='));
  assert.match(
    await ask('-f', broken, '--from', 'shop/web', '--to', 'shop/db-0', '--port', '1'),
    /x\.yaml:\d+:\d+/,
  );
});

test('policy of: tiers, policies and rules in the order in which they decide', async (t) => {
  const file = fileWith(t, shop);
  const { code, out } = await said(t, policy, 'of', '-f', file, 'shop/web');
  assert.equal(code, 0);
  assert.match(
    out,
    /ingress\n {2}profile kns\.shop\n {4}\[0\] allow\n[\s\S]*what decides last: allowed by profile kns\.shop\negress\n {2}tier security\n {4}gnp:web \(order 5\)\n {6}\[0\] log\n {6}\[1\] deny to \[namespace label team == "x"\] · nobody\n {6}\[2\] pass\n/,
  );
  const db = await said(t, policy, 'of', '-f', file, 'db-0', '-n', 'shop', '-o', 'json');
  const report = JSON.parse(db.out) as {
    stages: { direction: string; otherwise: string }[];
    staged: { policy: string }[];
  };
  assert.deepEqual(
    report.stages.map(({ direction, otherwise }) => [direction, otherwise]),
    [
      ['ingress', 'denied at the end of tier default'],
      ['egress', 'allowed by profile kns.shop'],
    ],
  );
  assert.deepEqual(
    report.staged.map((one) => one.policy),
    ['snp:shop/db2'],
  );
});

test('pods of, policy pods: whom a policy selects', async (t) => {
  const file = fileWith(t, shop);
  const { code, out } = await said(t, pods, 'of', '-f', file, 'gnp/web');
  assert.equal(code, 0);
  assert.match(out, /^gnp:web in tier security, order 5, egress\nselects 2 endpoints: app == "web"\n/);
  assert.match(out, / shop\/web .*198\.18\.0\.1/);
  const json = await said(t, policy, 'pods', '-f', file, 'db', '-o', 'json');
  const [report] = JSON.parse(json.out) as { policy: string; endpoints: { endpoint: string }[] }[];
  assert.deepEqual(
    [report?.policy, report?.endpoints.map((one) => one.endpoint)],
    ['knp:shop/db', ['shop/db-0']],
  );
  assert.equal((await said(t, policy, 'pods', '-f', file, 'nothing')).code, 1);
});

test('policy unused: selects nobody, means nobody, is never reached', async (t) => {
  const { out } = await said(t, policy, 'unused', '-f', fileWith(t, shop), '-o', 'json');
  const rows = JSON.parse(out) as { policy: string; rule?: string; reason: string }[];
  assert.deepEqual(
    rows.map(({ policy: name, rule = '', reason }) => `${name} ${rule} ${reason}`).toSorted(),
    ['gnp:web egress[1] means-nobody', 'gnp:web egress[3] never-reached', 'np:shop/typo  selects-nobody'],
  );
});

test('hit counts are read from the listings of all nodes and families', () => {
  const listing = (comment: string, packets: number): string =>
    JSON.stringify({
      nftables: [
        { metainfo: {} },
        {
          rule: {
            chain: 'rule-x',
            comment: `cali:abc ${comment} allow`,
            expr: [{ counter: { packets, bytes: packets * 60 } }, { drop: null }],
          },
        },
        { rule: { chain: 'other', comment: 'cali:abc', expr: [{ counter: { packets: 99, bytes: 1 } }] } },
      ],
    });
  const text = 'default np:shop/web ingress[1]';
  const counts = countsOf(['n1', 'n2'], [`${listing(text, 2)}\n${listing(text, 3)}\n`, listing(text, 5)]);
  const place = {
    tier: 'default',
    policy: { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' },
    direction: 'ingress',
  } as const;
  assert.deepEqual(counts.of({ ...place, index: 1 }), { packets: 10, bytes: 600 });
  assert.equal(counts.of({ ...place, index: 0 }), undefined);
});

test('hit counts are read from iptables, where that holds the rules', () => {
  const save = [
    '*filter',
    ':cali-pi-np/shop/web - [0:0]',
    '[7:420] -A cali-pi-np/shop/web -p tcp -m comment --comment "cali:abc" -m comment --comment "default np:shop/web ingress[1] allow" -j MARK --set-xmark 0x10000/0x10000',
    '[7:420] -A cali-pi-np/shop/web -m comment --comment "cali:def" -m mark --mark 0x10000/0x10000 -j RETURN',
    '[9:540] -A FORWARD -m comment --comment "default np:shop/web ingress[1] allow" -j ACCEPT',
    'COMMIT',
  ].join('\n');
  const counts = countsOf(['n1'], ['', save]);
  const policy = { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' } as const;
  const place = { tier: 'default', policy, direction: 'ingress' } as const;
  assert.deepEqual(counts.of({ ...place, index: 1 }), { packets: 7, bytes: 420 });
});
