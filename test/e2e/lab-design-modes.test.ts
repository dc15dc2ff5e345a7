// Every routing mode with every design, and VXLAN of both families looked at closely, on one lab.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testDesigns } from '../support/design-matrix.ts';
import { margay, podOn, without } from '../support/lab.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const shared = testDesigns('modes', ['mesh', 'rr', 'as-per-rack', 'as-per-server']);

test('FX-090: VXLAN of both families', { skip: without('kubectl', 'tcpdump', 'ip', 'ping') }, async () => {
  const { lab, pods } = shared();
  assert.equal((await margay(['lab', 'mode', '--name', lab.name, 'vxlan'])).code, 0);
  await matrixIsComplete(lab, pods, { mode: 'vxlan' });
  const first = podOn(pods, 'worker1');
  const other = pods.find((p) => p.node !== first.node);
  const link = await lab.sh(first.node, 'ip -d addr show vxlan-v6.calico');
  assert.match(link, /mtu 1430/);
  assert.match(link, /vxlan id 4096 local fd\S+ dev eth0 .*dstport 4789 nolearning/);
  assert.match(link, /inet6 fd00:192:168:\S+\/128/);
  assert.match(
    await lab.sh(first.node, 'ip -6 route'),
    /^fd00:192:168:\S+\/122 via fd00:192:168:\S+ dev vxlan-v6.calico/m,
  );
  assert.match(await lab.sh(first.node, 'ip -6 neigh show dev vxlan-v6.calico'), /lladdr 66:\S+ PERMANENT/);
  const v6 = other?.addresses.find((a) => a.includes(':')) ?? '';
  const wire = await lab.capture(
    first.node,
    { device: 'eth0', filter: 'ip6 and udp port 4789', flags: '-v', end: 'ICMP6, echo reply' },
    `nsenter --net=${first.netns} -- ping -n -c 2 -i 0.2 -W 1 ${v6}`,
  );
  assert.match(wire, /VXLAN, flags \[I\] \(0x08\), vni 4096/);
  assert.match(wire, /ICMP6, echo request/);
  await lab.inPod(first, `ping -n -c 2 -W 2 -M do -s 1380 ${v6}`);
});
