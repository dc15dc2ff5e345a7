// Who sent a request: a client certificate (its common name is the user, its organizations are the groups), a token of a
// service account, or nobody. Without TLS everybody who shows no token is the administrator: such a server listens where
// only its owner can reach it.
import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';
import { ok, type Result } from '../../lib/result.ts';
import { refuse, type StatusError } from '../status.ts';
import type { Access } from './access.ts';
import { anonymous, authenticated, trusted, unauthenticated, type User } from './types.ts';

const unauthorized = (): Result<never, StatusError> => refuse('Unauthorized', 'Unauthorized');

/** Connections carry many requests: the certificate is read once. */
const known = new WeakMap<TLSSocket, User | undefined>();

function certified(socket: TLSSocket): User | undefined {
  if (!known.has(socket)) known.set(socket, fromCertificate(socket));
  return known.get(socket);
}

function fromCertificate(socket: TLSSocket): User | undefined {
  if (!socket.authorized) return undefined;
  const { subject } = socket.getPeerCertificate();
  const name = typeof subject?.CN === 'string' ? subject.CN : '';
  if (name === '') return undefined;
  // An attribute that stands there twice is a list.
  const organizations: unknown = subject.O;
  const groups =
    typeof organizations === 'string'
      ? [organizations]
      : Array.isArray(organizations)
        ? (organizations as readonly string[])
        : [];
  return { name, groups: [...groups, authenticated] };
}

const showsCertificate = (socket: TLSSocket): boolean => Object.keys(socket.getPeerCertificate()).length > 0;

function bearerToken(request: IncomingMessage): string | undefined {
  const header = request.headers.authorization;
  if (header !== undefined) return /^bearer +(\S+)$/i.exec(header)?.[1] ?? '';
  // Browsers cannot set headers on a WebSocket: the token comes as a protocol there.
  const protocols = request.headers['sec-websocket-protocol'] ?? '';
  const encoded = /base64url\.bearer\.authorization\.k8s\.io\.([\w-]+)/.exec(protocols)?.[1];
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64url').toString();
}

export function authenticate(access: Access, request: IncomingMessage): Result<User, StatusError> {
  const { socket } = request;
  const secured = socket instanceof TLSSocket;
  const holder = secured ? certified(socket) : undefined;
  let user: User;
  if (holder !== undefined) user = holder;
  else {
    const token = bearerToken(request);
    // A certificate of somebody else's authority is a mistake, and not nobody.
    if (token === undefined && secured && showsCertificate(socket)) return unauthorized();
    if (token === undefined) user = secured ? anonymous : trusted;
    else {
      const read = access.tokens.read(token);
      if (typeof read === 'string') return unauthorized();
      user = read.user;
    }
  }
  return impersonated(access, user, request);
}

/** `kubectl --as`: allowed to those who may impersonate every part of what they ask to be. */
function impersonated(access: Access, user: User, request: IncomingMessage): Result<User, StatusError> {
  const { headers } = request;
  const one = (name: string): string | undefined => {
    const value = headers[name];
    return Array.isArray(value) ? value[0] : value;
  };
  const name = one('impersonate-user');
  const groupHeader = request.rawHeaders.filter(
    (_value, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === 'impersonate-group',
  );
  const uid = one('impersonate-uid');
  if (name === undefined || name === '')
    return groupHeader.length > 0 || uid !== undefined
      ? refuse('InternalError', 'requested impersonation without impersonating a user')
      : ok(user);
  const extra: Record<string, readonly string[]> = {};
  for (const [header, value] of Object.entries(headers)) {
    const key = /^impersonate-extra-(.+)$/.exec(header)?.[1];
    if (key !== undefined && value !== undefined)
      extra[decodeURIComponent(key)] = Array.isArray(value) ? value : [value];
  }
  const account = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(name);
  const asked = (
    resource: string,
    group: string,
    namespace: string,
    value: string,
    subresource = '',
  ): boolean =>
    access.roles.decide(user, { verb: 'impersonate', group, resource, subresource, namespace, name: value })
      .allowed;
  const refusal = (kind: string, value: string): Result<never, StatusError> =>
    refuse(
      'Forbidden',
      `${kind} ${JSON.stringify(value)} is forbidden: User ${JSON.stringify(user.name)} cannot impersonate resource ${JSON.stringify(kind)} in API group "" at the cluster scope`,
      { name: value, kind },
    );
  if (
    account === null
      ? !asked('users', '', '', name)
      : !asked('serviceaccounts', '', account[1] ?? '', account[2] ?? '')
  )
    return refusal(account === null ? 'users' : 'serviceaccounts', account?.[2] ?? name);
  for (const group of groupHeader) if (!asked('groups', '', '', group)) return refusal('groups', group);
  if (uid !== undefined && !asked('uids', 'authentication.k8s.io', '', uid)) return refusal('uids', uid);
  for (const [key, values] of Object.entries(extra))
    for (const value of values)
      if (!asked('userextras', 'authentication.k8s.io', '', value, key))
        return refusal(`userextras/${key}`, value);
  const own =
    account === null ? [] : ['system:serviceaccounts', `system:serviceaccounts:${account[1] ?? ''}`];
  const groups = groupHeader.length > 0 ? groupHeader : own;
  const last = name === anonymous.name ? unauthenticated : authenticated;
  return ok({
    name,
    groups: groups.includes(last) ? groups : [...groups, last],
    ...(uid === undefined ? {} : { uid }),
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  });
}
