// Every pod asks every pod of a lab, in every family: what it sees, against what the topology lets expect.
import type { ModeName } from '../../src/lab/modes.ts';
import { expectBetween, planTopology } from '../../src/lab/topology/mod.ts';
import { expect } from '../../src/lib/result.ts';
import type { TestLab, TestPod } from './lab.ts';
import { eventually } from './lab-router.ts';

/** Waits until every pair sees the TTL of its way; the error names the pairs that do not. */
export async function matrixIsComplete(
  lab: TestLab,
  pods: readonly TestPod[],
  { mode = 'bgp', timeoutMs = 40_000 }: { readonly mode?: ModeName; readonly timeoutMs?: number } = {},
): Promise<void> {
  const status = await lab.status();
  const nodes = status.machines.filter((m) => m.role === 'node').length;
  const topology = expect(planTopology({ ...status, name: status.topology, nodes }), 'topology');
  const wanted = (from: TestPod, to: TestPod, address: string): string => {
    if (from === to) return '64';
    const family = address.includes(':') ? 6 : 4;
    const expected = expectBetween(topology, from.node, to.node, { mode, family });
    return expected.reachable ? String(expected.ttl) : 'none';
  };
  const targets = pods.flatMap((pod) => pod.addresses.map((address) => ({ pod, address })));
  const script = targets
    .map(({ address }) => `ping -n -c1 -W1 ${address} | grep -o 'ttl=[0-9]*' || echo ttl=none`)
    .join('\n');
  await eventually(
    'a complete matrix',
    async () => {
      const wrong: string[] = [];
      for (const from of pods) {
        const seen = (await lab.inPod(from, script)).match(/ttl=\w+/g) ?? [];
        for (const [i, { pod, address }] of targets.entries())
          if (seen[i] !== `ttl=${wanted(from, pod, address)}`)
            wrong.push(
              `${from.node} → ${pod.node} ${address}: ${seen[i]}, not ${wanted(from, pod, address)}`,
            );
      }
      return wrong;
    },
    (wrong) => wrong.length === 0,
    timeoutMs,
  );
}
