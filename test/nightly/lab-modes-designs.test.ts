// Each routing mode in each BGP design, in both families, on one lab of two racks that is changed while it runs: who reaches
// whom and with which TTL, which headers are on the wire, and whether large packets get through.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { modeNames } from '../../src/lab/modes.ts';
import { margay, podOn, TestLab, type TestPod, without } from '../support/lab.ts';
import { headerOf, headersOnWire, largePacketsPass } from '../support/lab-wire.ts';
import { matrixIsComplete } from '../support/pod-matrix.ts';

const skip = without('kubectl', 'tcpdump', 'ip', 'ping', 'ss');
const designs = ['mesh', 'rr', 'as-per-rack', 'as-per-server'] as const;
let lab: TestLab;
let pods: readonly TestPod[] = [];

before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('modes', ['--topology', 'two-racks', '--dual-stack']);
  pods = await lab.deploy(5);
});
after(async () => {
  if (lab !== undefined) await lab.down();
});

for (const design of designs)
  for (const mode of modeNames)
    test(`${mode} with ${design}`, { skip }, async () => {
      for (const words of [
        ['design', design],
        ['mode', mode],
      ] as const) {
        const { code, err } = await margay(['lab', words[0], '--name', lab.name, words[1]]);
        assert.equal(code, 0, err);
      }
      await matrixIsComplete(lab, pods, { mode, timeoutMs: 60_000 });
      const from = podOn(pods, 'worker1');
      const targets = ['worker2', 'worker3'].flatMap((node) => {
        const to = podOn(pods, node);
        return to.addresses.map((address) => {
          const family: 4 | 6 = address.includes(':') ? 6 : 4;
          return { to, address, header: headerOf(mode, family, node === 'worker2') };
        });
      });
      const seen = await headersOnWire(
        lab,
        from,
        targets.map((t) => t.address),
      );
      assert.deepEqual(
        targets.map(({ address }, i) => `${address} ${seen[i]}`),
        targets.map(({ address, header }) => `${address} ${header}`),
      );
      for (const { to, address } of targets.slice(2)) await largePacketsPass(lab, from, to, address);
    });
