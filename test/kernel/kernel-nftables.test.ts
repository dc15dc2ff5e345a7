// nft's encoding beside ours: each rule goes into the kernel once by `nft` and once by us, and `nft` lists both alike.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import {
  openKernel,
  type Kernel,
  type NftCommand,
  type NftFamily,
  type NftSet,
} from '../../src/kernel/mod.ts';

const withNft = spawnSync('nft', ['--version']).status === 0;
const skip = withNft ? false : 'the command nft is not installed';

const sets: readonly NftSet[] = [
  { name: 'pools', key: ['ipv4_addr'], interval: true },
  { name: 'hosts', key: ['ipv4_addr'] },
  { name: 'pools6', key: ['ipv6_addr'], interval: true },
  { name: 'names', key: ['ifname'] },
  { name: 'ports', key: ['inet_service'], interval: true },
  { name: 'named', key: ['ipv4_addr', 'inet_proto', 'inet_service'] },
  { name: 'class', key: ['ipv4_addr'], data: ['mark'], interval: true },
  { name: 'program', key: ['mark', 'inet_proto', 'inet_service'], data: ['verdict'], interval: true },
  { name: 'marks', key: ['mark', 'inet_proto'], data: ['verdict'] },
  { name: 'from-wl', key: ['ifname'], data: ['verdict'] },
  { name: 'float', key: ['ipv4_addr'], data: ['ipv4_addr'] },
  { name: 'services', key: ['ipv4_addr', 'inet_service'], data: ['ipv4_addr', 'inet_service'] },
  { name: 'portal', key: ['inet_proto', 'inet_service'] },
  { name: 'services6', key: ['ipv6_addr', 'inet_service'], data: ['ipv6_addr', 'inet_service'] },
];
const baseChains = [
  { name: 'post', base: { type: 'nat', hook: 'postrouting', priority: 100 } },
  { name: 'pre', base: { type: 'nat', hook: 'prerouting', priority: -100 } },
  { name: 'raw', base: { type: 'filter', hook: 'prerouting', priority: -300 } },
  { name: 'forward', base: { type: 'filter', hook: 'forward', priority: 0, policy: 'drop' } },
] as const;

const rules: Readonly<Record<'ip' | 'ip6' | 'inet', readonly (readonly [string, string])[]>> = {
  ip: [
    ...[
      'ip saddr 10.0.0.1 accept',
      'ip saddr 10.0.0.0/8 accept',
      'ip saddr != 10.0.0.0/12 accept',
      'ip daddr 224.0.0.0/4 drop',
      'ip daddr { 10.0.0.1, 10.0.0.2 } drop',
      'ip daddr { 10.0.0.0/8, 10.1.0.0-11.0.0.5 } drop',
      'ip daddr != { 10.0.0.1 } drop',
      'ip saddr @pools ip daddr != @pools counter accept',
      'iifname "cali*" drop',
      'iifname "lo" accept',
      'oifname != "eth0" drop',
      'oifname { "a", "b" } drop',
      'iifname @names accept',
      'iifname vmap @from-wl',
      'ct state established,related accept',
      'ct state new accept',
      'ct state { established, related } accept',
      'ct state vmap { established : accept, related : accept, invalid : drop, new : goto x }',
      'ct state != established drop',
      'ct status dnat accept',
      'meta l4proto tcp accept',
      'meta l4proto != tcp drop',
      'meta l4proto { tcp, udp } th dport 53 accept',
      'meta l4proto 4 drop',
      'meta l4proto tcp tcp dport 80 accept',
      'tcp dport 80-90 accept',
      'tcp dport != 80-90 accept',
      'tcp sport { 80, 100-200 } accept',
      'tcp sport 1 tcp dport 2 accept',
      'udp dport @ports accept',
      'udp dport vmap { 53 : accept, 100-200 : drop }',
      'sctp dport 5000 accept',
      'th dport 53 accept',
      'tcp dport < 1024 accept',
      'udp sport >= 1024 accept',
      'meta mark 0x1 accept',
      'meta mark != 0x1 accept',
      'meta mark and 0xff == 0x1 accept',
      'meta mark & 0x10000 != 0 accept',
      'meta mark set 0x1',
      'meta mark set 100',
      'meta mark set meta mark and 0xffff0000',
      'meta mark set meta mark or 0x10000',
      'meta mark set mark xor 0x10000',
      'meta mark set meta mark and 0xfff0ffff or 0x10000',
      'meta mark set ip daddr map @class',
      'meta mark set ct mark',
      'meta mark . meta l4proto . th dport vmap @program',
      'meta mark . meta l4proto vmap @marks',
      'ct mark set meta mark',
      'ct mark set 0x5',
      'ct mark 0x5 accept',
      'ip saddr . ip protocol . tcp dport @named accept',
      'icmp type echo-request accept',
      'icmp type { echo-request, echo-reply } accept',
      'icmp type 8 icmp code 0 accept',
      'icmp code 3 accept',
      'ip protocol tcp accept',
      'ip protocol tcp tcp dport 80 accept',
      'counter log prefix "calico-packet: " limit rate 10/second accept',
      'log prefix "x" level info',
      'log group 2 prefix "y"',
      'limit rate over 100/minute burst 20 packets drop',
      'reject',
      'reject with tcp reset',
      'tcp dport 1 reject with tcp reset',
      'reject with icmp type admin-prohibited',
      'fib saddr . iif oif 0 drop',
      'fib saddr . iif oif missing drop',
      'fib daddr type local accept',
      'meta pkttype broadcast drop',
      'tcp flags syn / fin,syn,rst,ack accept',
      'tcp flags != syn / fin,syn,rst,ack drop',
      'tcp flags syn,ack accept',
      'ct direction original accept',
      'ct direction != reply drop',
      'ct count over 5 reject',
      'ct count 5 accept',
      'ip dscp set cs1',
      'ip dscp set ef',
      'meta l4proto . th dport != @portal drop',
      'limit rate over 400/second burst 7 packets drop',
      'jump x',
      'goto x',
      'return',
      'continue',
    ].map((rule) => ['forward', rule] as const),
    ['raw', 'notrack'],
    ['post', 'ip saddr @pools ip daddr != @pools masquerade'],
    ['post', 'ip saddr @hosts masquerade random'],
    ['post', 'masquerade fully-random'],
    ['post', 'snat to 1.2.3.4'],
    ['post', 'snat to 1.2.3.4-1.2.3.9 random'],
    ['post', 'meta l4proto tcp masquerade to :1024-2048'],
    ['pre', 'tcp dport 80 dnat to 1.2.3.4:8080'],
    ['pre', 'tcp dport 80 dnat to 1.2.3.4:8080-8090'],
    ['pre', 'dnat to ip daddr map @float'],
    ['pre', 'dnat ip to ip daddr . tcp dport map @services'],
    ['pre', 'tcp dport 80 redirect to :8080'],
    ['pre', 'redirect'],
  ],
  ip6: [
    ...[
      'ip6 saddr fd00::1 accept',
      'ip6 saddr fd00::/8 accept',
      'ip6 daddr != fd00::/63 accept',
      'ip6 daddr @pools6 accept',
      'ip6 daddr { fd00::1, fd00::5-fd00::9 } drop',
      'icmpv6 type nd-neighbor-solicit accept',
      'icmpv6 type { nd-router-solicit, 133, 134, 135, 136 } accept',
      'ip6 nexthdr 59 drop',
      'ip6 saddr fe80::/10 drop',
      'reject',
      'ip6 dscp set af21',
      'reject with icmpv6 type no-route',
      'fib saddr . iif oif missing drop',
    ].map((rule) => ['forward', rule] as const),
    ['post', 'ip6 saddr @pools6 ip6 daddr != @pools6 masquerade'],
    ['pre', 'tcp dport 80 dnat to [fd00::5]:8080'],
    ['pre', 'dnat ip6 to ip6 daddr . tcp dport map @services6'],
    ['post', 'snat to fd00::7'],
  ],
  inet: [
    ...[
      'meta nfproto ipv4 accept',
      'ip saddr 10.0.0.1 accept',
      'meta nfproto ipv4 ip saddr 10.0.0.1 accept',
      'ip6 daddr fd00::/64 accept',
      'ip saddr @pools ip daddr @hosts accept',
      'tcp dport 80 accept',
      'ip saddr 10.0.0.1 tcp dport 80 accept',
      'reject',
      'reject with icmpx type admin-prohibited',
      'reject with tcp reset',
    ].map((rule) => ['forward', rule] as const),
    ['pre', 'tcp dport 80 dnat ip to 10.0.0.1:80'],
  ],
};

const setText = (set: NftSet): string => {
  const type =
    set.data === undefined ? set.key.join(' . ') : `${set.key.join(' . ')} : ${set.data.join(' . ')}`;
  return `${set.data === undefined ? 'set' : 'map'} ${set.name} { type ${type}; ${set.interval ? 'flags interval;' : ''} }`;
};

const tableText = (family: NftFamily): string => `table ${family} t {
  ${sets.map(setText).join('\n  ')}
  chain x { }
  ${baseChains.map(({ name, base }) => `chain ${name} { type ${base.type} hook ${base.hook} priority ${base.priority}; policy ${'policy' in base ? base.policy : 'accept'}; }`).join('\n  ')}
}`;

const tableCommands = (family: NftFamily): NftCommand[] => {
  const table = { family, name: 't' };
  return [
    { op: 'add-table', table },
    ...sets.map((set): NftCommand => ({ op: 'add-set', table, set })),
    { op: 'add-chain', table, chain: { name: 'x' } },
    ...baseChains.map((chain): NftCommand => ({ op: 'add-chain', table, chain })),
  ];
};

const nft = (...args: string[]): string =>
  execFileSync('nft', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const load = (text: string): string =>
  execFileSync('nft', ['-f', '-'], { input: text, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });

describe('nftables, beside nft', { skip }, () => {
  let kernel: Kernel;
  before(async () => {
    const opened = await openKernel();
    assert.ok(opened.ok);
    kernel = opened.value;
  });
  after(() => kernel.close());

  // nft 1.0.6 aborts on what a map gives in a key; it lists these with the address in its place.
  for (const [family, shown] of [
    ['ip', 'ip saddr'],
    ['ip6', '@nh,64,32'],
  ] as const)
    test(`table ${family}: a key that begins in a map is listed`, async () => {
      const table = { family, name: 't' };
      const [address, host, net] =
        family === 'ip' ? ['ip saddr', '10.0.0.1', '10.0.0.0/8'] : ['ip6 saddr', 'fd00::1', 'fd00::/8'];
      const addressType = family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
      const key = ['mark', 'inet_proto', 'inet_service'];
      const maps: readonly NftSet[] = [
        { name: 'hosts', key: [addressType], data: ['mark', 'mark'] },
        { name: 'nets', key: [addressType], data: ['mark', 'mark'], interval: true },
        { name: 'port', key, data: ['verdict'] },
        { name: 'range', key, data: ['verdict'], interval: true },
        { name: 'class', key: ['mark'], data: ['verdict'] },
      ];
      const elements = [
        ['hosts', host, ['0x7', '0x7']],
        ['nets', net, ['0x7', '0x7']],
        ['port', ['0x7', 'tcp', '80'], 'accept'],
        ['range', ['0x7', 'tcp', '80-90'], 'accept'],
        ['class', '0x7', 'drop'],
      ] as const;
      const made = await kernel.nftables.apply([
        { op: 'add-table', table },
        ...maps.map((set): NftCommand => ({ op: 'add-set', table, set })),
        ...elements.map(
          ([set, at, data]): NftCommand => ({
            op: 'add-elements',
            table,
            set,
            elements: [{ key: at, data }],
          }),
        ),
        { op: 'add-chain', table, chain: { name: 'x' } },
        ...['hosts', 'nets'].flatMap((map) =>
          [
            '. meta l4proto . th dport vmap @port',
            '. meta l4proto . th dport vmap @range',
            'vmap @class',
          ].map(
            (rest): NftCommand => ({
              op: 'add-rule',
              table,
              chain: 'x',
              rule: { expression: `${address} map @${map} ${rest}` },
            }),
          ),
        ),
      ]);
      assert.deepEqual(made, { ok: true, value: undefined });
      const rules = nft('list', 'chain', family, 't', 'x').split('\n').slice(2, 8);
      const one = [
        '. meta l4proto . th dport vmap @port',
        '. meta l4proto . th dport vmap @range',
        'vmap @class',
      ];
      assert.deepEqual(
        rules.map((line) => line.trim()),
        [...one, ...one].map((rest) => `${shown} ${rest}`),
      );
      nft('-j', 'list', 'ruleset');
      nft('delete', 'table', family, 't');
    });

  for (const family of ['ip', 'ip6', 'inet'] as const) {
    test(`table ${family}: definitions and every rule list alike`, async () => {
      const table = { family, name: 't' };
      load(tableText(family));
      const wanted: string[] = [];
      for (const [chain, rule] of rules[family]) {
        nft('add', 'rule', family, 't', chain, ...rule.split(' '));
        wanted.push(nft('-s', 'list', 'chain', family, 't', chain));
        nft('flush', 'chain', family, 't', chain);
      }
      const wantedTable = nft('-s', 'list', 'table', family, 't');
      nft('delete', 'table', family, 't');

      const made = await kernel.nftables.apply(tableCommands(family));
      assert.deepEqual(made, { ok: true, value: undefined });
      assert.equal(nft('-s', 'list', 'table', family, 't'), wantedTable);
      for (const [i, [chain, rule]] of rules[family].entries()) {
        const added = await kernel.nftables.apply([
          { op: 'add-rule', table, chain, rule: { expression: rule } },
        ]);
        assert.deepEqual(added, { ok: true, value: undefined }, rule);
        assert.equal(nft('-s', 'list', 'chain', family, 't', chain), wanted[i], rule);
        const flushed = await kernel.nftables.apply([{ op: 'flush-chain', table, chain }]);
        assert.deepEqual(flushed, { ok: true, value: undefined });
      }
      assert.ok((await kernel.nftables.apply([{ op: 'delete-table', table }])).ok);
    });
  }

  test('however many transactions there were, each is known to be done, and is done once', async () => {
    const table = { family: 'ip', name: 'many' } as const;
    const apply = async (...commands: readonly NftCommand[]): Promise<void> =>
      assert.deepEqual(await kernel.nftables.apply(commands), { ok: true, value: undefined });
    await apply({ op: 'add-table', table }, { op: 'add-chain', table, chain: { name: 'x' } });
    // Numbers of messages begin anew after some 2,000.
    for (let i = 0; i < 2_200; i++)
      await apply({ op: 'add-rule', table, chain: 'x', rule: { expression: 'accept' } });
    const state = await kernel.nftables.read(table);
    assert.equal(state.ok && state.value?.chains[0]?.rules.length, 2_200);
    await apply({ op: 'delete-table', table });
  });
});
