// X.509 certificates (RFC 5280) signed by an authority of our own: node:crypto signs, but has no words for certificates.
// Keys are ECDSA on P-256. A user of Kubernetes is a certificate's common name, its groups are the organizations.
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto';
import { isIP } from 'node:net';
import {
  bits,
  boolean,
  explicit,
  implicit,
  integer,
  objectId,
  octets,
  sequence,
  setOf,
  time,
  utf8,
} from './der.ts';
import { addressToBytes, parseAddress } from './ip/mod.ts';

/** PEM both. */
export type KeyPair = { readonly cert: string; readonly key: string };

export type Subject = { readonly commonName: string; readonly organizations?: readonly string[] };

export type LeafOptions = Subject & {
  /** Names and addresses under which the holder serves. */
  readonly hosts?: readonly string[];
  readonly purposes: readonly ('server' | 'client')[];
  readonly days?: number;
};

/** The API server's name on the way to the nodes: whoever serves it there asks for this one. */
export const nodeClientName = 'kube-apiserver-kubelet-client';

const oid = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  ecdsaSha256: '1.2.840.10045.4.3.2',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  server: '1.3.6.1.5.5.7.3.1',
  client: '1.3.6.1.5.5.7.3.2',
} as const;

const dayMs = 86_400_000;
const tenYears = 3650;
/** Clocks of other machines may be a little behind. */
const allowedSkewMs = 300_000;

const newKey = (): { readonly publicKey: KeyObject; readonly privateKey: KeyObject } =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' });

const pem = (label: string, der: Uint8Array): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(der)
    .toString('base64')
    .replaceAll(/.{64}(?=.)/g, '$&\n')}\n-----END ${label}-----\n`;

/** A key in PEM, for whatever signs. */
export const newPrivateKey = (): string => newKey().privateKey.export({ type: 'pkcs8', format: 'pem' });

function nameOf({ commonName, organizations = [] }: Subject): Buffer {
  const part = (type: string, value: string): Buffer => setOf(sequence(objectId(type), utf8(value)));
  return sequence(
    ...organizations.map((one) => part(oid.organization, one)),
    part(oid.commonName, commonName),
  );
}

const extension = (id: string, value: Uint8Array, critical = false): Buffer =>
  sequence(objectId(id), ...(critical ? [boolean(true)] : []), octets(value));

function alternativeName(host: string): Buffer {
  if (isIP(host) === 0) return implicit(2, Buffer.from(host));
  const address = parseAddress(host);
  if (!address.ok) throw new Error(`"${host}" is no address: ${address.error.message}`);
  return implicit(7, addressToBytes(address.value));
}

const publicBytes = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' });
/** RFC 5280, 4.2.1.2: a hash of the key itself; the point is at the end of its description. */
const keyId = (key: KeyObject): Buffer => createHash('sha1').update(publicBytes(key).subarray(-65)).digest();

function signed(
  options: {
    readonly subject: Subject;
    readonly issuer: Subject;
    readonly key: KeyObject;
    readonly days: number;
    readonly extensions: readonly Buffer[];
  },
  issuerKey: KeyObject,
  nowMs: number,
): string {
  const algorithm = sequence(objectId(oid.ecdsaSha256));
  const body = sequence(
    explicit(0, integer(2)),
    integer(Buffer.concat([Buffer.from([0x40 | ((randomBytes(1)[0] ?? 0) >> 2)]), randomBytes(15)])),
    algorithm,
    nameOf(options.issuer),
    sequence(time(nowMs - allowedSkewMs), time(nowMs + options.days * dayMs)),
    nameOf(options.subject),
    publicBytes(options.key),
    explicit(3, sequence(...options.extensions)),
  );
  return pem('CERTIFICATE', sequence(body, algorithm, bits(sign('sha256', body, issuerKey))));
}

/** Signs certificates for one cluster. */
export class CertificateAuthority {
  readonly cert: string;
  readonly key: string;
  readonly #subject: Subject;
  readonly #private: KeyObject;
  readonly #public: KeyObject;

  private constructor(subject: Subject, pair: KeyPair) {
    this.#subject = subject;
    this.cert = pair.cert;
    this.key = pair.key;
    this.#private = createPrivateKey(pair.key);
    this.#public = createPublicKey(this.#private);
  }

  static create(commonName: string, nowMs: number): CertificateAuthority {
    const subject = { commonName };
    const { publicKey, privateKey } = newKey();
    const extensions = [
      extension(oid.keyUsage, bits(Buffer.from([0b1010_0110]), 1), true),
      extension(oid.basicConstraints, sequence(boolean(true)), true),
      extension(oid.subjectKeyId, octets(keyId(publicKey))),
    ];
    const cert = signed(
      { subject, issuer: subject, key: publicKey, days: tenYears, extensions },
      privateKey,
      nowMs,
    );
    return new CertificateAuthority(subject, {
      cert,
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    });
  }

  /** One that was made before. */
  static load(pair: KeyPair): CertificateAuthority {
    const commonName = /^CN=(.*)$/m.exec(new X509Certificate(pair.cert).subject)?.[1] ?? '';
    return new CertificateAuthority({ commonName }, pair);
  }

  issue(options: LeafOptions, nowMs: number): KeyPair {
    const { publicKey, privateKey } = newKey();
    const hosts = options.hosts ?? [];
    const extensions = [
      extension(oid.keyUsage, bits(Buffer.from([0b1000_0000]), 7), true),
      extension(oid.extendedKeyUsage, sequence(...options.purposes.map((purpose) => objectId(oid[purpose])))),
      extension(oid.basicConstraints, sequence(), true),
      extension(oid.authorityKeyId, sequence(implicit(0, keyId(this.#public)))),
      ...(hosts.length === 0 ? [] : [extension(oid.subjectAltName, sequence(...hosts.map(alternativeName)))]),
    ];
    const { commonName, organizations, days = 365 } = options;
    const subject = { commonName, ...(organizations === undefined ? {} : { organizations }) };
    const cert = signed(
      { subject, issuer: this.#subject, key: publicKey, days, extensions },
      this.#private,
      nowMs,
    );
    return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
  }
}
