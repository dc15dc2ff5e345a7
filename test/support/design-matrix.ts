// BGP designs with every routing mode, in both families, on one lab of three racks that is changed while it runs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { modeNames } from '../../src/lab/modes.ts';
import type { DesignName } from '../../src/lab/topology/mod.ts';
import { margay, TestLab, type TestPod, without } from './lab.ts';
import { matrixIsComplete } from './pod-matrix.ts';

/** Declares the tests: every pod reaches every pod, with the TTL of its way, and large packets that may not be cut arrive. */
export function testDesigns(name: string, designs: readonly DesignName[]): void {
  const skip = without('kubectl', 'ip', 'ping');
  let lab: TestLab;
  let pods: readonly TestPod[] = [];
  before(async () => {
    if (skip !== false) return;
    lab = await TestLab.up(name, ['--topology', 'three-racks', '--nodes', '4', '--dual-stack']);
    pods = await lab.deploy(3);
  });
  after(async () => {
    if (lab !== undefined) await lab.down();
  });
  const change = async (what: 'design' | 'mode', to: string): Promise<void> => {
    const { code, err } = await margay(['lab', what, '--name', lab.name, to]);
    assert.equal(code, 0, err);
  };
  for (const design of designs)
    test(`SR-003, SR-152: design ${design} with ${modeNames.join(', ')}`, { skip }, async () => {
      await change('design', design);
      for (const mode of modeNames) {
        await change('mode', mode);
        await matrixIsComplete(lab, pods, { mode });
        const [from, to] = [pods[0], pods.at(-1)];
        assert.ok(from !== undefined && to !== undefined);
        // 1,400 bytes with all headers.
        for (const address of to.addresses)
          await lab.inPod(from, `ping -n -c1 -W3 -M do -s ${address.includes(':') ? 1352 : 1372} ${address}`);
      }
      await change('mode', 'bgp');
    });
}
