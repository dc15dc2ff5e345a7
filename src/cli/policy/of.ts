// `policy of POD|HOSTENDPOINT`: which policies hold for it, in the order in which they decide.
import { verb } from '../calicoctl/program.ts';
import { answer, hitsLine, outputFlag, sourceFlags, worldOf } from './common.ts';
import { findEndpoint } from './find.ts';
import { hitsOf } from './hits.ts';
import { endpointReport } from './report.ts';
import { endpointText } from './text.ts';

export const command = verb(
  {
    name: 'policy of',
    summary: 'Show the policies of a pod or host endpoint in the order in which they decide.',
    arguments: '<endpoint>',
    flags: [...sourceFlags, outputFlag],
    examples: ['policy of shop/web-0', 'policy of hep/worker1-auto-hep', 'policy of 10.244.1.7 -o yaml'],
  },
  async ({ flags, args }) => {
    const world = await worldOf(flags);
    if (!world.ok) return world;
    const endpoint = findEndpoint(world.value, args[0] ?? '', String(flags['namespace']));
    if (!endpoint.ok) return endpoint;
    const hits = await hitsOf(flags);
    const report = endpointReport(world.value, endpoint.value, hits.counts);
    return answer(flags, report, () => [...endpointText(report), ...hitsLine(hits)]);
  },
);
