// `convert`: resources of the storage group crd.projectcalico.org/v1 and network policies of Kubernetes as resources of
// projectcalico.org/v3. The forms of Calico 2 (apiVersion v1) are not read.
import { ok, type Result } from '../../lib/result.ts';
import {
  clusterNetworkPolicyToCalico,
  type ClusterNetworkPolicy,
  kindDefinition,
  type KubernetesNetworkPolicy,
  networkPolicyToCalico,
  validate,
} from '../../model/mod.ts';
import { fileFlags } from './execute.ts';
import { parseDocuments } from './input/documents.ts';
import { readInputs } from './input/files.ts';
import { isObject, resourcesIn, type Resource } from './input/resources.ts';
import { problemOf } from './problems.ts';
import { yamlText } from './output/print.ts';
import { type CliError, fail, isSet, print, printLine, textFlag, verb } from './program.ts';

export const command = verb(
  {
    name: 'convert',
    summary: 'Show resources of older groups and of Kubernetes as resources of projectcalico.org/v3.',
    flags: [
      ...fileFlags,
      { flags: '-o, --output <format>', description: 'yaml or json', default: 'yaml' },
      { flags: '--ignore-validation', description: 'show what is not valid, too' },
    ],
    examples: ['convert -f ./policy.yaml -o yaml'],
  },
  async ({ flags }) => {
    const file = textFlag(flags, 'filename');
    if (file === undefined) return fail('convert needs -f with a file');
    const format = textFlag(flags, 'output');
    if (format !== 'yaml' && format !== 'json')
      return fail(`unrecognized output format '${format}'`, 'Use yaml or json.');
    const inputs = await readInputs(file, { recursive: isSet(flags, 'recursive') });
    if (!inputs.ok) return inputs;
    const converted: Resource[] = [];
    for (const input of inputs.value) {
      const documents = await parseDocuments(input.source, input.text);
      if (!documents.ok) return fail(`failed to execute command: ${documents.error.message}`);
      for (const document of documents.value) {
        const kubernetes = fromKubernetes(document.value);
        if (kubernetes !== undefined) {
          if (!kubernetes.ok)
            return fail(`failed to execute command: ${document.source}: ${kubernetes.error.message}`);
          converted.push(kubernetes.value);
          continue;
        }
        const resources = resourcesIn(document, document.value, []);
        if (!resources.ok) return fail(`failed to execute command: ${resources.error.message}`);
        for (const one of resources.value) {
          const problem = problemOf(one);
          if (problem !== undefined && !isSet(flags, 'ignoreValidation'))
            return fail(`failed to execute command: ${problem}`);
          converted.push(one.object);
        }
      }
    }
    if (converted.length === 0 && !isSet(flags, 'skipEmpty'))
      return fail(`No resources specified in file ${file}`);
    if (format === 'json')
      printLine(JSON.stringify(converted.length === 1 ? converted[0] : converted, undefined, 2));
    else print((await Promise.all(converted.map(yamlText))).join('---\n'));
    return ok(undefined);
  },
);

/** Undefined when it is no policy of Kubernetes. */
function fromKubernetes(value: unknown): Result<Resource, CliError> | undefined {
  if (!isObject(value) || value['kind'] === undefined) return undefined;
  for (const kind of ['KubernetesNetworkPolicy', 'ClusterNetworkPolicy'] as const) {
    const definition = kindDefinition(kind);
    if (value['kind'] !== definition.kind || value['apiVersion'] !== definition.apiVersion) continue;
    const metadata = isObject(value['metadata']) ? value['metadata'] : {};
    const object = definition.namespaced
      ? { ...value, metadata: { namespace: 'default', ...metadata } }
      : value;
    const [issue] = validate(kind, object);
    if (issue !== undefined) return fail(`${issue.field} ${issue.reason}`);
    const { policy, problems } =
      kind === 'KubernetesNetworkPolicy'
        ? networkPolicyToCalico(object as unknown as KubernetesNetworkPolicy)
        : clusterNetworkPolicyToCalico(object as unknown as ClusterNetworkPolicy);
    if (policy === undefined || problems.length > 0)
      return fail(`the policy cannot be converted: ${problems.join('; ') || 'it selects nothing'}`);
    return ok(
      underOwnName(
        policy as unknown as Resource,
        typeof metadata['name'] === 'string' ? metadata['name'] : '',
      ),
    );
  }
  return undefined;
}

/** The name by which agents know a policy of Kubernetes is reserved; a policy of Calico keeps the one it was given. */
function underOwnName(policy: Resource, name: string): Resource {
  const { uid: _uid, resourceVersion: _version, creationTimestamp: _time, ...metadata } = policy.metadata;
  return { ...policy, metadata: { ...metadata, name } };
}
