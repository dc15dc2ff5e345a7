// WireGuard by Felix's own dataplane on the real kernel (or wireguard-go where it has none): two nodes with a router between
// them, which sees what is on the wire.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock, VirtualClock } from '../../src/lib/clock.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { CalculationGraph, type CalcUpdate, type PolicyUpdate } from '../../src/felix/calc/mod.ts';
import { Dataplane, type WireGuardStates } from '../../src/felix/dataplane/mod.ts';
import { unable } from './support/felix-node.ts';
import { OverlayHosts } from './support/overlay-hosts.ts';

const skip = unable('tcpdump', 'wireguard-go', 'wg') ?? false;
type Update = CalcUpdate | PolicyUpdate;
type Host = 'h1' | 'h2';
const object = (kind: string, name: string, spec: object, more: object = {}): Update =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec, ...more },
  }) as unknown as Update;
const node = (n: number, publicKey?: string): Update =>
  object(
    'Node',
    `h${n}`,
    {
      bgp: { ipv4Address: `10.${n}.0.1/24` },
      wireguard: { interfaceIPv4Address: `10.244.${n}.1` },
    },
    publicKey === undefined ? {} : { status: { wireguardPublicKey: publicKey } },
  );
const cluster: readonly Update[] = [
  object('IPPool', 'p', { cidr: '10.244.0.0/16', vxlanMode: 'Never', ipipMode: 'Never' }),
  ...[1, 2].flatMap((n) => [
    node(n),
    object(
      'WorkloadEndpoint',
      `pod${n}`,
      { node: `h${n}`, interfaceName: `cali${n}`, ipNetworks: [`10.244.${n}.5/32`], containerID: `pod${n}` },
      { metadata: { name: `pod${n}`, namespace: 'default' } },
    ),
    object('IPAMBlock', `10-244-${n}-0-26`, {
      cidr: `10.244.${n}.0/26`,
      affinity: `host:h${n}`,
      allocations: [],
      attributes: [],
    }),
  ]),
];

/** Waits for it, as long as a machine under load may take. */
async function settles(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const so = await until(async () => ((await isSo()) ? true : undefined), {
    timeoutMs: 40_000,
    everyMs: 100,
  });
  assert.ok(so, what);
}

class Felix {
  readonly graph: CalculationGraph;
  readonly dataplane: Dataplane;
  states: WireGuardStates | undefined;
  /** Its disk. */
  remembered: string | undefined;

  constructor(hosts: OverlayHosts, name: Host, remembered?: string, clock: Clock = systemClock) {
    this.remembered = remembered;
    this.graph = new CalculationGraph({
      nodeName: name,
      policy: true,
      // Both share a folder for the sockets of wireguard-go here: their devices need different names.
      environment: {
        Ipv6Support: 'false',
        WireguardInterfaceName: `wg-${name}.cali`,
        ProgramClusterRoutes: 'Enabled',
      },
    });
    this.dataplane = new Dataplane({
      kernel: hosts.kernel(name),
      onHostInterfaces: (interfaces) => this.graph.setHostInterfaces(interfaces),
      onEncryption: (states) => {
        this.states = states;
      },
      clock,
      tunnelMemory: {
        read: () => this.remembered,
        write: (text) => {
          this.remembered = text;
        },
      },
    });
  }

  async start(...updates: readonly Update[]): Promise<void> {
    expect(await this.dataplane.readHostInterfaces(), 'interfaces');
    this.update(...updates);
    expect(await this.dataplane.start(), 'start');
  }

  update(...updates: readonly Update[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  /** Its public key, as soon as it has one. */
  async key(): Promise<string> {
    const known = (): string | undefined => {
      const state = this.states?.[4];
      return state?.state === 'on' ? state.publicKey : undefined;
    };
    await settles('a key', () => known() !== undefined);
    return known() ?? '';
  }
}

class Pair {
  readonly hosts: OverlayHosts;
  h1: Felix;
  readonly h2: Felix;

  private constructor(hosts: OverlayHosts) {
    this.hosts = hosts;
    this.h1 = new Felix(hosts, 'h1');
    this.h2 = new Felix(hosts, 'h2');
  }

  /** The router knows the pods: without encryption they reach each other as they are. */
  static async start(): Promise<Pair> {
    const pair = new Pair(await OverlayHosts.make());
    try {
      for (const n of [1, 2]) pair.hosts.ip('router', `route add 10.244.${n}.0/26 via 10.${n}.0.1`);
      for (const felix of [pair.h1, pair.h2]) await felix.start(...cluster);
      return pair;
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  async encrypt(): Promise<readonly [string, string]> {
    const on = object('FelixConfiguration', 'default', { wireguardEnabled: true });
    for (const felix of [this.h1, this.h2]) felix.update(on);
    const keys = [await this.h1.key(), await this.h2.key()] as const;
    for (const felix of [this.h1, this.h2]) felix.update(node(1, keys[0]), node(2, keys[1]));
    return keys;
  }

  ping(...options: string[]) {
    return this.hosts.run('pod1', 'ping', '-n', '-c', '2', '-i', '0.2', '-W', '2', ...options, '10.244.2.5');
  }

  /** Until a ping passes: what it took to get there is not looked at. */
  async reaches(): Promise<void> {
    await settles('a ping passes', async () => (await this.ping()).code === 0);
  }

  wire(act: () => Promise<unknown>): Promise<string> {
    return this.hosts.capture('router', 'r2', 'ip', act);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const felix of [this.h1, this.h2]) {
      felix.update(object('FelixConfiguration', 'default', { wireguardEnabled: false }));
      await felix.dataplane.idle();
      await felix.dataplane.stop();
    }
    for (const name of ['h1', 'h2'] as const)
      await this.hosts.run(name, 'ip', 'link', 'del', `wg-${name}.cali`);
    await this.hosts[Symbol.asyncDispose]();
  }
}

test('FX-066 FX-092 FX-161 SR-015: clear text until encryption is switched on, then nothing but WireGuard on the wire, and back', {
  skip,
}, async () => {
  await using pair = await Pair.start();
  const { hosts } = pair;
  await pair.reaches();
  const clear = await pair.wire(() => pair.ping());
  assert.match(clear, /10\.244\.1\.5 > 10\.244\.2\.5: ICMP echo request/, 'SR-015');

  const [key1, key2] = await pair.encrypt();
  assert.notEqual(key1, key2);
  await settles('the routes', async () =>
    /dev wg-h1\.cali/.test((await hosts.run('h1', 'ip', 'route', 'show', 'table', '1')).output),
  );
  await pair.reaches();
  const sealed = await pair.wire(async () => assert.equal((await pair.ping()).code, 0));
  assert.match(sealed, /10\.1\.0\.1\.51820 > 10\.2\.0\.1\.51820: UDP/);
  assert.match(sealed, /10\.2\.0\.1\.51820 > 10\.1\.0\.1\.51820: UDP/);
  assert.doesNotMatch(sealed, /ICMP/);
  const inside = await hosts.capture('h2', 'wg-h2.cali', 'icmp', async () => void (await pair.ping()));
  assert.match(inside, /10\.244\.1\.5 > 10\.244\.2\.5: ICMP echo request/);

  assert.match(hosts.ip('h1', 'rule show'), /^99:\s+not from all fwmark 0x200000\/0x200000 lookup 1$/m);
  assert.match(
    hosts.ip('h1', 'route show table 1'),
    /^10\.244\.2\.0\/26 dev wg-h1\.cali proto 80 scope link/m,
  );
  assert.match(hosts.ip('h1', 'addr show wg-h1.cali'), /mtu 1440[\s\S]*inet 10\.244\.1\.1\/32/);
  const shown = (await hosts.run('h1', 'wg', 'show', 'wg-h1.cali')).output;
  assert.match(shown, new RegExp(`peer: ${key2.replaceAll('+', '\\+')}\\n\\s+endpoint: 10.2.0.1:51820`));
  assert.match(shown, /fwmark: 0x200000/);
  assert.match(shown, /allowed ips: .*10\.244\.2\.0\/26/);
  // FX-066: from the node's own address: the other side takes only what comes from the device's.
  await settles('the node reaches a pod elsewhere', async () => {
    const { code } = await hosts.run('h1', 'ping', '-nc1', '-W2', '-I', '10.1.0.1', '10.244.2.5');
    return code === 0;
  });
  // What fits passes uncut, what does not is told.
  assert.equal((await pair.ping('-M', 'do', '-s', '1400')).code, 0);
  assert.match((await pair.ping('-M', 'do', '-s', '1440')).output, /mtu = 1440|mtu=1440/);

  for (const felix of [pair.h1, pair.h2])
    felix.update(object('FelixConfiguration', 'default', { wireguardEnabled: false }), node(1), node(2));
  await settles(
    'the device goes',
    async () => (await hosts.run('h1', 'ip', 'link', 'show', 'wg-h1.cali')).code === 1,
  );
  await pair.reaches();
  assert.match(await pair.wire(() => pair.ping()), /10\.244\.1\.5 > 10\.244\.2\.5: ICMP echo request/);
  await pair.h1.dataplane.idle();
  assert.doesNotMatch(hosts.ip('h1', 'rule show'), /fwmark/);
  assert.equal((await hosts.run('h1', 'ip', 'route', 'show', 'table', '1')).output.trim(), '');
});

test('FX-092 FX-085: drift: device, peers, rule and routes come back, with the key that others know', {
  skip,
}, async () => {
  await using pair = await Pair.start();
  const { hosts } = pair;
  const [key1] = await pair.encrypt();
  await pair.reaches();
  const back = async (what: string, act: () => unknown, isBack: () => Promise<boolean>): Promise<void> => {
    await act();
    await settles(what, isBack);
  };
  const shows = async (wanted: RegExp, ...command: string[]): Promise<boolean> =>
    wanted.test((await hosts.run('h1', ...command)).output);
  await back(
    'the rule',
    () => hosts.ip('h1', 'rule del pref 99'),
    () => shows(/lookup 1$/m, 'ip', 'rule'),
  );
  await back(
    'the route',
    () => hosts.ip('h1', 'route del 10.244.2.0/26 table 1'),
    () => shows(/10\.244\.2\.0\/26/, 'ip', 'route', 'show', 'table', '1'),
  );
  await back(
    'the address',
    () => hosts.ip('h1', 'addr flush dev wg-h1.cali'),
    () => shows(/10\.244\.1\.1\/32/, 'ip', 'addr', 'show', 'wg-h1.cali'),
  );
  // With the device the program ends that serves it, where the kernel has none of its own.
  await back(
    'the device',
    () => hosts.ip('h1', 'link del wg-h1.cali'),
    () => shows(/latest handshake|allowed ips: .*10\.244\.2\.0/, 'wg', 'show', 'wg-h1.cali'),
  );
  assert.equal((await hosts.run('h1', 'wg', 'show', 'wg-h1.cali', 'public-key')).output.trim(), key1);
  await back(
    'a peer',
    async () => {
      const [peer] = (await hosts.run('h1', 'wg', 'show', 'wg-h1.cali', 'peers')).output.trim().split('\n');
      await hosts.run('h1', 'wg', 'set', 'wg-h1.cali', 'peer', peer ?? '', 'remove');
      // Nothing tells of it: the audit finds it.
      pair.h1.update(
        object('FelixConfiguration', 'default', { wireguardEnabled: true, routeRefreshInterval: '1s' }),
      );
    },
    () => shows(/allowed ips: .*10\.244\.2\.0/, 'wg', 'show', 'wg-h1.cali'),
  );
  await pair.reaches();
  const sealed = await pair.wire(() => pair.ping());
  assert.doesNotMatch(sealed, /ICMP/);
});

test('FX-092 OT-080: traffic of hosts when that is asked for; a node that gives encryption up is reached in clear text', {
  skip,
}, async () => {
  await using pair = await Pair.start();
  await pair.encrypt();
  await pair.reaches();
  // A host's own traffic: pods are encrypted, hosts are not, unless that is asked for.
  const hosts = await pair.wire(() => pair.hosts.run('h1', 'ping', '-n', '-c', '1', '-W', '2', '10.2.0.1'));
  assert.match(hosts, /10\.1\.0\.1 > 10\.2\.0\.1: ICMP echo request/);
  const all = object('FelixConfiguration', 'default', {
    wireguardEnabled: true,
    wireguardHostEncryptionEnabled: true,
  });
  for (const felix of [pair.h1, pair.h2]) felix.update(all);
  await settles('routes to hosts', async () =>
    /10\.2\.0\.1 dev wg/.test((await pair.hosts.run('h1', 'ip', 'route', 'show', 'table', '1')).output),
  );
  pair.hosts.sysctl('h2', 'net/ipv4/conf/all/rp_filter', '1');
  const toHost = (): Promise<{ code: number }> =>
    pair.hosts.run('h1', 'ping', '-n', '-c', '1', '-W', '2', '10.2.0.1');
  await settles('hosts reach each other', async () => (await toHost()).code === 0);
  const sealed = await pair.wire(async () => assert.equal((await toHost()).code, 0));
  assert.doesNotMatch(sealed, /ICMP/);
  assert.match(sealed, /51820: UDP/);
  // The other gives encryption up: in clear text again.
  pair.h1.update(node(2));
  pair.h2.update(object('FelixConfiguration', 'default', { wireguardEnabled: false }), node(2));
  await pair.reaches();
  assert.match(await pair.wire(() => pair.ping()), /10\.244\.1\.5 > 10\.244\.2\.5: ICMP echo request/);
});

test('FX-092: a node whose own traffic is encrypted, and that lost its device, reaches others before it knows anything, by what it remembers; or in clear text, in turns', {
  skip,
}, async () => {
  await using pair = await Pair.start();
  const { hosts } = pair;
  const [key] = await pair.encrypt();
  const all = object('FelixConfiguration', 'default', {
    wireguardEnabled: true,
    wireguardHostEncryptionEnabled: true,
  });
  for (const felix of [pair.h1, pair.h2]) felix.update(all);
  const toHost = async (): Promise<boolean> =>
    (await hosts.run('h1', 'ping', '-n', '-c', '1', '-W', '2', '10.2.0.1')).code === 0;
  const hasRoute = async (host: Host, address: string): Promise<boolean> =>
    (await hosts.run(host, 'ip', 'route', 'show', 'table', '1')).output.includes(address);
  await settles(
    'routes to hosts',
    async () => (await hasRoute('h1', '10.2.0.1')) && hasRoute('h2', '10.1.0.1'),
  );
  await settles('hosts reach each other', toHost);
  await settles('it is remembered', () => pair.h1.remembered?.includes('"dst":"10.2.0.1/32"') === true);

  // The machine of h1 starts anew: nothing is left but its disk.
  const disk = pair.h1.remembered;
  await pair.h1.dataplane.stop();
  for (const lost of ['link del wg-h1.cali', 'rule del pref 99', 'route flush table 1'])
    await hosts.run('h1', 'ip', ...lost.split(' '));
  assert.equal(await toHost(), false, 'what comes back is encrypted for a key that is gone');
  const clock = new VirtualClock();
  const bootstrap = new Felix(hosts, 'h1', disk, clock).dataplane.tunnelBootstrap();
  assert.ok(bootstrap !== undefined);
  await bootstrap.start();
  await settles('the other is reached', toHost);
  assert.doesNotMatch(await pair.wire(toHost), /ICMP/);

  // The other has stopped to encrypt what hosts say: by turns it is reached all the same.
  pair.h2.update(object('FelixConfiguration', 'default', { wireguardEnabled: true }));
  await settles('no route to the host', async () => !(await hasRoute('h2', '10.1.0.1')));
  clock.advance(20_000);
  await settles('in clear text', toHost);
  assert.ok(await hasRoute('h1', '10.244.2.0'), 'pods stay encrypted');
  pair.h2.update(all);
  await settles('a route to the host', () => hasRoute('h2', '10.1.0.1'));
  clock.advance(20_000);
  await settles('encrypted again', toHost);
  await bootstrap.stop();

  // What the datastore says then is no other key.
  pair.h1 = new Felix(hosts, 'h1', disk);
  await pair.h1.start(...cluster, all, node(1, key), node(2, await pair.h2.key()));
  assert.equal(await pair.h1.key(), key);
  await pair.reaches();
});
