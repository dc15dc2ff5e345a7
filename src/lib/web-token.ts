// JSON Web Tokens (RFC 7519) signed with ES256: what service accounts prove themselves with.
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';

export type Claims = Readonly<Record<string, unknown>>;

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const longestToken = 16 * 1024;

function decode(part: string): Claims | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString());
    return typeof value === 'object' && value !== null ? (value as Claims) : undefined;
  } catch {
    return undefined;
  }
}

/** Who signs tokens of service accounts, and whom they are for when nobody says otherwise. */
export const serviceAccountIssuer = 'https://kubernetes.default.svc.cluster.local';

/** A token of a service account that may not be there yet: for a cluster's own parts, before it is up. */
export function serviceAccountToken(keyPem: string, namespace: string, name: string): string {
  return new TokenKey(keyPem).sign({
    iss: serviceAccountIssuer,
    aud: [serviceAccountIssuer],
    sub: `system:serviceaccount:${namespace}:${name}`,
    'kubernetes.io': { namespace, serviceaccount: { name } },
  });
}

/** Signs and checks with one key. */
export class TokenKey {
  readonly #private: KeyObject;
  readonly #public: KeyObject;
  readonly id: string;

  /** A private key on P-256 in PEM. */
  constructor(pem: string) {
    this.#private = createPrivateKey(pem);
    this.#public = createPublicKey(this.#private);
    const der = this.#public.export({ type: 'spki', format: 'der' });
    this.id = createHash('sha256').update(der).digest('base64url');
  }

  sign(claims: Claims): string {
    const text = `${encode({ alg: 'ES256', kid: this.id })}.${encode(claims)}`;
    const signature = sign('sha256', Buffer.from(text), { key: this.#private, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  }

  /** The claims of a token of this key; undefined for anything else. Times are the caller's to judge. */
  read(token: string): Claims | undefined {
    if (token.length > longestToken) return undefined;
    const parts = token.split('.');
    const [head = '', body = '', signature = ''] = parts;
    if (parts.length !== 3 || decode(head)?.['alg'] !== 'ES256') return undefined;
    const authentic = verify(
      'sha256',
      Buffer.from(`${head}.${body}`),
      { key: this.#public, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
    return authentic ? decode(body) : undefined;
  }
}
