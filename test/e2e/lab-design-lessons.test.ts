// Every lesson on one lab: each says itself whether the captures show what it teaches.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { margay, TestLab, without } from '../support/lab.ts';
import { eventually } from '../support/lab-router.ts';

const skip = without('ip', 'ping');
let lab: TestLab;

before(async () => {
  if (skip === false) lab = await TestLab.up('lessons', ['--topology', 'two-racks']);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

const teach = async (name: string): Promise<string> => {
  const { code, out, err } = await margay(['lab', 'lesson', name, '--name', lab.name]);
  assert.equal(code, 0, out + err);
  return out;
};
/** The part of one ping. */
const partOf = (text: string, which: 'same' | 'other'): string =>
  text.split('── ').find((part) => part.startsWith(`To a pod of the ${which} rack`)) ?? '';

for (const [name, ids] of [
  ['mesh', 'SR-003, SR-061, SR-130'],
  ['rr', 'SR-003, SR-143, SR-145'],
  ['as-per-rack', 'SR-003, SR-149, SR-152'],
  ['as-per-server', 'SR-003, SR-150, SR-152'],
] as const)
  test(`${ids}: lesson ${name}: one IP header everywhere, TTL 62 and 59, a route by BGP on every router`, {
    skip,
  }, async () => {
    const far = partOf(await teach(name), 'other');
    assert.match(far, /ttl=59/);
    assert.doesNotMatch(far, /OUTER ADDRESSES/);
    // Pod, node, leaf (port and bridge), uplink, both of the spine, leaf again, node, pod.
    assert.equal(far.match(/ out |  in  /g)?.length, 14, far);
    assert.match(far, /worker1 +eth0 +out +02:00:0a:00:00:15 → 02:00:0a:00:00:fe/);
    assert.match(far, /worker3 +eth0 +in +02:00:1e:00:00:fe → 02:00:1e:00:00:17/);
    for (const router of ['worker1', 'leaf01', 'spine', 'leaf02'])
      assert.match(
        far,
        new RegExp(`${router} +192\\.168\\.[\\d.]+ +192\\.168\\.[\\d.]+/26 via .* proto bird`),
      );
  });

test('SR-098, SR-135: lesson mesh-black-hole: the leaf has no route to the pod, nor to the one that asks', {
  skip,
}, async () => {
  const text = await teach('mesh-black-hole');
  assert.match(partOf(text, 'same'), /ttl=62/);
  const far = partOf(text, 'other');
  assert.match(far, /Nothing came back/);
  assert.match(far, /leaf01 +192\.168\.[\d.]+ +none \(Network is unreachable\)/);
  assert.doesNotMatch(far, /spine/);
});

for (const [name, near, far] of [
  ['ipip', 'IPIP', 'IPIP'],
  ['ipip-crosssubnet', undefined, 'IPIP'],
  ['vxlan', 'VXLAN 4096', 'VXLAN 4096'],
  ['vxlan-crosssubnet', undefined, 'VXLAN 4096'],
] as const)
  test(`lesson ${name}: what travels inside of what, in a rack and across racks`, { skip }, async () => {
    const text = await teach(name);
    for (const [which, how] of [
      ['same', near],
      ['other', far],
    ] as const) {
      const part = partOf(text, which);
      assert.match(part, /ttl=62/);
      if (how === undefined) assert.doesNotMatch(part, /OUTER ADDRESSES/);
      else assert.match(part, new RegExp(`worker1 +eth0 +out .* 10\\.0\\.0\\.21 → \\S+ ${how} TTL 64`));
    }
  });

test('FX-092, SR-015: lesson wireguard: the fabric sees nodes and UDP, and no pod; the next lesson is clear text again', {
  skip: without('wireguard-go'),
}, async () => {
  const text = await teach('wireguard');
  for (const which of ['same', 'other'] as const) {
    const part = partOf(text, which);
    assert.match(part, /ttl=62/);
    assert.match(part, /worker1 +wireguard\.cali +out +\(no Ethernet\) +192\.168\./);
    assert.match(part, /worker1 +eth0 +out .* 10\.0\.0\.21 → \S+ WireGuard TTL 64 +\(encrypted\)/);
    assert.match(part, /worker1 +192\.168\.\S+ +192\.168\.\S+ dev wireguard\.cali table 1 proto 80/);
    for (const line of part.split('\n').filter((l) => /^ +(leaf|spine)\S+ .*→/.test(l)))
      assert.match(line, /\(encrypted\)/);
  }
  assert.doesNotMatch(await teach('mesh'), /encrypted/);
});

test('lessons are listed; one that does not exist is refused with the list; nothing stays behind', {
  skip,
}, async () => {
  const listed = await margay(['lab', 'lessons']);
  assert.match(listed.out, /^as-per-rack +An AS per rack$/m);
  const refused = await margay(['lab', 'lesson', 'geometry', '--name', lab.name]);
  assert.equal(refused.code, 1);
  assert.match(refused.err, /no lesson "geometry".*mesh-black-hole/);
  // No capture outlives its lesson.
  await eventually(
    'no process listens any more',
    () => lab.sh('worker1', 'ps -eo args= | grep -c "[l]ab capture" || true'),
    (text) => text.trim() === '0',
  );
});
