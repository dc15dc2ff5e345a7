// `margay pool migrate`: see migration.ts.
import { systemClock } from '../../lib/clock.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { Datastore } from '../../datastore/mod.ts';
import {
  type CliError,
  fail,
  type Flags,
  isSet,
  printLine,
  textFlag,
  verb,
  withDatastore,
} from '../calicoctl/program.ts';
import {
  begin,
  finish,
  type MigrationContext,
  type MigrationPlan,
  modeText,
  type Modes,
  planMigration,
  rollBack,
} from './migration.ts';

const spellings: Readonly<Record<string, string>> = {
  always: 'Always',
  crosssubnet: 'CrossSubnet',
  'cross-subnet': 'CrossSubnet',
  never: 'Never',
  off: 'Never',
};

export const command = verb(
  {
    name: 'pool migrate',
    summary: 'Change the encapsulation of a pool in use. Pods are not restarted.',
    arguments: '<pool>',
    flags: [
      { flags: '--ipip <mode>', description: 'Always or CrossSubnet' },
      { flags: '--vxlan <mode>', description: 'Always or CrossSubnet' },
      { flags: '--none', description: 'no encapsulation' },
      { flags: '--plan', description: 'only say what would be done' },
      { flags: '--resume', description: 'go on with a migration that was interrupted' },
      { flags: '--rollback', description: 'take back a migration that has not ended' },
      { flags: '--timeout <seconds>', description: 'how long to wait for the nodes', default: '60' },
    ],
    examples: [
      'pool migrate default-ipv4-ippool --vxlan CrossSubnet --plan',
      'pool migrate default-ipv4-ippool --vxlan CrossSubnet',
      'pool migrate default-ipv4-ippool --rollback',
    ],
  },
  async ({ flags, args }) => {
    const [pool = ''] = args;
    const seconds = Number(textFlag(flags, 'timeout'));
    if (!(seconds > 0)) return fail('--timeout needs a number of seconds.');
    return withDatastore(flags, (store) =>
      run(flags, pool, {
        store,
        clock: systemClock,
        tell: (line) => printLine(`  ${line}`),
        timeoutMs: seconds * 1000,
      }),
    );
  },
);

async function run(flags: Flags, pool: string, context: MigrationContext): Promise<Result<void, CliError>> {
  if (isSet(flags, 'rollback')) {
    const back = await rollBack(context, pool);
    if (!back.ok) return back;
    printLine(`${pool} has ${modeText(back.value)} again.`);
    return ok(undefined);
  }
  if (!isSet(flags, 'resume')) {
    const planned = await plan(flags, pool, context.store);
    if (!planned.ok) return planned;
    printPlan(planned.value);
    if (isSet(flags, 'plan')) return ok(undefined);
    const begun = await begin(context, planned.value);
    if (!begun.ok) return begun;
  }
  const finished = await finish(context, pool);
  if (!finished.ok) return finished;
  printLine(`${pool} is migrated.`);
  return ok(undefined);
}

async function plan(flags: Flags, name: string, store: Datastore): Promise<Result<MigrationPlan, CliError>> {
  const to = wantedModes(flags);
  if (!to.ok) return to;
  const [pools, felix, bgp] = await Promise.all([
    store.list('IPPool'),
    store.get('FelixConfiguration', { name: 'default' }),
    store.get('BGPConfiguration', { name: 'default' }),
  ]);
  if (!pools.ok) return err(pools.error);
  const pool = pools.value.items.find((one) => one.metadata.name === name);
  if (pool === undefined)
    return fail(
      `There is no pool ${name}.`,
      `Pools: ${pools.value.items.map((p) => p.metadata.name).join(', ')}.`,
    );
  return planMigration({
    pool,
    to: to.value,
    pools: pools.value.items,
    felixRoutes: felix.ok ? felix.value.spec?.programClusterRoutes : undefined,
    bgpRoutes: bgp.ok ? bgp.value.spec?.programClusterRoutes : undefined,
  });
}

function wantedModes(flags: Flags): Result<Modes, CliError> {
  const [ipip, vxlan] = [textFlag(flags, 'ipip'), textFlag(flags, 'vxlan')];
  if (ipip === undefined && vxlan === undefined && !isSet(flags, 'none'))
    return fail('Which encapsulation?', 'Give --ipip, --vxlan or --none.');
  if (isSet(flags, 'none') && (ipip !== undefined || vxlan !== undefined))
    return fail('--none goes with neither --ipip nor --vxlan.');
  const ipipMode = spellings[(ipip ?? 'Never').toLowerCase()];
  const vxlanMode = spellings[(vxlan ?? 'Never').toLowerCase()];
  if (ipipMode === undefined || vxlanMode === undefined)
    return fail(
      `"${ipipMode === undefined ? ipip : vxlan}" is no mode.`,
      'Modes: Always, CrossSubnet, Never.',
    );
  return ok({ ipipMode, vxlanMode });
}

function printPlan({ steps, notes }: MigrationPlan): void {
  steps.forEach((step, i) => printLine(`${i + 1}. ${step}`));
  for (const note of notes) printLine(`   ${note}`);
}
