// `get`: resources by kind and name, or those that a file names (CT-014).
import { ok } from '../../lib/result.ts';
import { getResource, inNamespace, listResources } from './actions.ts';
import { fileFlags, loadFailure, namespaceFlag, resourcesOf } from './execute.ts';
import type { Resource } from './input/resources.ts';
import { type Answer, parseFormat, printAnswers } from './output/print.ts';
import { fail, isSet, printLine, textFlag, verb, withDatastore } from './program.ts';

export const command = verb(
  {
    name: 'get',
    summary: 'Show resources of one kind, all or by name, or those that a file names.',
    arguments: '[kind] [names...]',
    flags: [
      ...fileFlags,
      namespaceFlag,
      { flags: '-A, --all-namespaces', description: 'list the resources of all namespaces' },
      {
        flags: '-L, --selector <labels>',
        description: 'only resources with these labels, e.g. app=web,tier!=db',
      },
      {
        flags: '-o, --output <format>',
        description:
          'ps (the default), wide, yaml, json, name, custom-columns=A,B, go-template=…, go-template-file=…, jsonpath=…',
        default: 'ps',
      },
      { flags: '--export', description: 'of named resources, leave out what only this cluster knows' },
      // The form of Calico 2 (SR-195).
      {
        flags: '--workload <pod>',
        description: 'of workload endpoints, only those of this pod: [namespace.]name',
      },
    ],
    examples: ['get nodes -o wide', 'get ippool default-ipv4-ippool -o yaml', 'get networkpolicy -A'],
  },
  async ({ flags, args }) => {
    const format = parseFormat(textFlag(flags, 'output') ?? '');
    if (!format.ok) return format;
    const loaded = await resourcesOf(flags, args);
    if (!loaded.ok)
      return loaded.error.unreadable
        ? loadFailure(loaded.error)
        : fail(`failed to get resources: ${loaded.error.message}`);
    if (loaded.value.length === 0) {
      printLine('No resources specified');
      return ok(undefined);
    }
    return withDatastore(flags, async (store) => {
      const answers: Answer[] = [];
      const errors: string[] = [];
      for (const one of loaded.value) {
        const placed = inNamespace(one, flags);
        if (!placed.ok) {
          errors.push(placed.error.message);
          continue;
        }
        const { definition, object } = placed.value;
        const { name, namespace } = object.metadata;
        if (name !== undefined && name !== '') {
          const got = await getResource(store, placed.value);
          if (got.ok)
            answers.push({ definition, items: [isSet(flags, 'export') ? exported(got.value) : got.value] });
          else errors.push(got.error.message);
          continue;
        }
        const labelSelector = textFlag(flags, 'selector');
        const listed = await listResources(store, definition, {
          ...(definition.namespaced && namespace !== undefined ? { namespace } : {}),
          ...(labelSelector === undefined ? {} : { labelSelector }),
        });
        if (!listed.ok) errors.push(listed.error.message);
        else
          answers.push({
            ...listed.value,
            items: ofWorkload(listed.value.items, textFlag(flags, 'workload')),
          });
      }
      if (answers.length > 0) {
        const printed = await printAnswers(store, answers, format.value, isSet(flags, 'allNamespaces'));
        if (!printed.ok) return printed;
      }
      return errors.length === 0 ? ok(undefined) : fail(errors.join('\n'));
    });
  },
);

function ofWorkload(items: readonly Resource[], workload: string | undefined): readonly Resource[] {
  if (workload === undefined) return items;
  return items.filter(({ metadata, spec }) => {
    const { pod = '' } = spec as { pod?: string };
    return workload === pod || workload === `${metadata.namespace}.${pod}`;
  });
}

/** Without what only this cluster knows of the object. */
function exported(object: Resource): Resource {
  const {
    uid: _uid,
    resourceVersion: _version,
    creationTimestamp: _time,
    generation: _generation,
    namespace: _namespace,
    ...metadata
  } = object.metadata;
  return { ...object, metadata };
}
