// The variables of a container, in the order in which Kubernetes lets one override another: what the node and its image say,
// services, `envFrom`, `env`; and $(NAME) in values, commands and arguments. Pure.
import { err, ok, type Result } from '../../lib/result.ts';
import type { ConfigMap, Pod, Secret, Service } from '../../model/mod.ts';
import { fieldValue, type PodFacts, resourceValue } from './field-values.ts';

type Container = Pod['spec']['containers'][number];
export type Variables = Readonly<Record<string, string>>;

/** The objects that a pod's configuration may name. */
export type Configuration = {
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
};
export type ConfigurationReference = { readonly kind: 'ConfigMap' | 'Secret'; readonly name: string };

export type Asking = {
  readonly facts: PodFacts;
  readonly container: Container;
  readonly configuration: Configuration;
  /** Of the pod's namespace, when it wants to hear of them. */
  readonly services: readonly Service[];
};

/** Where the API server is for pods, whatever their namespace. */
const apiService: Service = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'kubernetes' },
  spec: { clusterIP: '10.96.0.1', ports: [{ name: 'https', protocol: 'TCP', port: 443 }] },
};

/** Which objects the variables of a container come from. */
export function referencesOfVariables(container: Container): ConfigurationReference[] {
  const found: ConfigurationReference[] = [];
  const add = (kind: ConfigurationReference['kind'], name: string | undefined): void => {
    if (name !== undefined) found.push({ kind, name });
  };
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    add('ConfigMap', configMapRef?.name);
    add('Secret', secretRef?.name);
  }
  for (const { valueFrom } of container.env ?? []) {
    add('ConfigMap', valueFrom?.configMapKeyRef?.name);
    add('Secret', valueFrom?.secretKeyRef?.name);
  }
  return found;
}

/** An error is a sentence: the container cannot be made like this. */
export function containerVariables(asking: Asking): Result<Variables, string> {
  const { facts, container, configuration } = asking;
  const variables: Record<string, string> = {
    ...serviceVariables([...asking.services, apiService]),
    ...imageVariables(facts),
  };
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const reference = configMapRef ?? secretRef;
    if (reference?.name === undefined) continue;
    const isSecret = configMapRef === undefined;
    const data = isSecret
      ? secretTexts(configuration.secret(reference.name))
      : configuration.configMap(reference.name) && (configuration.configMap(reference.name)?.data ?? {});
    if (data === undefined) {
      if (reference.optional === true) continue;
      return err(`${isSecret ? 'secret' : 'configmap'} "${reference.name}" not found`);
    }
    for (const [key, value] of Object.entries(data))
      if (isVariableName(`${prefix}${key}`)) variables[`${prefix}${key}`] = value;
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom === undefined || valueFrom === null) {
      variables[name] = expand(value ?? '', variables);
      continue;
    }
    const found = referred(valueFrom, asking, facts);
    if (!found.ok) return found;
    if (found.value !== undefined) variables[name] = found.value;
  }
  return ok(variables);
}

type ValueFrom = NonNullable<NonNullable<Container['env']>[number]['valueFrom']>;

/** What the lab's images have set. */
function imageVariables({ pod, nodeName, addresses }: PodFacts): Variables {
  const { name, namespace = 'default' } = pod.metadata;
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOSTNAME: pod.spec.hostNetwork === true ? nodeName : (pod.spec.hostname ?? name),
    POD_NAME: name,
    POD_NAMESPACE: namespace,
    ...(addresses[0] === undefined ? {} : { POD_IP: addresses[0] }),
    NODE_NAME: nodeName,
  };
}

/** undefined: an optional key that is not there. */
function referred(
  from: ValueFrom,
  { configuration, container }: Asking,
  facts: PodFacts,
): Result<string | undefined, string> {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = from;
  if (fieldRef !== undefined) {
    const value = fieldValue(fieldRef.fieldPath, facts);
    return value === undefined ? err(`field label not supported: ${fieldRef.fieldPath}`) : ok(value);
  }
  if (resourceFieldRef !== undefined) {
    const { spec } = facts.pod;
    const named = resourceFieldRef.containerName ?? '';
    const of =
      named === ''
        ? container
        : [...spec.containers, ...(spec.initContainers ?? [])].find(({ name }) => name === named);
    const value = resourceValue(resourceFieldRef, of, facts);
    return value === undefined ? err(`unsupported resource: ${resourceFieldRef.resource}`) : ok(value);
  }
  const namespace = facts.pod.metadata.namespace ?? 'default';
  if (configMapKeyRef !== undefined) {
    const { name = '', key, optional } = configMapKeyRef;
    const object = configuration.configMap(name);
    const value = object?.data?.[key];
    if (value !== undefined || optional === true) return ok(value);
    return err(
      object === undefined
        ? `configmap "${name}" not found`
        : `couldn't find key ${key} in ConfigMap ${namespace}/${name}`,
    );
  }
  if (secretKeyRef !== undefined) {
    const { name = '', key, optional } = secretKeyRef;
    const object = configuration.secret(name);
    const value = secretTexts(object)?.[key];
    if (value !== undefined || optional === true) return ok(value);
    return err(
      object === undefined
        ? `secret "${name}" not found`
        : `couldn't find key ${key} in Secret ${namespace}/${name}`,
    );
  }
  // Another source: told as not provided (unsupported.ts).
  return ok(undefined);
}

function secretTexts(secret: Secret | undefined): Readonly<Record<string, string>> | undefined {
  if (secret === undefined) return undefined;
  return Object.fromEntries(
    Object.entries(secret.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
  );
}

/** Anything that can stand before an equals sign. */
const isVariableName = (name: string): boolean => /^[\x21-\x3c\x3e-\x7e]+$/.test(name);

/** $(NAME) becomes the variable's value when there is one, and stays when there is none; $$ is a dollar sign. */
export const expand = (text: string, variables: Variables): string =>
  text.replaceAll(/\$(\$|\(([^()]*)\))/g, (whole, mark: string, name: string | undefined) =>
    mark === '$'
      ? '$'
      : name !== undefined && Object.hasOwn(variables, name)
        ? (variables[name] ?? '')
        : whole,
  );

/** What Docker's links told containers of each other: NAME_SERVICE_HOST, NAME_PORT and their kin. */
export function serviceVariables(services: readonly Service[]): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const { metadata, spec } of services) {
    const { clusterIP = 'None', ports = [] } = spec;
    const [first] = ports;
    if (clusterIP === 'None' || clusterIP === '' || first === undefined) continue;
    const name = metadata.name.toUpperCase().replaceAll('-', '_');
    variables[`${name}_SERVICE_HOST`] = clusterIP;
    variables[`${name}_SERVICE_PORT`] = String(first.port);
    const host = clusterIP.includes(':') ? `[${clusterIP}]` : clusterIP;
    const address = (port: typeof first): string =>
      `${(port.protocol ?? 'TCP').toLowerCase()}://${host}:${port.port}`;
    variables[`${name}_PORT`] = address(first);
    for (const port of ports) {
      const protocol = port.protocol ?? 'TCP';
      if (port.name !== undefined && port.name !== '')
        variables[`${name}_SERVICE_PORT_${port.name.toUpperCase().replaceAll('-', '_')}`] = String(port.port);
      const prefix = `${name}_PORT_${port.port}_${protocol.toUpperCase()}`;
      variables[prefix] = address(port);
      variables[`${prefix}_PROTO`] = protocol.toLowerCase();
      variables[`${prefix}_PORT`] = String(port.port);
      variables[`${prefix}_ADDR`] = clusterIP;
    }
  }
  return variables;
}
