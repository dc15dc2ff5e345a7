// What an overlay repairs, and overlays in both families: labs of their own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../support/lab-router.ts';
import { margay, TestLab, type TestPod, without } from '../support/lab.ts';

const skip = without('kubectl', 'tcpdump', 'ip', 'ping');

const pingTo = (lab: TestLab, from: TestPod, address: string): Promise<string> =>
  lab.inPod(from, `ping -n -c1 -W1 ${address} || true`);

test('SR-098 SR-099: a fabric that knows no pods loses their packets, until IPIP or VXLAN carries them', {
  skip,
}, async () => {
  const lab = await TestLab.up('blackhole', ['--topology', 'two-racks', '--no-fabric-bgp']);
  try {
    const pods = await lab.deploy(4);
    const from = pods.find((p) => p.node === 'worker1');
    const near = pods.find((p) => p.node === 'worker2');
    const far = pods.find((p) => p.node === 'worker3');
    assert.ok(from !== undefined && near !== undefined && far !== undefined);
    await eventually(
      'the neighbour',
      () => pingTo(lab, from, near.address),
      (text) => text.includes('ttl=62'),
    );
    assert.match(await pingTo(lab, from, far.address), /100% packet loss/);
    for (const mode of ['ipip-crosssubnet', 'vxlan', 'bgp', 'vxlan-crosssubnet', 'ipip'] as const) {
      const switched = await margay(['lab', 'mode', '--name', lab.name, mode]);
      assert.equal(switched.code, 0, switched.err);
      await eventually(
        `${mode}: the other rack`,
        () => pingTo(lab, from, far.address),
        (text) => text.includes(mode === 'bgp' ? '100% packet loss' : 'ttl=62'),
      );
    }
  } finally {
    await lab.down();
  }
});

test('FX-090: VXLAN of both families', { skip }, async () => {
  const lab = await TestLab.up('dual', [
    '--topology',
    'flat',
    '--nodes',
    '2',
    '--dual-stack',
    '--mode',
    'vxlan',
  ]);
  try {
    const pods = await lab.deploy(4);
    const [first] = pods;
    const other = pods.find((p) => p.node !== first?.node);
    assert.ok(first !== undefined && other !== undefined);
    for (const address of other.addresses)
      await eventually(
        `to ${address}`,
        () => pingTo(lab, first, address),
        (text) => text.includes('ttl=62'),
      );
    const link = await lab.sh(first.node, 'ip -d addr show vxlan-v6.calico');
    assert.match(link, /mtu 1430/);
    assert.match(link, /vxlan id 4096 local fd\S+ dev eth0 .*dstport 4789 nolearning/);
    assert.match(link, /inet6 fd00:192:168:\S+\/128/);
    assert.match(
      await lab.sh(first.node, 'ip -6 route'),
      /^fd00:192:168:\S+\/122 via fd00:192:168:\S+ dev vxlan-v6.calico/m,
    );
    assert.match(await lab.sh(first.node, 'ip -6 neigh show dev vxlan-v6.calico'), /lladdr 66:\S+ PERMANENT/);
    const v6 = other.addresses.find((a) => a.includes(':')) ?? '';
    const wire = await lab.capture(
      first.node,
      { device: 'eth0', filter: 'ip6 and udp port 4789', flags: '-v', end: 2 },
      `nsenter --net=${first.netns} -- ping -n -c 2 -i 0.2 -W 1 ${v6}`,
    );
    assert.match(wire, /VXLAN, flags \[I\] \(0x08\), vni 4096/);
    assert.match(wire, /ICMP6, echo request/);
    await lab.inPod(first, `ping -n -c 2 -W 2 -M do -s 1380 ${v6}`);
  } finally {
    await lab.down();
  }
});
