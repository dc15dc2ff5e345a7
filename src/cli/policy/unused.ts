// `policy unused`: policies that select nobody, rules that mean nobody or are never reached, and rules never hit.
import { verb } from '../calicoctl/program.ts';
import { answer, hitsLine, outputFlag, sourceFlags, worldOf } from './common.ts';
import { hitsOf } from './hits.ts';
import { unusedReport } from './report.ts';
import { unusedText } from './text.ts';

export const command = verb(
  {
    name: 'policy unused',
    summary: 'List policies that select nobody, and rules that no packet can meet or has met.',
    flags: [...sourceFlags, outputFlag],
    examples: ['policy unused', 'policy unused -f ./cluster -R -o json'],
  },
  async ({ flags }) => {
    const world = await worldOf(flags);
    if (!world.ok) return world;
    const hits = await hitsOf(flags);
    const rows = unusedReport(world.value, hits.counts);
    return answer(flags, rows, () => [...unusedText(rows), ...hitsLine(hits)]);
  },
);
