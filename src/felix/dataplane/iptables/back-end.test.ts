// The back end on fake tools: Calico's layout, what a change writes, what others do, what goes wrong.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeTools } from './fake.ts';
import { bare, globalPolicy, gone, IptablesBench, pod, set } from './testing.ts';

const kubeNamespace = set('Namespace', { name: 'shop', labels: { team: 'a' } });
const web = pod('web', '10.244.1.2/32', { app: 'web' });
const db = pod('db', '10.244.1.3/32', { app: 'db' });
const fromWeb = globalPolicy('from-web', {
  selector: "app == 'db'",
  types: ['Ingress'],
  ingress: [
    {
      action: 'Allow',
      protocol: 'TCP',
      source: { selector: "app == 'web'" },
      destination: { ports: [5432] },
    },
  ],
});

test('FX-030, FX-031, FX-032, FX-047, FX-048, FX-050: chains of a workload with a policy', async () => {
  const bench = new IptablesBench();
  await bench.start(kubeNamespace, web, db, fromWeb);
  assert.deepEqual(bench.chain('FORWARD'), [
    '--jump cali-FORWARD',
    '-m mark --mark 0x10000/0x10000 --jump ACCEPT',
    '--jump MARK --set-mark 0x10000/0x10000',
  ]);
  assert.deepEqual(bench.chain('cali-to-wl-dispatch'), [
    '--out-interface calidb --goto cali-tw-calidb',
    '--out-interface caliweb --goto cali-tw-caliweb',
    '--jump DROP',
  ]);
  assert.deepEqual(bench.chain('cali-tw-calidb'), [
    '-m conntrack --ctstate RELATED,ESTABLISHED --jump ACCEPT',
    '-m conntrack --ctstate INVALID --jump DROP',
    '--jump MARK --set-mark 0/0x30000',
    '--jump MARK --set-mark 0/0x20000',
    '-m mark --mark 0/0x20000 --jump cali-pi-gnp/from-web',
    '-m mark --mark 0x10000/0x10000 --jump RETURN',
    '-m mark --mark 0/0x20000 --jump DROP',
    '--jump cali-pri-kns.shop',
    '-m mark --mark 0x10000/0x10000 --jump RETURN',
    '--jump DROP',
  ]);
  const [rule] = bench.chain('cali-pi-gnp/from-web') ?? [];
  assert.match(
    rule ?? '',
    /^-p tcp -m set --match-set cali40s:\S{23} src -m multiport --destination-ports 5432 --jump MARK --set-mark 0x10000\/0x10000$/,
  );
  assert.deepEqual(bench.chain('cali-fw-caliweb')?.slice(2, 5), [
    '--jump MARK --set-mark 0/0x30000',
    '-p udp -m multiport --destination-ports 4789 --jump DROP',
    '-p 4 --jump DROP',
  ]);
  const hashes = bench.tools.chain('nft', 4, 'filter', 'cali-tw-calidb') ?? [];
  for (const text of hashes) assert.match(text, /^-m comment --comment "cali:[\w-]{16}" /);
  const sets = [...bench.tools.sets].map(([name, { members }]) => [name.slice(0, 8), [...members]]);
  assert.deepEqual(
    sets.find(([name]) => name === 'cali40s:'),
    ['cali40s:', ['10.244.1.2']],
  );
  assert.deepEqual(bench.chains('filter', 6), bench.chains('filter', 4));
});

test('FX-019: a flush is one restore for each family, and changes that come meanwhile are the next one', async () => {
  const bench = new IptablesBench();
  await bench.start(kubeNamespace, web, db);
  bench.tools.calls.length = 0;
  for (let n = 0; n < 20; n++)
    bench.graph.update(globalPolicy(`p${n}`, { selector: 'all()', ingress: [{ action: 'Allow' }] }));
  await bench.update();
  assert.deepEqual(
    bench.tools.calls.map(({ command }) => command),
    ['iptables-nft-restore', 'ip6tables-nft-restore'],
  );
});

test('an edited policy replaces its rule and nothing else; a member is one line', async () => {
  const bench = new IptablesBench();
  await bench.start(kubeNamespace, web, db, fromWeb);
  bench.written();
  await bench.update(pod('web2', '10.244.1.4/32', { app: 'web' }));
  const lines = bench.written();
  assert.match(lines[0] ?? '', /^add cali40s:\S+ 10\.244\.1\.4$/);
  assert.ok(lines.includes('-R cali-to-wl-dispatch 2 --out-interface caliw+ --goto cali-to-wl-dispatch-w'));
  assert.equal(
    lines.some((text) => /^.. cali-(tw-caliweb|tw-calidb|pi-|INPUT|FORWARD) /.test(text)),
    false,
  );
  await bench.update(
    globalPolicy('from-web', {
      selector: "app == 'db'",
      types: ['Ingress'],
      ingress: [
        { action: 'Deny', protocol: 'UDP' },
        {
          action: 'Allow',
          protocol: 'TCP',
          source: { selector: "app == 'web'" },
          destination: { ports: [5432] },
        },
      ],
    }),
  );
  const edits = bench.written();
  assert.deepEqual(
    edits.map((text) => text.split(' ').slice(0, 3).join(' ')),
    [
      '-R cali-pi-gnp/from-web 1',
      '-A cali-pi-gnp/from-web -p',
      '-R cali-pi-gnp/from-web 1',
      '-A cali-pi-gnp/from-web -p',
    ],
  );
});

test('FX-017: rules of others stay; ours stand before or after them, as ChainInsertMode says', async () => {
  for (const [mode, expected] of [
    ['insert', ['--jump cali-INPUT', '-p tcp -j ACCEPT']],
    ['append', ['-p tcp -j ACCEPT', '--jump cali-INPUT']],
  ] as const) {
    const tools = new FakeTools();
    tools.foreign('nft', 4, 'filter', ':DOCKER - [0:0]', '-A INPUT -p tcp -j ACCEPT', '-A DOCKER -j RETURN');
    const bench = new IptablesBench(tools, { ChainInsertMode: mode });
    await bench.start(web);
    assert.deepEqual(bench.chain('INPUT'), expected);
    assert.deepEqual(bench.chain('DOCKER'), ['-j RETURN']);
    tools.foreign('nft', 4, 'filter', '-I INPUT 1 -p udp -j ACCEPT');
    await bench.pass(91_000);
    const wanted = mode === 'insert' ? expected[0] : '-p udp -j ACCEPT';
    assert.equal(bench.chain('INPUT')?.[0], wanted);
    assert.equal(bench.chain('INPUT')?.length, 3);
    await bench.backEnd.stop();
  }
});

test('FX-018: what others change is put back by the check after a write and by the refresh', async () => {
  const bench = new IptablesBench();
  await bench.start(web, db, fromWeb);
  const before = bench.chain('cali-tw-calidb');
  bench.tools.foreign('nft', 4, 'filter', '-D cali-tw-calidb 5', ':cali-to-wl-dispatch - [0:0]');
  await bench.pass(5_200);
  assert.deepEqual(bench.chain('cali-tw-calidb'), before);
  assert.equal(bench.chain('cali-to-wl-dispatch')?.length, 3);
  await bench.pass(10_000);
  bench.written();
  bench.tools.foreign('nft', 4, 'filter', ':FORWARD ACCEPT [0:0]');
  for (const { members } of bench.tools.sets.values()) members.add('192.0.2.1');
  await bench.pass(91_000);
  assert.equal(bench.chain('FORWARD')?.[0], '--jump cali-FORWARD');
  for (const { members } of bench.tools.sets.values()) assert.equal(members.has('192.0.2.1'), false);
  await bench.backEnd.stop();
});

test('FX-006: a second run over a right kernel writes nothing; what an earlier one left goes', async () => {
  const tools = new FakeTools();
  const first = new IptablesBench(tools);
  await first.start(kubeNamespace, web, db, fromWeb);
  await first.backEnd.stop();
  first.written();
  const second = new IptablesBench(tools);
  await second.start(kubeNamespace, web, db, fromWeb);
  assert.deepEqual(second.written(), []);
  await second.backEnd.stop();
  tools.foreign('nft', 4, 'filter', ':cali-old - [0:0]', '-A cali-old -j DROP', '-A INPUT -j cali-old');
  tools.sets.set('cali4t3', { type: 'hash:net', maxSize: 5, members: new Set(['10.0.0.0/8']) });
  const third = new IptablesBench(tools);
  await third.start(kubeNamespace, web);
  assert.equal(third.chain('cali-old'), undefined);
  assert.deepEqual(third.chain('INPUT'), ['--jump cali-INPUT']);
  assert.deepEqual(third.chain('cali-tw-calidb'), undefined);
  assert.equal(
    [...tools.sets.keys()].some((name) => name.includes('s:') || name.includes('4t')),
    false,
  );
  await third.backEnd.stop();
});

test('FX-016: a refused rule closes what is new and leaves what was there; the rest is written', async () => {
  const bench = new IptablesBench();
  await bench.start(web, db, fromWeb);
  bench.tools.refuses = (line) => line.includes('--destination-ports 666');
  const bad = {
    types: ['Ingress'],
    ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [666] } }],
  };
  const good = { selector: 'all()', types: ['Ingress'], ingress: [{ action: 'Deny', protocol: 'UDP' }] };
  const before = bench.chain('cali-pi-gnp/from-web');
  await bench.update(
    globalPolicy('new', { selector: "app == 'db'", ...bad }),
    globalPolicy('from-web', { selector: "app == 'db'", ...bad }),
    globalPolicy('other', good),
  );
  assert.deepEqual(bench.chain('cali-pi-gnp/new'), ['--jump DROP']);
  assert.deepEqual(bench.chain('cali-pi-gnp/from-web'), before);
  assert.deepEqual(bench.chain('cali-pi-gnp/other'), ['-p udp --jump DROP']);
  const unfinished = [...bench.backEnd.table.unfinished()].map(([key]) => key);
  // The set that the old rules ask for stays with them.
  assert.deepEqual(unfinished.filter((key) => !key.includes(' set ')).toSorted(), [
    '4 filter chain cali-pi-gnp/from-web',
    '4 filter chain cali-pi-gnp/new',
    '6 filter chain cali-pi-gnp/from-web',
    '6 filter chain cali-pi-gnp/new',
  ]);
  bench.tools.refuses = () => false;
  await bench.pass(2_000);
  assert.deepEqual([...bench.backEnd.table.unfinished()], []);
  assert.equal(bench.chain('cali-pi-gnp/new')?.length, 1);
  await bench.backEnd.stop();
});

test('FX-016: a commit that the kernel refuses without saying why costs its chain only', async () => {
  const bench = new IptablesBench();
  await bench.start(web, db, fromWeb);
  bench.tools.refusesCommit = (rule) => rule.includes('--destination-ports 777');
  const policy = (name: string, port: number) =>
    globalPolicy(name, {
      selector: "app == 'db'",
      types: ['Ingress'],
      ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [port] } }],
    });
  const before = bench.chain('cali-pi-gnp/from-web');
  await bench.update(policy('x1', 1), policy('x2', 777), policy('x3', 3), policy('from-web', 777));
  assert.equal(bench.chain('cali-pi-gnp/x1')?.length, 1);
  assert.match(bench.chain('cali-pi-gnp/x3')?.[0] ?? '', /ports 3 /);
  assert.deepEqual(bench.chain('cali-pi-gnp/x2'), ['--jump DROP']);
  assert.deepEqual(bench.chain('cali-pi-gnp/from-web'), before);
  bench.tools.refusesCommit = () => false;
  await bench.pass(3_000);
  assert.deepEqual([...bench.backEnd.table.unfinished()], []);
  assert.match(bench.chain('cali-pi-gnp/x2')?.[0] ?? '', /ports 777 /);
});

test('a chain that somebody edited under our hands is written whole', async () => {
  const bench = new IptablesBench();
  await bench.start(web, db, fromWeb);
  bench.tools.foreign('nft', 4, 'filter', ':cali-pi-gnp/from-web - [0:0]');
  await bench.update(
    globalPolicy('from-web', { selector: "app == 'db'", types: ['Ingress'], ingress: [{ action: 'Deny' }] }),
  );
  await bench.pass(1_000);
  assert.deepEqual(bench.chain('cali-pi-gnp/from-web'), ['--jump DROP']);
  assert.deepEqual([...bench.backEnd.table.unfinished()], []);
});

test('tools that are missing are an error that health shows, and are tried again', async () => {
  const bench = new IptablesBench();
  bench.tools.missing = () => true;
  await bench.start(web);
  assert.match(bench.backEnd.reconciler.dumpError?.message ?? '', /iptables-nft-save cannot be run/);
  bench.tools.missing = () => false;
  await bench.pass(2_000);
  assert.equal(bench.backEnd.reconciler.synced, true);
});

test('a set of another size takes the old one’s place with its members at once', async () => {
  const bench = new IptablesBench(new FakeTools());
  await bench.start(kubeNamespace, web, db, fromWeb);
  bench.written();
  await bench.update(set('FelixConfiguration', { name: 'default' }, { maxIpsetSize: 77 }));
  const lines = bench.written();
  const at = lines.findIndex((text) => /^swap cali4t\d+ cali40s:/.test(text));
  assert.ok(at > 0);
  assert.match(lines[at - 1] ?? '', /^add cali4t\d+ 10\.244\.1\.2$/);
  assert.match(lines[at + 1] ?? '', /^destroy cali4t\d+$/);
  for (const { maxSize } of bench.tools.sets.values()) assert.equal(maxSize, 77);
  const members = [...bench.tools.sets].find(([name]) => name.startsWith('cali40s:'))?.[1].members;
  assert.deepEqual([...(members ?? [])], ['10.244.1.2']);
});

test('FX-008: a set that is full closes the policies that look into it, until it takes what it refused', async () => {
  const bench = new IptablesBench(new FakeTools());
  await bench.start(kubeNamespace, web, db, fromWeb);
  const chain = 'cali-pi-gnp/from-web';
  const open = bench.chain(chain);
  assert.ok((open?.length ?? 0) > 0);
  assert.notDeepEqual(open, ['--jump DROP']);
  bench.tools.refuses = (line) => /^add cali40s:\S+ 10\.244\.1\.77/.test(line);
  await bench.update(pod('late', '10.244.1.77', { app: 'web' }));
  assert.deepEqual(bench.chain(chain), ['--jump DROP']);
  assert.ok([...bench.backEnd.table.unfinished()].length >= 2, 'the member and the chain');
  bench.tools.refuses = () => false;
  await bench.pass(2_000);
  assert.deepEqual(bench.chain(chain), open);
  assert.deepEqual([...bench.backEnd.table.unfinished()], []);
});

test('policies with one selector share a chain; it changes with their selectors, and goes with them', async () => {
  const bench = new IptablesBench();
  const policy = (name: string, selector = "app == 'db'") =>
    globalPolicy(name, { selector, types: ['Ingress'], ingress: [{ action: 'Allow', protocol: 'TCP' }] });
  await bench.start(kubeNamespace, web, db, policy('a'), policy('b'), policy('c', 'all()'));
  const group = bench.chains().find((name) => name.startsWith('cali-gi-')) ?? '';
  assert.deepEqual(bench.chain(group), [
    '--jump cali-pi-gnp/a',
    '-m mark --mark 0/0x30000 --jump cali-pi-gnp/b',
  ]);
  assert.ok(bench.chain('cali-tw-calidb')?.includes(`-m mark --mark 0/0x20000 --jump ${group}`));
  await bench.update(policy('b', "has(app) && app == 'db'"));
  assert.equal(
    bench.chains().some((name) => name.startsWith('cali-gi-')),
    false,
  );
  for (const name of ['a', 'b', 'c']) await bench.update(gone('GlobalNetworkPolicy', name));
  assert.deepEqual(
    bench.chains().filter((name) => name.startsWith('cali-p')),
    ['cali-pri-kns.shop', 'cali-pro-kns.shop'],
  );
});

test('a set that loses most of its members is made anew, and swapped in', async () => {
  const bench = new IptablesBench();
  const nets = (count: number): readonly string[] =>
    Array.from({ length: count }, (_, n) => `172.16.${n >> 8}.${n & 255}/32`);
  const many = (count: number, ...more: readonly string[]) =>
    set('GlobalNetworkSet', { name: 'many', labels: { many: '' } }, { nets: [...nets(count), ...more] });
  await bench.start(
    kubeNamespace,
    db,
    many(2_000),
    globalPolicy('p', {
      selector: "app == 'db'",
      ingress: [{ action: 'Deny', source: { selector: 'has(many)' } }],
    }),
  );
  const members = (): readonly (readonly string[])[] =>
    [...bench.tools.sets].flatMap(([name, { members: all }]) =>
      name.includes('0s:') ? [[...all].toSorted()] : [],
    );
  assert.equal(members().find((all) => all.length > 0)?.length, 2_000);
  bench.written();
  await bench.update(many(10, '10.1.1.1/32'));
  const lines = bench.written();
  assert.ok(lines.length < 20, `${lines.length} lines`);
  assert.ok(lines.some((line) => line.startsWith('swap ')));
  assert.equal(members().find((all) => all.length > 0)?.length, 11);
  assert.equal(
    [...bench.tools.sets.keys()].some((name) => /^cali4t\d/.test(name)),
    false,
  );
  assert.deepEqual([...bench.backEnd.table.unfinished()], []);
  // Few that go, go one by one.
  await bench.update(many(9, '10.1.1.1/32'));
  assert.equal(bench.written().length, 1);
});

test('2,000 policies applied and deleted leave no chain, set or row behind', async () => {
  const bench = new IptablesBench();
  await bench.start(kubeNamespace, web, db);
  const chains = bench.chains();
  const rows = bench.backEnd.table.rows.size;
  for (let round = 0; round < 10; round++) {
    const names = Array.from({ length: 200 }, (_, n) => `p${round}-${n}`);
    await bench.update(
      ...names.map((name) =>
        globalPolicy(name, {
          selector: "app == 'db'",
          ingress: [{ action: 'Allow', source: { selector: `app == '${name}'` } }],
        }),
      ),
    );
    await bench.update(...names.map((name) => gone('GlobalNetworkPolicy', name)));
  }
  await bench.pass(1_000);
  assert.deepEqual(bench.chains(), chains);
  assert.equal(bench.backEnd.table.rows.size, rows);
  assert.equal([...bench.tools.sets.keys()].filter((name) => name.includes('0s:')).length, 0);
});

test('FX-040, FX-041, FX-046, FX-051, FX-052: chains of host endpoints, in every table where they are asked', async () => {
  const bench = new IptablesBench();
  const tracked = { selector: 'has(host)', applyOnForward: true, types: ['Ingress'] };
  await bench.start(
    set('HostEndpoint', { name: 'all', labels: { host: 'yes' } }, { node: 'n1', interfaceName: '*' }),
    set('HostEndpoint', { name: 'eth0', labels: { host: 'yes' } }, { node: 'n1', interfaceName: 'eth0' }),
    globalPolicy('early', { ...tracked, preDNAT: true, ingress: [{ action: 'Deny', protocol: 'UDP' }] }),
    globalPolicy('raw', { ...tracked, doNotTrack: true, ingress: [{ action: 'Allow', protocol: 'TCP' }] }),
    globalPolicy('through', { ...tracked, ingress: [{ action: 'Allow' }] }),
  );
  assert.deepEqual(bench.chain('cali-from-host-endpoint', 'raw'), [
    '--in-interface eth0 --goto cali-fh-eth0',
    '--in-interface lo --jump RETURN',
    '--in-interface cali+ --jump RETURN',
    '--goto cali-fh-any-interface-at-all',
  ]);
  assert.deepEqual(bench.chain('cali-fh-eth0', 'raw'), [
    '--jump cali-failsafe-in',
    '--jump MARK --set-mark 0/0x30000',
    '--jump MARK --set-mark 0/0x20000',
    '-m mark --mark 0/0x20000 --jump cali-pi-gnp/raw',
    '-m mark --mark 0x10000/0x10000 --jump CT --notrack',
    '-m mark --mark 0x10000/0x10000 --jump RETURN',
  ]);
  assert.ok(
    bench.chain('cali-fh-eth0', 'mangle')?.includes('-m mark --mark 0/0x20000 --jump cali-pi-gnp/early'),
  );
  assert.deepEqual(bench.chain('cali-fhfw-eth0')?.slice(-3), [
    '-m mark --mark 0x10000/0x10000 --jump RETURN',
    '-m mark --mark 0/0x20000 --jump DROP',
    '--jump MARK --set-mark 0x10000/0x10000',
  ]);
  assert.equal(bench.chain('cali-fh-eth0')?.at(-1), '--jump DROP');
  assert.ok(
    bench.chain('cali-failsafe-in')?.includes('-p tcp -m multiport --destination-ports 22 --jump ACCEPT'),
  );
  assert.ok(
    bench.chain('cali-failsafe-in', 'raw')?.includes('-p udp -m multiport --source-ports 53 --jump ACCEPT'),
  );
  await bench.update(gone('HostEndpoint', 'all'), gone('HostEndpoint', 'eth0'));
  assert.deepEqual(bench.chain('cali-from-host-endpoint', 'raw'), []);
  for (const table of ['raw', 'mangle', 'filter'])
    assert.deepEqual(
      bench.chains(table).filter((name) => /^cali-(fh|th|pi-)/.test(name)),
      [],
    );
});

test('RS-142: of host endpoints that fit an interface the named one counts, then the lowest name', async () => {
  const bench = new IptablesBench();
  await bench.start(
    set('HostEndpoint', { name: 'a' }, { node: 'n1', expectedIPs: ['192.0.2.1', '192.0.2.2'] }),
    set('HostEndpoint', { name: 'b' }, { node: 'n1', interfaceName: 'eth1' }),
  );
  assert.deepEqual(bench.chain('cali-from-host-endpoint'), ['--in-interface eth1 --goto cali-fh-eth1']);
  bench.backEnd.setInterfaces(
    new Map([
      ['eth0', ['192.0.2.1']],
      ['eth1', ['192.0.2.2']],
    ]) as unknown as Parameters<typeof bench.backEnd.setInterfaces>[0],
  );
  await bench.update();
  assert.deepEqual(bench.chain('cali-from-host-endpoint')?.length, 2);
});

test('FX-044: a host endpoint’s policy does not cut WireGuard, of the families that are encrypted', async () => {
  const bench = new IptablesBench();
  const spec = { wireguardEnabled: true, wireguardListeningPort: 5555 };
  await bench.start(set('FelixConfiguration', { name: 'default' }, spec));
  const lines = (chain: string): readonly string[] =>
    (bench.chain(chain) ?? []).filter((one) => one.includes('5555'));
  assert.match(
    lines('cali-INPUT').join(),
    /-p udp -m multiport --destination-ports 5555 -m addrtype --dst-type LOCAL --jump ACCEPT/,
  );
  assert.match(
    lines('cali-OUTPUT').join(),
    /-p udp -m multiport --destination-ports 5555 -m addrtype --src-type LOCAL --jump ACCEPT/,
  );
  // What the host sends into the device from another address gets that of the device (FX-066).
  assert.match(
    (bench.chain('cali-POSTROUTING', 'nat') ?? []).join('\n'),
    /--out-interface wireguard\.cali .*--jump MASQUERADE/,
  );
});

test('FX-065: nat-outgoing translates what pools’ pods send out of all pools', async () => {
  const bench = new IptablesBench();
  const pool = (natOutgoing: boolean) => set('IPPool', { name: 'p' }, { cidr: '10.244.0.0/16', natOutgoing });
  await bench.start(pool(true));
  assert.deepEqual(bench.chain('cali-nat-outgoing', 'nat'), [
    '-m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40network-ip-pools dst --jump MASQUERADE --random-fully',
  ]);
  assert.deepEqual(bench.chain('POSTROUTING', 'nat'), ['--jump cali-POSTROUTING']);
  assert.deepEqual([...(bench.tools.sets.get('cali40masq-ipam-pools')?.members ?? [])], ['10.244.0.0/16']);
  await bench.update(
    pool(true),
    set(
      'FelixConfiguration',
      { name: 'default' },
      { natOutgoingAddress: '192.0.2.9', natPortRange: '1000:2000' },
    ),
  );
  assert.deepEqual(
    bench.chain('cali-nat-outgoing', 'nat')?.map((text) => text.replace(/-m set.* dst /, '')),
    [
      '-p tcp --jump SNAT --to-source 192.0.2.9:1000-2000 --random-fully',
      '-p udp --jump SNAT --to-source 192.0.2.9:1000-2000 --random-fully',
      '--jump SNAT --to-source 192.0.2.9 --random-fully',
    ],
  );
  await bench.update(pool(false));
  assert.deepEqual(bench.chain('cali-nat-outgoing', 'nat'), []);
});

test('FX-037: changed marks are changed everywhere', async () => {
  const bench = new IptablesBench();
  await bench.start(kubeNamespace, web, fromWeb);
  await bench.update(set('FelixConfiguration', { name: 'default' }, { iptablesMarkMask: 0xff00 }));
  const all = [...bench.tools.tables('nft', 4).values()].flatMap((chains) =>
    [...chains.values()].flat().map(bare),
  );
  assert.equal(
    all.some((text) => text.includes('0x10000')),
    false,
  );
  assert.equal(
    all.some((text) => text.includes('0x100/0x100')),
    true,
  );
});

test('FX-040, FX-044, FX-045: tunnels of other nodes pass host endpoints, untracked where tracking is of no use', async () => {
  const bench = new IptablesBench();
  const spec = {
    bgp: { ipv4Address: '192.0.2.2/24' },
    ipv4VXLANTunnelAddr: '10.244.2.1',
    vxlanTunnelMACAddr: '66:00:00:00:00:01',
  };
  const vxlanPool = { cidr: '10.244.0.0/16', vxlanMode: 'Always' };
  await bench.start(set('IPPool', { name: 'p' }, vxlanPool), set('Node', { name: 'n2' }, spec));
  assert.deepEqual([...(bench.tools.sets.get('cali40all-vxlan-net')?.members ?? [])], ['192.0.2.2']);
  const match = '-p udp -m multiport --destination-ports 4789';
  assert.equal(
    bench.chain('cali-INPUT')?.[0],
    `${match} -m set --match-set cali40all-vxlan-net src -m addrtype --dst-type LOCAL --jump ACCEPT`,
  );
  assert.ok(
    bench
      .chain('cali-OUTPUT')
      ?.includes(
        `${match} -m set --match-set cali40all-vxlan-net dst -m addrtype --src-type LOCAL --jump ACCEPT`,
      ),
  );
  assert.equal(bench.chain('cali-PREROUTING', 'raw')?.[1], `${match} --jump CT --notrack`);
  assert.match(
    bench.chain('cali-POSTROUTING', 'nat')?.[2] ?? '',
    /^--out-interface vxlan\.calico .*--jump MASQUERADE/,
  );
  await bench.update(set('IPPool', { name: 'p' }, { cidr: '10.244.0.0/16' }), gone('Node', 'n2'));
  assert.equal(bench.tools.sets.get('cali40all-vxlan-net')?.members.size, 0);
  assert.deepEqual(
    bench.chain('cali-PREROUTING', 'raw')?.filter((text) => text.includes('notrack')),
    [],
  );
});

test('RS-190, FX-047: limits of a workload stand before its policy', async () => {
  const bench = new IptablesBench();
  const limited = {
    type: 'set',
    kind: 'WorkloadEndpoint',
    object: {
      apiVersion: 'projectcalico.org/v3',
      kind: 'WorkloadEndpoint',
      metadata: { name: 'web', namespace: 'shop' },
      spec: {
        node: 'n1',
        interfaceName: 'caliweb',
        ipNetworks: ['10.244.1.2/32'],
        qosControls: { ingressPacketRate: 100, ingressPacketBurst: 7, ingressMaxConnections: 3 },
      },
    },
  } as unknown as ReturnType<typeof pod>;
  await bench.start(limited);
  const rules = bench.chain('cali-tw-caliweb') ?? [];
  assert.match(
    rules[0] ?? '',
    /^-m hashlimit --hashlimit-above 100\/sec --hashlimit-burst 7 --hashlimit-name caliweb-ingress --jump DROP$/,
  );
  assert.deepEqual(rules.slice(3, 5), [
    '-p tcp -m connlimit --connlimit-above 3 --connlimit-mask 0 --jump REJECT --reject-with tcp-reset',
    '-m connlimit --connlimit-above 3 --connlimit-mask 0 --jump DROP',
  ]);
});
