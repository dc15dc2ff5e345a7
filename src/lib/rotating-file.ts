// A log file that does not grow without end: when a line would make it larger than it may be, it is set aside under the time of
// day, and of those set aside only so many, and none older than so long, are kept. Writes are synchronous: a crash loses no line.
import { appendFileSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { type Clock, systemClock } from './clock.ts';

export type RotationLimits = {
  readonly maxBytes: number;
  /** Of files set aside; 0: all. */
  readonly maxFiles: number;
  /** Of files set aside; 0: forever. */
  readonly maxAgeMs: number;
};

/** As Calico's plug-in has them: 100 MB, 10 files, 30 days. */
export const defaultRotation: RotationLimits = {
  maxBytes: 100 * 2 ** 20,
  maxFiles: 10,
  maxAgeMs: 30 * 86_400_000,
};

export class RotatingFile {
  readonly path: string;
  readonly #limits: RotationLimits;
  readonly #clock: Clock;
  #bytes: number | undefined;

  constructor(path: string, limits: RotationLimits = defaultRotation, clock: Clock = systemClock) {
    this.path = path;
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Throws what the file system says. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#bytes === undefined) {
      mkdirSync(dirname(this.path), { recursive: true });
      this.#bytes = sizeOf(this.path);
    }
    if (this.#bytes > 0 && this.#bytes + bytes > this.#limits.maxBytes) this.#setAside();
    appendFileSync(this.path, line, { mode: 0o644 });
    this.#bytes += bytes;
  }

  /** `name.log` becomes `name-<time>.log`. */
  #setAside(): void {
    const stamp = new Date(this.#clock.now()).toISOString().replaceAll(':', '-').replace('Z', '');
    renameSync(this.path, join(dirname(this.path), `${this.#stem()}-${stamp}${extname(this.path)}`));
    this.#bytes = 0;
    this.#prune();
  }

  #stem(): string {
    return basename(this.path, extname(this.path));
  }

  #prune(): void {
    const { maxFiles, maxAgeMs } = this.#limits;
    const directory = dirname(this.path);
    const aside = readdirSync(directory)
      .filter((name) => name.startsWith(`${this.#stem()}-2`) && extname(name) === extname(this.path))
      .toSorted()
      .toReversed();
    for (const [i, name] of aside.entries()) {
      const stamp = name.slice(this.#stem().length + 1, name.length - extname(name).length);
      const [day = '', time = ''] = stamp.split('T');
      const writtenMs = Date.parse(`${day}T${time.replaceAll('-', ':')}Z`);
      const isOld = maxAgeMs > 0 && this.#clock.now() - writtenMs > maxAgeMs;
      if (isOld || (maxFiles > 0 && i >= maxFiles)) rmSync(join(directory, name), { force: true });
    }
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
