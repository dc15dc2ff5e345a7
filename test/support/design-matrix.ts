// BGP designs with every routing mode, in both families, on one lab of three racks that is changed while it runs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { modeNames } from '../../src/lab/modes.ts';
import type { DesignName } from '../../src/lab/topology/mod.ts';
import { margay, TestLab, type TestPod, without } from './lab.ts';
import { eventually } from './lab-router.ts';
import { matrixIsComplete } from './pod-matrix.ts';

/** Counts what it is sent, and answers with the number. */
const receive =
  'require("net").createServer({allowHalfOpen:true},(c)=>{let n=0;c.on("error",()=>0);c.on("data",(d)=>n+=d.length);' +
  'c.on("end",()=>c.end(String(n)))}).listen(5001,"::")';
const send = (address: string): string =>
  `const s=require("net").connect({port:5001,host:"${address}"},()=>s.end(Buffer.alloc(65536,1)));` +
  's.setTimeout(30000,()=>process.exit(1));s.on("data",(d)=>console.log(String(d)))';

async function listens(lab: TestLab, pod: TestPod): Promise<void> {
  await lab.inPod(pod, `setsid ${process.execPath} -e '${receive}' >/dev/null 2>&1 &`);
  await eventually(
    'the receiver listens',
    () => lab.inPod(pod, 'ss -ltn || true'),
    (text) => text.includes(':5001'),
  );
}

/** Declares the tests: every pod reaches every pod, with the TTL of its way, and large packets that may not be cut arrive: one
 *  of 1,400 bytes, and those that TCP makes of 64 KB. Gives the lab, for tests that come after. */
export function testDesigns(
  name: string,
  designs: readonly DesignName[],
): () => { readonly lab: TestLab; readonly pods: readonly TestPod[] } {
  const skip = without('kubectl', 'ip', 'ping');
  let lab: TestLab;
  let pods: readonly TestPod[] = [];
  before(async () => {
    if (skip !== false) return;
    lab = await TestLab.up(name, ['--topology', 'three-racks', '--nodes', '4', '--dual-stack']);
    pods = await lab.deploy(3);
    const last = pods.at(-1);
    assert.ok(last !== undefined);
    await listens(lab, last);
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
        for (const address of to.addresses) {
          const size = address.includes(':') ? 1352 : 1372;
          await eventually(
            `${mode}: 1,400 bytes to ${address}`,
            () => lab.inPod(from, `ping -n -c1 -W3 -M do -s ${size} ${address} || true`),
            (text) => text.includes(' 1 received'),
          );
          const counted = await lab.inPod(from, `timeout 60 ${process.execPath} -e '${send(address)}'`);
          assert.equal(counted.trim(), '65536', `${mode}: 64 KB to ${address}`);
        }
      }
      await change('mode', 'bgp');
    });
  return () => ({ lab, pods });
}
