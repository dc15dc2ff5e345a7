// serviceaccounts/NAME/token: a new token of the account (`kubectl create token`).
import { ok, type Result } from '../../lib/result.ts';
import { type Api, keyOf, timestamp } from '../api.ts';
import { type BoundObject, defaultAudience } from '../auth/tokens.ts';
import { readBody } from '../http/body.ts';
import type { Call, Outcome, Target } from '../http/call.ts';
import { at, isObject, listAt, numberAt, textAt } from '../json.ts';
import { invalid, notFound, refuse, type StatusError } from '../status.ts';
import type { Issue } from '../types.ts';

const kindOfRequest = { group: 'authentication.k8s.io', plural: 'tokenrequests', kind: 'TokenRequest' };
const defaultSeconds = 3600;
const leastSeconds = 600;
const mostSeconds = 2 ** 32;
const bindable: Readonly<Record<string, string>> = { Pod: 'pods', Secret: 'secrets', Node: 'nodes' };

function boundObject(
  api: Api,
  reference: unknown,
  namespace: string,
): Result<BoundObject | undefined, StatusError> {
  if (!isObject(reference)) return ok(undefined);
  const kind = textAt(reference, 'kind') ?? '';
  const name = textAt(reference, 'name') ?? '';
  const resource = bindable[kind];
  if (resource === undefined)
    return refuse(
      'BadRequest',
      `cannot bind token for serviceaccount to an object of kind ${JSON.stringify(kind)}`,
    );
  const found = api.store.get({ resource, namespace: kind === 'Node' ? '' : namespace, name });
  if (found === undefined) return notFound({ group: '', plural: resource, kind }, name);
  const uid = found.object.metadata.uid ?? '';
  const asked = textAt(reference, 'uid') ?? '';
  if (asked !== '' && asked !== uid)
    return refuse(
      'Conflict',
      `the UID in the bound object reference (${asked}) does not match the UID in record (${uid})`,
    );
  return ok({ kind, name, uid });
}

export async function requestToken(
  api: Api,
  { kind, namespace = '', name = '' }: Target,
  call: Call,
): Promise<Outcome> {
  const body = await readBody(call.request, api.limits);
  if (!body.ok) return body;
  const spec = at(body.value, 'spec');
  const account = api.store.get(keyOf(kind, namespace, name));
  if (account === undefined) return notFound(kind, name);
  const seconds = numberAt(spec, 'expirationSeconds') ?? defaultSeconds;
  const issues: Issue[] = [];
  if (seconds < leastSeconds)
    issues.push({
      field: 'spec.expirationSeconds',
      value: seconds,
      reason: 'may not specify a duration less than 10 minutes',
    });
  else if (seconds > mostSeconds)
    issues.push({
      field: 'spec.expirationSeconds',
      value: seconds,
      reason: 'may not specify a duration larger than 2^32 seconds',
    });
  if (issues.length > 0) return invalid(kindOfRequest, '', issues);
  const bound = boundObject(api, at(spec, 'boundObjectRef'), namespace);
  if (!bound.ok) return bound;
  const given = listAt(spec, 'audiences').filter((one): one is string => typeof one === 'string');
  const audiences = given.length === 0 ? [defaultAudience] : given;
  const expiresAtSeconds = Math.floor(api.clock.now() / 1000) + Math.floor(seconds);
  const token = api.access.tokens.issue(
    { namespace, name, uid: account.object.metadata.uid ?? '' },
    { audiences, expiresAtSeconds, ...(bound.value === undefined ? {} : { bound: bound.value }) },
  );
  return ok({
    code: 201,
    body: {
      kind: 'TokenRequest',
      apiVersion: 'authentication.k8s.io/v1',
      metadata: { name, namespace, creationTimestamp: timestamp(api.clock.now()) },
      spec: {
        audiences,
        expirationSeconds: seconds,
        boundObjectRef: at(spec, 'boundObjectRef') ?? null,
      },
      status: { token, expirationTimestamp: timestamp(expiresAtSeconds * 1000) },
    },
  });
}
