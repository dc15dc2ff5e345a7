// A request in the words of roles.
import type { Target } from '../http/call.ts';
import type { ResourceAttributes } from './types.ts';

const verbs: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
};

function verbOf(method: string, hasName: boolean, watches: boolean): string {
  if (method === 'GET' || method === 'HEAD') return watches ? 'watch' : hasName ? 'get' : 'list';
  if (method === 'DELETE') return hasName ? 'delete' : 'deletecollection';
  return verbs[method] ?? method.toLowerCase();
}

export function attributesOf(
  { kind, namespace, name, subresource }: Target,
  method: string,
  query: URLSearchParams,
): ResourceAttributes {
  const watches = subresource === undefined && ['true', '1'].includes(query.get('watch') ?? '');
  // A namespace lies in itself: a role there may show it.
  const isNamespace = kind.group === '' && kind.kind === 'Namespace';
  return {
    verb: verbOf(method, name !== undefined, watches),
    group: kind.group,
    resource: kind.plural,
    subresource: subresource ?? '',
    namespace: namespace ?? (isNamespace ? (name ?? '') : ''),
    name: name ?? '',
  };
}
