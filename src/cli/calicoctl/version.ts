// `version`: of this program and of the cluster (CT-025). Different versions are no problem, so nothing is refused.
import type { Datastore } from '../../datastore/mod.ts';
import { ok } from '../../lib/result.ts';
import { parseDurationMs } from '../../model/mod.ts';
import { fail, isSet, printLine, textFlag, verb, withDatastore } from './program.ts';

/** As a release is named; `package.json` says the same. */
export const clientVersion = 'v0.1.0';

export const command = verb(
  {
    name: 'version',
    summary: 'Show the versions of this program and of the cluster.',
    flags: [
      { flags: '--client', description: 'only of this program; no datastore is asked' },
      {
        flags: '--poll <duration>',
        description: 'ask again and again, and show what has changed',
        default: '0s',
      },
    ],
    examples: ['version', 'version --client', 'version --poll=2s'],
  },
  async ({ flags }) => {
    printLine(`Client Version:    ${clientVersion}`);
    printLine(`Git commit:        ${process.env['MARGAY_COMMIT'] ?? 'unknown'}`);
    if (isSet(flags, 'client')) return ok(undefined);
    const periodMs = parseDurationMs(textFlag(flags, 'poll') ?? '0s');
    if (periodMs === undefined)
      return fail('Invalid poll duration specified', 'Use a length of time like 2s.');
    return withDatastore(flags, async (store) => {
      let before = '';
      for (;;) {
        const text = await clusterText(store);
        if (text.problem !== undefined && periodMs === 0) return fail(text.problem);
        const now = text.problem ?? text.lines;
        if (now !== before) printLine(now);
        before = now;
        if (periodMs === 0) return ok(undefined);
        await new Promise((resolve) => setTimeout(resolve, Math.max(100, periodMs)));
      }
    });
  },
);

async function clusterText(store: Datastore): Promise<{ readonly lines: string; readonly problem?: string }> {
  const found = await store.get('ClusterInformation', { name: 'default' });
  if (!found.ok && found.error.code !== 'NotFound')
    return { lines: '', problem: `Unable to retrieve Cluster Version or Type: ${found.error.message}` };
  const { calicoVersion, clusterType } = found.ok ? found.value.spec : {};
  return {
    lines: [
      `Cluster Version:   ${calicoVersion || 'unknown'}`,
      `Cluster Type:      ${clusterType || 'unknown'}`,
      ...(calicoVersion ? [] : ['Unable to detect installed Calico version']),
    ].join('\n'),
  };
}
