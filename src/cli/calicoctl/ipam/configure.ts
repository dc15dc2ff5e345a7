// `ipam configure`: switches of address management (CT-035).
import type { Datastore } from '../../../datastore/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { type IPAMConfiguration, validate } from '../../../model/mod.ts';
import { type CliError, fail, printLine, textFlag, verb, withDatastore } from '../program.ts';

type Spec = IPAMConfiguration['spec'];
type Change = { readonly label: string; readonly spec: Partial<Spec>; readonly value: string };

const attempts = 5;

export const command = verb(
  {
    name: 'ipam configure',
    summary: 'Change switches of address management.',
    flags: [
      {
        flags: '--strictaffinity <true|false>',
        description: 'nodes take addresses only from their own blocks',
      },
      {
        flags: '--max-blocks-per-host <number>',
        description: 'most blocks that a node may have; 0 for the usual',
      },
      {
        flags: '--kubevirt-ip-persistence <Enabled|Disabled>',
        description: 'virtual machines keep their address',
      },
      { flags: '--ip-cooldown-seconds <number>', description: 'how long a released address rests' },
    ],
    examples: ['ipam configure --strictaffinity=true'],
  },
  ({ flags }) => {
    const changes: Change[] = [];
    const strict = textFlag(flags, 'strictaffinity');
    if (strict !== undefined) {
      if (!/^(1|t|true|0|f|false)$/i.test(strict))
        return Promise.resolve(fail('invalid value. Use true or false to set strictaffinity'));
      const strictAffinity = /^(1|t)/i.test(strict);
      changes.push({ label: 'StrictAffinity', spec: { strictAffinity }, value: String(strictAffinity) });
    }
    const most = textFlag(flags, 'maxBlocksPerHost');
    if (most !== undefined) {
      if (!/^\d+$/.test(most))
        return Promise.resolve(fail('invalid value for maxblockhost. Use a valid number'));
      changes.push({ label: 'MaxBlocksPerHost', spec: { maxBlocksPerHost: Number(most) }, value: most });
    }
    const persistence = textFlag(flags, 'kubevirtIpPersistence');
    if (persistence !== undefined) {
      if (persistence !== 'Enabled' && persistence !== 'Disabled')
        return Promise.resolve(fail('invalid value for --kubevirt-ip-persistence. Use Enabled or Disabled'));
      changes.push({
        label: 'KubeVirtVMAddressPersistence',
        spec: { kubeVirtVMAddressPersistence: persistence },
        value: persistence,
      });
    }
    const cooldown = textFlag(flags, 'ipCooldownSeconds');
    if (cooldown !== undefined) {
      if (!/^\d+$/.test(cooldown))
        return Promise.resolve(fail('invalid value for --ip-cooldown-seconds. Use a valid number'));
      changes.push({
        label: 'IPCooldownSeconds',
        spec: { ipCooldownSeconds: Number(cooldown) },
        value: cooldown,
      });
    }
    if (changes.length === 0)
      return Promise.resolve(fail('at least one configuration option must be specified'));
    return withDatastore(flags, (store) => configure(store, changes));
  },
);

async function configure(store: Datastore, changes: readonly Change[]): Promise<Result<void, CliError>> {
  const change: Partial<Spec> = Object.assign({}, ...changes.map(({ spec }) => spec));
  for (let attempt = 1; ; attempt++) {
    const found = await store.get('IPAMConfiguration', { name: 'default' });
    if (!found.ok && found.error.code !== 'NotFound') return fail(`error: ${found.error.message}`);
    const next: IPAMConfiguration = found.ok
      ? { ...found.value, spec: { ...found.value.spec, ...change } }
      : {
          apiVersion: 'projectcalico.org/v3',
          kind: 'IPAMConfiguration',
          metadata: { name: 'default' },
          spec: { strictAffinity: false, autoAllocateBlocks: true, maxBlocksPerHost: 0, ...change },
        };
    const [issue] = validate('IPAMConfiguration', next);
    if (issue !== undefined) return fail(`error: ${issue.field} ${issue.reason}`);
    const written = found.ok
      ? await store.update('IPAMConfiguration', next)
      : await store.create('IPAMConfiguration', next);
    if (written.ok) break;
    const isRace = written.error.code === 'Conflict' || written.error.code === 'AlreadyExists';
    if (!isRace || attempt >= attempts) return fail(`error: ${written.error.message}`);
  }
  for (const { label, value } of changes) printLine(`Successfully set ${label} to: ${value}`);
  return ok(undefined);
}
