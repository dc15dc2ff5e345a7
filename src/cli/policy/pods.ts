// `policy pods POLICY`, `pods of POLICY`: the endpoints that a policy selects, and what each of its rules means.
import { verb } from '../calicoctl/program.ts';
import { answer, hitsLine, outputFlag, sourceFlags, worldOf } from './common.ts';
import { findPolicies } from './find.ts';
import { hitsOf } from './hits.ts';
import { selectionReport } from './report.ts';
import { selectionText } from './text.ts';

export const podsOf = (name: string) =>
  verb(
    {
      name,
      summary: 'Show the pods and host endpoints that a policy selects, and what its rules mean.',
      arguments: '<policy>',
      flags: [
        ...sourceFlags.filter(({ flags }) => !flags.startsWith('-n')),
        { flags: '-n, --namespace <namespace>', description: 'of policies of this namespace only' },
        outputFlag,
      ],
      examples: [`${name} np/shop/web`, `${name} gnp/deny-all`, `${name} knp:shop/web -o json`],
      notes:
        'Kinds: np, gnp, knp, kcnp, snp, sgnp, sknp; without one, policies of all kinds with that name are shown.',
    },
    async ({ flags, args }) => {
      const world = await worldOf(flags);
      if (!world.ok) return world;
      const namespace = typeof flags['namespace'] === 'string' ? flags['namespace'] : undefined;
      const policies = findPolicies(world.value, args[0] ?? '', namespace);
      if (!policies.ok) return policies;
      const hits = await hitsOf(flags);
      const reports = policies.value.map((policy) => selectionReport(world.value, policy, hits.counts));
      return answer(flags, reports, () => [
        ...reports.flatMap((report, i) => [...(i === 0 ? [] : ['']), ...selectionText(report)]),
        ...hitsLine(hits),
      ]);
    },
  );

export const command = podsOf('pods of');
export const underPolicy = podsOf('policy pods');
