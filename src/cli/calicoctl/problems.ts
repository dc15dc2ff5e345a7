// Issues of the model and errors of the datastore in the words that users of calicoctl search for, with the place in the
// file: `error with field PeerIP = '10.0.0.256' (must be an IP address) at peer.yaml:6:11`.
import { type Issue, isShapeIssue, validate } from '../../model/mod.ts';
import type { StoreError } from '../../datastore/mod.ts';
import { formatCell } from './output/paths.ts';
import { fieldPath } from './input/documents.ts';
import { type Loaded, placeOf, type Resource } from './input/resources.ts';

/** Words that Go writes in capitals at the start of a field's name. */
const acronyms = new Set([
  'as',
  'bgp',
  'bpf',
  'cidr',
  'dns',
  'dscp',
  'http',
  'icmp',
  'id',
  'ip',
  'ipam',
  'ipip',
  'mac',
  'mtu',
  'nat',
  'qos',
  'ttl',
  'tcp',
  'udp',
  'uid',
  'url',
  'vxlan',
]);

/** `spec.ingress[0].ports[1]` → `Port`, `spec.cidr` → `CIDR`. */
export function fieldName(field: string): string {
  const steps = fieldPath(field);
  const last = steps.at(-1);
  if (last === undefined) return '';
  if (typeof last === 'number') {
    const list = steps.findLast((step): step is string => typeof step === 'string') ?? '';
    return capitalised(list).replace(/s$/, '');
  }
  return field.endsWith(']') ? last : capitalised(last);
}

function capitalised(name: string): string {
  const [first = ''] = /^[a-z0-9]*/.exec(name) ?? [];
  return acronyms.has(first)
    ? first.toUpperCase() + name.slice(first.length)
    : name.slice(0, 1).toUpperCase() + name.slice(1);
}

const jsonType = (value: unknown): string =>
  Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
const goTypes: readonly (readonly [RegExp, string])[] = [
  [/^must be true or false/, 'bool'],
  [/^must be a whole number/, 'int'],
  [/^must be a number/, 'float64'],
  [/^must be a text/, 'string'],
];

/** What Go's decoder would say of a value of the wrong type: many know these words. */
function decoderText(kind: string, { field, value, reason }: Issue): string | undefined {
  if (typeof value === 'number' && reason.startsWith('invalid minimum port number'))
    return `cannot unmarshal number ${value} into Go value of type uint16`;
  const type = goTypes.find(([pattern]) => pattern.test(reason))?.[1];
  const steps = fieldPath(field);
  if (type === undefined || steps[0] !== 'spec' || steps.length !== 2) return undefined;
  return `cannot unmarshal ${jsonType(value)} into Go struct field ${kind}Spec.${field} of type ${type}`;
}

function issueText(loaded: Loaded, issue: Issue): string {
  const { field, value, reason } = issue;
  const isUnknown = reason.startsWith('is not a field here');
  const place = placeOf(loaded.origin, fieldPath(field), isUnknown ? 'name' : 'value');
  if (isUnknown) {
    const meant = / did you mean (\S+)\?$/.exec(reason)?.[1];
    return `unknown field "${field}"${meant === undefined ? '' : `; did you mean ${meant}?`}${place}`;
  }
  const decoder = decoderText(loaded.object.kind, issue);
  if (decoder !== undefined) return `${decoder}${place} (${field} ${reason})`;
  const isShown = value !== undefined && (typeof value !== 'object' || value === null);
  return isShown
    ? `error with field ${fieldName(field)} = '${formatCell(value)}' (${reason})${place}`
    : `error with field ${field} (${reason})${place}`;
}

/** All issues of one object as one text; undefined when there is none. */
export function issuesText(loaded: Loaded, issues: readonly Issue[]): string | undefined {
  const texts = issues.map((issue) => issueText(loaded, issue));
  if (texts.length <= 1) return texts[0];
  return `error with the following fields:\n${texts.map((text) => `-  ${text}`).join('\n')}`;
}

/** What the model says of an object, as text; undefined when it is fine. */
export const problemOf = (loaded: Loaded): string | undefined =>
  issuesText(loaded, validate(loaded.definition.name, loaded.object));

/** The same, only when the object cannot even be read: unknown fields, values of other types. */
export function shapeProblemOf(loaded: Loaded): string | undefined {
  const issues = validate(loaded.definition.name, loaded.object);
  return issues.some(isShapeIssue) ? issuesText(loaded, issues) : undefined;
}

/** `IPPool(default)`, `NetworkPolicy(shop/web)`. */
export const identifier = (
  kind: string,
  name: { readonly name: string; readonly namespace?: string },
): string =>
  name.namespace === undefined ? `${kind}(${name.name})` : `${kind}(${name.namespace}/${name.name})`;

/** A server says the value within the reason: `Invalid value: "10.0.0.0/8": overlaps with …`. */
export function fromServer(issue: { readonly field: string; readonly reason: string }): Issue {
  const [, text, reason] =
    /^(?:Invalid|Unsupported|Duplicate|Forbidden) value: ("(?:[^"\\\\]|\\\\.)*"|[^\s:]+)(?:: ([\s\S]+))?$/.exec(
      issue.reason,
    ) ?? [];
  if (text === undefined || reason === undefined) return issue as Issue;
  try {
    return { field: issue.field, value: JSON.parse(text) as unknown, reason };
  } catch {
    return { field: issue.field, value: text, reason };
  }
}

/** An error of the datastore in calicoctl's words. */
export function storeErrorText(error: StoreError, id: string, loaded?: Loaded): string {
  switch (error.code) {
    case 'NotFound':
      // A namespace that is missing is another mistake than an object that is.
      return /namespace/i.test(error.message) &&
        !error.message.includes(id.replace(/^[^(]*\((.*\/)?/, '').replace(/\)$/, ''))
        ? `resource does not exist: ${error.message}`
        : `resource does not exist: ${id} with error: <nil>`;
    case 'AlreadyExists':
      return `resource already exists: ${id}`;
    case 'Conflict':
      return `update conflict: ${id}: ${error.message}`;
    case 'Invalid': {
      const issues = (error.issues ?? []).map(fromServer);
      const text = loaded === undefined ? undefined : issuesText(loaded, issues);
      return text ?? error.message;
    }
    case 'Forbidden':
    case 'Unauthorized':
      return `connection is unauthorized: ${error.message}`;
    default:
      return error.hint === undefined ? error.message : `${error.message} ${error.hint}`;
  }
}

export const notSupported = (operation: string, id: string, reason: string): string =>
  `operation ${operation} is not supported on ${id}: ${reason}`;

/** What makes an object another one; no patch may change it. */
export function identityChange(before: Resource, after: Resource): string | undefined {
  const same =
    before.kind === after.kind &&
    before.apiVersion === after.apiVersion &&
    before.metadata.name === after.metadata.name &&
    before.metadata.namespace === after.metadata.namespace;
  return same ? undefined : 'apiVersion, kind, name and namespace of a resource cannot be changed';
}
