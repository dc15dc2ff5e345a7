// What a pod, a pool or the network configuration can ask of the plugin, each as a request to the agent.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { address, containsAddress, prefix, type Prefix } from '../lib/ip/mod.ts';
import { expect } from '../lib/result.ts';
import { conflist } from './install.ts';
import { added, type Machine, withMachine } from './stage.test.ts';

const v3 = 'projectcalico.org/v3';
const annotation = (name: string, value: unknown): Record<string, string> => ({
  [`cni.projectcalico.org/${name}`]: typeof value === 'string' ? value : JSON.stringify(value),
});
function addPool(machine: Machine, name: string, cidr: string, spec: object = {}): Prefix {
  machine.store.put('IPPool', {
    apiVersion: v3,
    kind: 'IPPool',
    metadata: { name },
    spec: { cidr, ...spec },
  } as never);
  return prefix(cidr);
}
const bare = (text: string | undefined) => address((text ?? '').replace(/\/.*/, ''));

describe('pools', () => {
  it('SR-079, SR-085: of several pools the pod’s annotation chooses, by name and by CIDR', () =>
    withMachine(async (machine, netns) => {
      const second = addPool(machine, 'pool-2', '10.250.0.0/24');
      machine.addPod('by-name', annotation('ipv4pools', ['pool-2']));
      machine.addPod('by-cidr', annotation('ipv4pools', ['10.250.0.0/24']));
      machine.addPod('nowhere', annotation('ipv4pools', ['no-such-pool']));
      const agent = await machine.startAgent();
      for (const pod of ['by-name', 'by-cidr']) {
        const result = added(
          await agent.run({ command: 'ADD', container: pod, pod, netns: await netns(pod) }),
        );
        assert.ok(containsAddress(second, bare(result.ips[0]?.address)));
      }
      const refused = await agent.run({
        command: 'ADD',
        container: 'nowhere',
        pod: 'nowhere',
        netns: await netns('nowhere'),
      });
      assert.equal(refused.exitCode, 1);
      assert.match(refused.output, /no-such-pool/);
    }));

  it('RS-024: a disabled pool gives no address, and its pods can still be removed', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('before');
      machine.addPod('after');
      const agent = await machine.startAgent();
      const add = (pod: string, path: string) =>
        agent.run({ command: 'ADD', container: pod, pod, netns: path });
      const first = await netns('before');
      added(await add('before', first));
      addPool(machine, 'pool-1', '10.244.0.0/24', { blockSize: 29, disabled: true });
      assert.equal((await add('after', await netns('after'))).exitCode, 1);
      assert.equal(machine.allocated().length, 1, 'the earlier one keeps its address');
      await agent.run({ command: 'DEL', container: 'before', pod: 'before', netns: first });
      assert.deepEqual(machine.allocated(), []);
    }));

  it('SR-080: a pool of one block of two addresses gives two addresses', () =>
    withMachine(async (machine, netns) => {
      addPool(machine, 'tiny', '10.251.0.0/31', { blockSize: 31 });
      const agent = await machine.startAgent();
      const outcomes: string[] = [];
      for (const pod of ['a', 'b', 'c']) {
        machine.addPod(pod, annotation('ipv4pools', ['tiny']));
        const response = await agent.run({ command: 'ADD', container: pod, pod, netns: await netns(pod) });
        outcomes.push(response.exitCode === 0 ? (added(response).ips[0]?.address ?? '') : 'refused');
      }
      assert.deepEqual(outcomes.toSorted(), ['10.251.0.0/32', '10.251.0.1/32', 'refused']);
    }));

  it('SR-088: a reserved address is given to nobody who does not ask for it', () =>
    withMachine(async (machine, netns) => {
      addPool(machine, 'tiny', '10.251.0.0/30', { blockSize: 30 });
      machine.store.put('IPReservation', {
        apiVersion: v3,
        kind: 'IPReservation',
        metadata: { name: 'r' },
        spec: { reservedCIDRs: ['10.251.0.0/31'] },
      } as never);
      const agent = await machine.startAgent();
      const outcomes: string[] = [];
      for (const pod of ['a', 'b', 'c']) {
        machine.addPod(pod, annotation('ipv4pools', ['tiny']));
        const response = await agent.run({ command: 'ADD', container: pod, pod, netns: await netns(pod) });
        outcomes.push(response.exitCode === 0 ? (added(response).ips[0]?.address ?? '') : 'refused');
      }
      assert.deepEqual(outcomes.toSorted(), ['10.251.0.2/32', '10.251.0.3/32', 'refused']);
      machine.addPod('asks', annotation('ipAddrs', ['10.251.0.1']));
      const asked = await agent.run({
        command: 'ADD',
        container: 'asks',
        pod: 'asks',
        netns: await netns('asks'),
      });
      assert.equal(added(asked).ips[0]?.address, '10.251.0.1/32');
    }));
});

describe('families', () => {
  const both = { ipam: { type: 'calico-ipam', assign_ipv4: 'true', assign_ipv6: 'true' } };

  it('CN-011: both families; the pod’s routes lead to the gateway of each', () =>
    withMachine(async (machine, netns) => {
      addPool(machine, 'v6', 'fd00:10::/64');
      machine.addPod('web');
      machine.addPod('only6', annotation('ipFamilies', ['IPv6']));
      const agent = await machine.startAgent();
      const path = await netns('web');
      const result = added(
        await agent.run({ command: 'ADD', container: 'c1', pod: 'web', netns: path, extra: both }),
      );
      assert.match(
        result.ips.map((ip) => ip.address).join(),
        /^10\.244\.0\.\d+\/32,fd00:10::[0-9a-f:]+\/128$/,
      );
      const routes = expect(await machine.host.kernel(path).routes.list({ table: 254 }), 'routes');
      const gateways = routes.filter((r) => r.dst.endsWith('/0')).map((r) => r.nextHops[0]?.gateway);
      assert.deepEqual(gateways.map(String).toSorted(), ['169.254.1.1', 'fe80::ecee:eeff:feee:eeee']);
      const six = added(
        await agent.run({ command: 'ADD', container: 'c2', pod: 'only6', netns: await netns('only6') }),
      );
      assert.match(six.ips.map((ip) => ip.address).join(), /^fd00:10::[0-9a-f:]+\/128$/);
    }));

  it('CN-011: when one family has no address, the other one is given back', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('web');
      const agent = await machine.startAgent();
      const refused = await agent.run({
        command: 'ADD',
        container: 'c1',
        pod: 'web',
        netns: await netns('web'),
        extra: both,
      });
      assert.equal(refused.exitCode, 1);
      assert.match(refused.output, /IPv6/);
      assert.deepEqual(machine.allocated(), []);
      assert.deepEqual(machine.store.all('IPAMHandle'), []);
      assert.deepEqual(await machine.hostLinks(), []);
    }));
});

describe('before a pod', () => {
  it('CN-004, RS-181: an agent or datastore that is not ready refuses ADD with the reason; DEL works', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('web');
      const agent = await machine.startAgent();
      const request = { container: 'c1', pod: 'web', netns: await netns('web') };
      machine.notReady = 'ClusterInformation says that the datastore is not ready.';
      const refused = await agent.run({ command: 'ADD', ...request });
      assert.equal(refused.exitCode, 1);
      assert.deepEqual(
        [(JSON.parse(refused.output) as { code: number }).code, /not ready/.test(refused.output)],
        [11, true],
      );
      assert.equal((await agent.run({ command: 'STATUS', container: '' })).exitCode, 1);
      assert.deepEqual(machine.allocated(), []);
      assert.equal((await agent.run({ command: 'DEL', ...request })).exitCode, 0);
      machine.notReady = undefined;
      assert.equal((await agent.run({ command: 'STATUS', container: '' })).exitCode, 0);
      added(await agent.run({ command: 'ADD', ...request }));
    }));

  it('CN-016: ADD waits for the readiness gates of the configuration', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('web');
      const agent = await machine.startAgent();
      const asked: string[] = [];
      const gate = createServer((request, response) => {
        asked.push(request.url ?? '');
        assert.deepEqual(machine.allocated(), [], 'nothing is done before the gate opens');
        response.writeHead(asked.length === 1 ? 503 : 200).end();
      });
      await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
      try {
        const url = `http://127.0.0.1:${(gate.address() as AddressInfo).port}/ready`;
        added(
          await agent.run({
            command: 'ADD',
            container: 'c1',
            pod: 'web',
            netns: await netns('web'),
            extra: { readiness_gates: [url] },
          }),
        );
        assert.deepEqual(asked, ['/ready', '/ready']);
      } finally {
        gate.closeAllConnections();
        gate.close();
      }
    }));
});

describe('CHECK', () => {
  it('CN-002: succeeds while everything is there, and names what is missing', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('web');
      const agent = await machine.startAgent();
      const request = { container: 'c1', pod: 'web', netns: await netns('web') };
      const result = added(await agent.run({ command: 'ADD', ...request }));
      const kernel = machine.host.kernel();
      const link = expect(await kernel.links.get(result.interfaces[0]?.name ?? ''), 'link');
      assert.ok(link !== undefined);
      // Felix's part: the machine of this test has none.
      await kernel.routes.apply([
        {
          op: 'add',
          route: {
            dst: prefix(result.ips[0]?.address ?? ''),
            type: 'unicast',
            table: 254,
            protocol: 3,
            scope: 'link',
            priority: 1024,
            nextHops: [{ linkIndex: link.index }],
          },
        },
      ]);
      const healthy = await agent.run({ command: 'CHECK', ...request });
      assert.equal(healthy.exitCode, 0, healthy.output);
      await kernel.links.delete([link.index]);
      const broken = await agent.run({ command: 'CHECK', ...request });
      assert.equal(broken.exitCode, 1);
      assert.match(broken.output, /Host interface cali[0-9a-f]{11} is missing/);
    }));
});

describe('address management', () => {
  it('CN-019: calico-ipam alone gives and takes back addresses, without any interface', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('web');
      const agent = await machine.startAgent();
      const request = {
        container: 'c1',
        pod: 'web',
        netns: await netns('web'),
        program: 'calico-ipam',
      } as const;
      const result = added(await agent.run({ command: 'ADD', ...request }));
      assert.match(result.ips[0]?.address ?? '', /^10\.244\.0\.\d+\/32$/);
      assert.deepEqual(await machine.hostLinks(), []);
      assert.equal(machine.store.all('IPAMHandle')[0]?.spec.handleID, 'k8s-pod-network.c1');
      for (let i = 0; i < 2; i++) assert.equal((await agent.run({ command: 'DEL', ...request })).exitCode, 0);
      assert.deepEqual(machine.allocated(), []);
    }));

  it('CN-015: another plugin gives the address; it gets the node’s own range for usePodCidr', () =>
    withMachine(async (machine, netns) => {
      const folder = mkdtempSync(join(tmpdir(), 'margay-ipam-'));
      try {
        const plugin = join(folder, 'host-local');
        writeFileSync(
          plugin,
          `#!/bin/sh\ncat > ${folder}/$CNI_COMMAND\n[ $CNI_COMMAND = DEL ] || echo '{"cniVersion":"1.0.0","ips":[{"address":"10.99.1.7/24"}]}'\n`,
        );
        chmodSync(plugin, 0o755);
        machine.store.put('KubernetesNode', {
          apiVersion: 'v1',
          kind: 'Node',
          metadata: { name: 'node1' },
          spec: { podCIDR: '10.99.1.0/24', podCIDRs: ['10.99.1.0/24'] },
        } as never);
        machine.addPod('web');
        const agent = await machine.startAgent();
        const request = {
          container: 'c1',
          pod: 'web',
          netns: await netns('web'),
          path: folder,
          extra: { ipam: { type: 'host-local', subnet: 'usePodCidr' } },
        };
        const result = added(await agent.run({ command: 'ADD', ...request }));
        assert.equal(result.ips[0]?.address, '10.99.1.7/32');
        const given = JSON.parse(readFileSync(join(folder, 'ADD'), 'utf8')) as { ipam: { subnet: string } };
        assert.equal(given.ipam.subnet, '10.99.1.0/24');
        assert.deepEqual(machine.allocated(), []);
        assert.equal((await agent.run({ command: 'DEL', ...request })).exitCode, 0);
        assert.ok(readFileSync(join(folder, 'DEL'), 'utf8').includes('host-local'));
        const absent = await agent.run({
          command: 'ADD',
          ...request,
          container: 'c2',
          extra: { ipam: { type: 'no-such-plugin' } },
        });
        assert.match(absent.output, /no plugin .*no-such-plugin/);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }));
});

it('SR-223, SR-224: the network configuration list: calico with calico-ipam, then portmap', () => {
  assert.deepEqual(conflist({ portmap: true, kubeconfig: '/etc/cni/net.d/calico-kubeconfig' }), {
    name: 'k8s-pod-network',
    cniVersion: '1.0.0',
    plugins: [
      {
        type: 'calico',
        log_level: 'info',
        datastore_type: 'kubernetes',
        mtu: 0,
        ipam: { type: 'calico-ipam', assign_ipv4: 'true', assign_ipv6: 'false' },
        policy: { type: 'k8s' },
        kubernetes: { kubeconfig: '/etc/cni/net.d/calico-kubeconfig' },
      },
      { type: 'portmap', snat: true, capabilities: { portMappings: true } },
    ],
  });
});
