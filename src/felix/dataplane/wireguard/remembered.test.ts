// What a node remembers of WireGuard, on a fake kernel.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../../lib/result.ts';
import { until } from '../../../lib/wait.ts';
import { FakeHost, newPrivateKey, publicKeyOf } from '../../../kernel/mod.ts';
import type { Address } from '../../../lib/ip/mod.ts';
import { CalculationGraph, type CalcUpdate } from '../../calc/mod.ts';
import { Dataplane } from '../dataplane.ts';
import { parseRemembered } from './remembered.ts';

const set = (kind: string, name: string, spec: object, status: object = {}): CalcUpdate =>
  ({ type: 'set', kind, object: { kind, metadata: { name }, spec, status } }) as never;
const other = publicKeyOf(newPrivateKey()) ?? '';

class Machine {
  host = new FakeHost();
  disk: string | undefined;

  async agent(spec: object): Promise<Dataplane> {
    const kernel = this.host.kernel();
    const graph = new CalculationGraph({ nodeName: 'n1', policy: true });
    const dataplane = new Dataplane({
      kernel,
      onHostInterfaces: (interfaces) => graph.setHostInterfaces(interfaces),
      tunnelMemory: {
        read: () => this.disk,
        write: (text) => {
          this.disk = text;
        },
      },
    });
    const link = expect(
      await kernel.links.create({ name: 'eth0', kind: 'veth', up: true, peer: { name: 'far' } }),
      'eth0',
    );
    const own = { address: '10.0.0.1' as Address, length: 24, linkIndex: link.index };
    await kernel.addresses.apply([{ op: 'add', address: own }]);
    expect(await dataplane.readHostInterfaces(), 'interfaces');
    graph.update(
      set('FelixConfiguration', 'default', { wireguardEnabled: true, ipv6Support: false, ...spec }),
    );
    graph.update(set('Node', 'n1', { bgp: { ipv4Address: '10.0.0.1/24' } }));
    graph.update(set('Node', 'n2', { bgp: { ipv4Address: '10.0.0.2/24' } }, { wireguardPublicKey: other }));
    dataplane.apply(graph.flush());
    expect(await dataplane.start(), 'start');
    return dataplane;
  }

  async key(): Promise<string | undefined> {
    const find = async (): Promise<string | undefined> => {
      const device = await this.host.kernel().wireguard.read('wireguard.cali');
      return device.ok ? device.value?.privateKey : undefined;
    };
    return until(find, { timeoutMs: 10_000 });
  }

  async remembers(wanted: (text: string | undefined) => boolean): Promise<void> {
    const isSo = await until(() => (wanted(this.disk) ? true : undefined), { timeoutMs: 10_000 });
    assert.ok(isSo === true, `on the disk: ${this.disk ?? 'nothing'}`);
  }
}

test('FX-092: a machine that starts anew has the key that others know; without encryption nothing is remembered', async () => {
  const machine = new Machine();
  const first = await machine.agent({});
  const key = await machine.key();
  await machine.remembers((text) => text?.includes(other) === true && text.includes(key ?? '?'));
  await first.stop();
  assert.equal(parseRemembered(machine.disk)?.encryptsHosts, false);

  machine.host = new FakeHost();
  const second = await machine.agent({});
  assert.equal(await machine.key(), key);
  await second.stop();

  machine.host = new FakeHost();
  const third = await machine.agent({ wireguardEnabled: false });
  await machine.remembers((text) => text === undefined);
  await third.stop();
});

test('FX-092: only a node whose own traffic is encrypted has tunnels before it knows anything, and only where they are gone', async () => {
  const machine = new Machine();
  const first = await machine.agent({ wireguardHostEncryptionEnabled: true });
  const key = await machine.key();
  await machine.remembers((text) => text?.includes('"dst":"10.0.0.2/32"') === true);
  await first.stop();
  const boot = async (): Promise<Dataplane> => {
    const dataplane = new Dataplane({
      kernel: machine.host.kernel(),
      tunnelMemory: { read: () => machine.disk, write: () => assert.fail('nothing is learned') },
    });
    const bootstrap = dataplane.tunnelBootstrap();
    await bootstrap?.start();
    await bootstrap?.stop();
    return dataplane;
  };
  machine.host = new FakeHost();
  await boot();
  await boot();
  const kernel = machine.host.kernel();
  const device = expect(await kernel.wireguard.read('wireguard.cali'), 'device');
  assert.equal(device?.privateKey, key);
  assert.deepEqual(
    device?.peers.map(({ publicKey, allowed }) => [publicKey, ...allowed]),
    [[other, '10.0.0.2/32']],
  );
  assert.deepEqual(
    expect(await kernel.routes.list({ table: 1 }), 'routes').map(({ dst }) => dst),
    ['10.0.0.2/32'],
  );
  assert.equal(expect(await kernel.rules.list(4), 'rules').filter(({ table }) => table === 1).length, 1);

  machine.host = new FakeHost();
  machine.disk = machine.disk?.replace('"encryptsHosts":true', '"encryptsHosts":false');
  await boot();
  assert.equal(expect(await machine.host.kernel().wireguard.read('wireguard.cali'), 'device'), undefined);
  for (const text of ['', '{', 'null', '[]', '{"version":1}', '{"version":2,"devices":[]}'])
    assert.equal(parseRemembered(text), undefined, text);
});
