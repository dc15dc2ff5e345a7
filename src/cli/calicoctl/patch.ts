// `patch`: changes fields of one resource (CT-015).
import { applyPatch, type PatchType } from '../../datastore/mod.ts';
import { type ActionError, getResource, inNamespace, replaceResource } from './actions.ts';
import { loadFailure, namespaceFlag, resourcesOf } from './execute.ts';
import { isObject, readFields, type Loaded, type Resource } from './input/resources.ts';
import { parseDocuments } from './input/documents.ts';
import { shapeProblemOf, identityChange } from './problems.ts';
import { type CliError, done, fail, printLine, textFlag, verb, withDatastore } from './program.ts';
import type { Datastore } from '../../datastore/mod.ts';
import { ok, type Result } from '../../lib/result.ts';

/** Others may win in between this often. */
const attempts = 5;

export const command = verb(
  {
    name: 'patch',
    summary: 'Change fields of one resource.',
    arguments: '<kind> [name]',
    flags: [
      { flags: '-p, --patch <patch>', description: 'the fields to change, in JSON or YAML' },
      {
        flags: '-t, --type <type>',
        description:
          'strategic or merge: fields of an object to set, null to remove; json: a list of operations. Lists are replaced whole.',
        default: 'strategic',
      },
      namespaceFlag,
    ],
    examples: [
      `patch node node1 -p '{"spec":{"bgp":{"routeReflectorClusterID":"244.0.0.1"}}}'`,
      `patch ippool pool1 -t json -p '[{"op":"replace","path":"/spec/disabled","value":true}]'`,
    ],
  },
  async ({ flags, args }) => {
    const type = (textFlag(flags, 'type') ?? 'strategic').toLowerCase();
    if (type !== 'strategic' && type !== 'merge' && type !== 'json')
      return fail(`There is no patch type "${type}".`, 'Use strategic, merge or json.');
    const text = textFlag(flags, 'patch');
    if (text === undefined) return fail('patch needs -p with the fields to change');
    const loaded = await resourcesOf({}, args);
    if (!loaded.ok) return loadFailure(loaded.error);
    const [target] = loaded.value;
    if (target === undefined || loaded.value.length !== 1 || target.object.metadata.name === '')
      return fail('patch needs a kind and one name');
    const parsed = await parseDocuments('the patch', text);
    if (!parsed.ok) return parsed;
    const body = parsed.value[0]?.value;
    if (type === 'json' ? !Array.isArray(body) : !isObject(body))
      return fail(
        `failed to patch '${target.object.kind}' resource: the patch is not ${type === 'json' ? 'a list of operations' : 'an object'}`,
        `A ${type} patch looks like ${type === 'json' ? '[{"op":"add","path":"/spec/disabled","value":true}]' : '{"spec":{"disabled":true}}'}.`,
      );
    const patched = await withDatastore(flags, (store) => patchOne(store, flags, target, type, body));
    if (!patched.ok)
      return fail(`failed to patch '${target.object.kind}' resource: [${patched.error.message}]`);
    printLine(`Successfully patched 1 '${target.object.kind}' resource`);
    return done;
  },
);

async function patchOne(
  store: Datastore,
  flags: Parameters<typeof inNamespace>[1],
  target: Loaded,
  type: PatchType,
  body: unknown,
): Promise<Result<Resource, CliError>> {
  const placed = inNamespace(target, flags);
  if (!placed.ok) return placed;
  const { definition } = placed.value;
  const change = type === 'json' ? body : readFields(definition.schema, body);
  for (let attempt = 1; ; attempt++) {
    const current: Result<Resource, ActionError> = await getResource(store, placed.value);
    if (!current.ok) return current;
    // Merging lists by key is for Kubernetes' own kinds: Calico's lists have no keys, so both types mean the same.
    const patched = applyPatch(type === 'strategic' ? 'merge' : type, current.value, change);
    if (!patched.ok) return patched;
    const object = patched.value as Resource;
    const identity = identityChange(current.value, object);
    if (identity !== undefined) return fail(identity);
    const next: Loaded = { definition, object };
    const shape = shapeProblemOf(next);
    if (shape !== undefined) return fail(shape);
    const written = await replaceResource(store, next, 'patch');
    if (written.ok || attempt >= attempts || !written.error.message.startsWith('update conflict'))
      return written.ok ? ok(written.value) : written;
  }
}
