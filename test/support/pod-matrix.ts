// Every pod asks every pod of a lab, in every family: what it sees and which way it goes, against what topology and mode let
// expect.
import type { ModeName } from '../../src/lab/modes.ts';
import { expectBetween, planTopology, type Topology } from '../../src/lab/topology/mod.ts';
import { expect } from '../../src/lib/result.ts';
import type { TestLab, TestPod } from './lab.ts';
import { eventually } from './lab-router.ts';

/** The device by which a packet leaves its node. Modes differ in this where they do not in TTL: a change of mode is only over
 *  when every node has it. */
function deviceBetween(topology: Topology, from: string, to: string, mode: ModeName, family: 4 | 6): string {
  const rackOf = (name: string): string | undefined => topology.machines.find((m) => m.name === name)?.rack;
  if (from === to) return 'cali';
  if (mode === 'bgp' || (mode.endsWith('crosssubnet') && rackOf(from) === rackOf(to))) return 'eth0';
  if (mode.startsWith('ipip')) return family === 4 ? 'tunl0' : 'eth0';
  return family === 4 ? 'vxlan.calico' : 'vxlan-v6.calico';
}

/** Waits until every pair sees the TTL of its way, on the device of the mode; the error names the pairs that do not. */
export async function matrixIsComplete(
  lab: TestLab,
  pods: readonly TestPod[],
  { mode = 'bgp', timeoutMs = 120_000 }: { readonly mode?: ModeName; readonly timeoutMs?: number } = {},
): Promise<void> {
  const status = await lab.status();
  const nodes = status.machines.filter((m) => m.role === 'node').length;
  const topology = expect(planTopology({ ...status, name: status.topology, nodes }), 'topology');
  const wanted = (from: TestPod, to: TestPod, address: string): string => {
    if (from === to) return 'ttl=64';
    const family = address.includes(':') ? 6 : 4;
    const expected = expectBetween(topology, from.node, to.node, { mode, family });
    const device = deviceBetween(topology, from.node, to.node, mode, family);
    return `${expected.reachable ? `ttl=${expected.ttl}` : 'ttl=none'} dev ${device}`;
  };
  const targets = pods.flatMap((pod) => pod.addresses.map((address) => ({ pod, address })));
  const ask = (from: TestPod): string =>
    targets
      .map(
        ({ pod, address }) =>
          `ttl=$(nsenter --net=${from.netns} -- ping -n -c1 -W1 ${address} | grep -o 'ttl=[0-9]*')
          echo "\${ttl:-ttl=none}" ${from === pod ? '' : `$(ip route get ${address} | grep -o 'dev [a-z0-9.-]*' | sed 's/cali[0-9a-f]*$/cali/')`}`,
      )
      .join('\n');
  const wrongOf = async (from: TestPod): Promise<readonly string[]> => {
    const seen = (await lab.sh(from.node, ask(from))).split('\n');
    return targets.flatMap(({ pod, address }, i) => {
      const [is, should] = [seen[i]?.trim(), wanted(from, pod, address)];
      return is === should ? [] : [`${from.node} → ${pod.node} ${address}: ${is}, not ${should}`];
    });
  };
  await eventually(
    'a complete matrix',
    async () => (await Promise.all(pods.map(wrongOf))).flat(),
    (wrong) => wrong.length === 0,
    timeoutMs,
  );
}
