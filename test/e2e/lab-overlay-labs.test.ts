// What an overlay repairs, on a lab whose fabric knows no pods.
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
