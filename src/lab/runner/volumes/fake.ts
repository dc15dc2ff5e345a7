// Volumes in memory: files by the path they have on the node.
import { ok } from '../../../lib/result.ts';
import type { Payload, VolumeFiles } from './types.ts';

export class FakeVolumeFiles implements VolumeFiles {
  /** By `uid/volume`. */
  readonly written = new Map<string, Payload>();
  readonly #kept = new Set<string>();
  /** What every directory is said to hold. */
  used = 0;

  readonly empty: VolumeFiles['empty'] = async (uid, volume) => ok(this.#keep(uid, volume));
  readonly write: VolumeFiles['write'] = async (uid, volume, payload) => {
    this.written.set(`${uid}/${volume}`, payload);
    return ok(this.#keep(uid, volume));
  };
  readonly host: VolumeFiles['host'] = async (path) => ok({ source: path, isReadOnly: false });
  readonly within: VolumeFiles['within'] = async (source, subPath) => ok(`${source}/${subPath}`);
  readonly usedBytes: VolumeFiles['usedBytes'] = async () => this.used;
  readonly known: VolumeFiles['known'] = () => [...this.#kept];
  readonly release: VolumeFiles['release'] = async (uid) => void this.#kept.delete(uid);

  #keep(uid: string, volume: string): string {
    this.#kept.add(uid);
    return `/volumes/${uid}/${volume}`;
  }
}
