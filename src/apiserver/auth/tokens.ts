// Tokens of service accounts: signed by the server, bound to the account as it is (its uid), and to a pod, node or secret
// when they were asked for with one. A token is good while all of these exist.
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import { type Claims, serviceAccountIssuer, TokenKey } from '../../lib/web-token.ts';
import { at, numberAt, textAt } from '../json.ts';
import type { Store } from '../store/store.ts';
import { authenticated, type User } from './types.ts';

export const defaultAudience = serviceAccountIssuer;
const cacheSize = 2000;

export type BoundObject = { readonly kind: string; readonly name: string; readonly uid: string };
export type TokenSubject = { readonly namespace: string; readonly name: string; readonly uid: string };

const boundResources: Readonly<Record<string, string>> = { Pod: 'pods', Secret: 'secrets', Node: 'nodes' };

export const serviceAccountUser = (namespace: string, name: string): string =>
  `system:serviceaccount:${namespace}:${name}`;

export class Tokens {
  readonly #key: TokenKey;
  readonly #store: Store;
  readonly #clock: Clock;
  /** Signatures that were checked; the objects behind them are looked at every time. */
  readonly #known = new Map<string, Claims>();

  constructor(keyPem: string, store: Store, clock: Clock) {
    this.#key = new TokenKey(keyPem);
    this.#store = store;
    this.#clock = clock;
  }

  issue(
    subject: TokenSubject,
    options: {
      readonly audiences: readonly string[];
      readonly expiresAtSeconds: number;
      readonly bound?: BoundObject;
    },
  ): string {
    const nowSeconds = Math.floor(this.#clock.now() / 1000);
    const { bound } = options;
    return this.#key.sign({
      aud: options.audiences,
      exp: options.expiresAtSeconds,
      iat: nowSeconds,
      iss: serviceAccountIssuer,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace: subject.namespace,
        serviceaccount: { name: subject.name, uid: subject.uid },
        ...(bound === undefined ? {} : { [bound.kind.toLowerCase()]: { name: bound.name, uid: bound.uid } }),
      },
      nbf: nowSeconds,
      sub: serviceAccountUser(subject.namespace, subject.name),
    });
  }

  #claims(token: string): Claims | undefined {
    const known = this.#known.get(token);
    if (known !== undefined) return known;
    const claims = this.#key.read(token);
    if (claims === undefined) return undefined;
    if (this.#known.size >= cacheSize) this.#known.clear();
    this.#known.set(token, claims);
    return claims;
  }

  /** Whose token it is, and for which of the audiences; or why it is none. */
  read(
    token: string,
    audiences: readonly string[] = [defaultAudience],
  ): { readonly user: User; readonly audiences: readonly string[] } | string {
    const claims = this.#claims(token);
    if (claims === undefined) return 'invalid bearer token';
    const nowSeconds = this.#clock.now() / 1000;
    if ((numberAt(claims, 'exp') ?? Number.POSITIVE_INFINITY) <= nowSeconds) return 'the token has expired';
    if ((numberAt(claims, 'nbf') ?? 0) > nowSeconds + 60) return 'the token is not valid yet';
    const given = Array.isArray(claims['aud']) ? (claims['aud'] as readonly unknown[]) : [];
    const fitting = audiences.filter((one) => given.includes(one));
    if (fitting.length === 0) return 'the token is for another audience';
    const namespace = textAt(claims, 'kubernetes.io', 'namespace') ?? '';
    const name = textAt(claims, 'kubernetes.io', 'serviceaccount', 'name') ?? '';
    const uid = textAt(claims, 'kubernetes.io', 'serviceaccount', 'uid') ?? '';
    const account = this.#store.get({ resource: 'serviceaccounts', namespace, name });
    // Tokens that are issued before the cluster is there (for its own parts) name no uid.
    if (account === undefined || (uid !== '' && account.object.metadata.uid !== uid))
      return 'the service account of the token is gone';
    const extra: Record<string, readonly string[]> = {};
    const id = textAt(claims, 'jti');
    if (id !== undefined) extra['authentication.kubernetes.io/credential-id'] = [`JTI=${id}`];
    for (const [kind, resource] of Object.entries(boundResources)) {
      const bound = at(claims, 'kubernetes.io', kind.toLowerCase());
      if (bound === undefined) continue;
      const key = {
        resource,
        namespace: kind === 'Node' ? '' : namespace,
        name: textAt(bound, 'name') ?? '',
      };
      const found = this.#store.get(key)?.object.metadata.uid;
      if (found === undefined || found !== textAt(bound, 'uid'))
        return `the ${kind.toLowerCase()} that the token is bound to is gone`;
      if (kind !== 'Secret') {
        extra[`authentication.kubernetes.io/${kind.toLowerCase()}-name`] = [key.name];
        extra[`authentication.kubernetes.io/${kind.toLowerCase()}-uid`] = [found];
      }
    }
    return {
      user: {
        name: serviceAccountUser(namespace, name),
        uid: account.object.metadata.uid ?? '',
        groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, authenticated],
        extra,
      },
      audiences: fitting,
    };
  }
}
