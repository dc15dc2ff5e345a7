// What the volumes of pods are made of: files that objects say, and places on the node. The edge `VolumeFiles` is real in
// files.ts and played in fake.ts.
import type { Failure, Result } from '../../../lib/result.ts';
import type { Pod } from '../../../model/mod.ts';

export type Volume = NonNullable<Pod['spec']['volumes']>[number];
export type VolumeError = Failure<'VolumeFailed'>;

/** The files of a volume by their path in it. */
export type Payload = ReadonlyMap<string, { readonly bytes: Uint8Array; readonly mode: number }>;

/** Where a prepared volume is on the node. */
export type VolumePlace = {
  readonly source: string;
  /** Of objects that only the API server's clients change. */
  readonly isReadOnly: boolean;
};

/** A place on the node, mounted into a container. */
export type Mount = { readonly source: string; readonly target: string; readonly readOnly: boolean };

export type TokenRequest = { readonly audience?: string; readonly expirationSeconds: number };
export type Token = { readonly token: string; readonly expiresAtMs: number };
/** Asks for a token of the pod's service account, bound to the pod. */
export type RequestToken = (pod: Pod, request: TokenRequest) => Promise<Result<Token, VolumeError>>;

export interface VolumeFiles {
  /** An empty directory, kept until `release`; in memory and with a size when asked. */
  empty(
    uid: string,
    volume: string,
    options: { readonly inMemory: boolean; readonly sizeBytes?: number },
  ): Promise<Result<string, VolumeError>>;
  /** A directory of exactly these files, which change all at once. */
  write(uid: string, volume: string, payload: Payload): Promise<Result<string, VolumeError>>;
  /** A path of the node, checked or made as its type says. */
  host(path: string, type: string): Promise<Result<VolumePlace, VolumeError>>;
  /** A file or directory in a volume, without leaving it; made as a directory when it is not there. */
  within(source: string, subPath: string): Promise<Result<string, VolumeError>>;
  usedBytes(path: string): Promise<number>;
  /** Pods that something is kept for. */
  known(): readonly string[];
  release(uid: string): Promise<void>;
}
