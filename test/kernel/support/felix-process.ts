// Felix's calculation and dataplane as a process of its own, to be killed: `felix-process.ts NETNS NAME=ADDRESS…`.
// Prints `writing` when it begins to compare and `ready` when everything is in the kernel.
import { expect } from '../../../src/lib/result.ts';
import { CalculationGraph, type CalcUpdate } from '../../../src/felix/calc/mod.ts';
import { Dataplane } from '../../../src/felix/dataplane/mod.ts';
import { openKernel } from '../../../src/kernel/mod.ts';

const [netns = '', ...endpoints] = process.argv.slice(2);
const set = (kind: string, metadata: object, spec: object): CalcUpdate =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata, spec },
  }) as unknown as CalcUpdate;

const kernel = expect(await openKernel({ netns }), 'open kernel');
const graph = new CalculationGraph({ nodeName: 'n1', blackholeProtocol: 12 });
const dataplane = new Dataplane({ kernel });
graph.update(set('IPPool', { name: 'p' }, { cidr: '10.244.0.0/16', natOutgoing: true }));
graph.update(set('BlockAffinity', { name: 'b' }, { cidr: '10.244.1.0/26', node: 'n1', state: 'confirmed' }));
for (const item of endpoints) {
  const [name = '', address = ''] = item.split('=');
  const spec = { node: 'n1', interfaceName: `cali${name}`, ipNetworks: [`${address}/32`], containerID: name };
  graph.update(set('WorkloadEndpoint', { name, namespace: 'default' }, spec));
}
dataplane.apply(graph.flush());
process.stdout.write('writing\n');
expect(await dataplane.start(), 'start');
while (!dataplane.synced) await new Promise((resolve) => setTimeout(resolve, 1));
process.stdout.write('ready\n');
// Stays until it is killed.
setInterval(() => undefined, 60_000);
