// When each part of a container's log was written. Containers write to plain files and outlive the runner, so nobody
// stands between them to stamp lines: the runner notes beside the log how long the file was when. A line's time is that
// of the first note that covers it: exact to the notice's delay while a runner is up, to its return while none is.
//
//   0.log.times: lines of `<length> <milliseconds>`, both growing
import { appendFileSync, type FSWatcher, readFileSync, statSync, watch } from 'node:fs';

const pathOf = (log: string): string => `${log}.times`;

type Note = { readonly length: number; readonly atMs: number };

function readNotes(log: string): readonly Note[] {
  try {
    return readFileSync(pathOf(log), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [length, atMs] = line.split(' ').map(Number);
        return { length: length ?? 0, atMs: atMs ?? 0 };
      });
  } catch {
    return [];
  }
}

/** The time of the byte at an offset of the log. */
export function logTimes(log: string): (offset: number) => number {
  const notes = readNotes(log);
  const last = notes.at(-1);
  return (offset) => {
    if (last === undefined || offset >= last.length) return modified(log);
    let low = 0;
    let high = notes.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((notes[middle]?.length ?? 0) > offset) high = middle;
      else low = middle + 1;
    }
    return notes[low]?.atMs ?? last.atMs;
  };
}

function modified(log: string): number {
  try {
    return statSync(log).mtimeMs;
  } catch {
    return 0;
  }
}

/** Notes the growth of logs until they are forgotten. */
export class LogTimes {
  readonly #watchers = new Map<string, FSWatcher>();

  follow(log: string): void {
    if (this.#watchers.has(log)) return;
    let noted = readNotes(log).at(-1)?.length ?? 0;
    const note = (): void => {
      try {
        const { size, mtimeMs } = statSync(log);
        if (size <= noted) return;
        noted = size;
        appendFileSync(pathOf(log), `${size} ${Math.round(mtimeMs * 1000) / 1000}\n`);
      } catch {
        // The log went with its pod.
      }
    };
    try {
      // Notes alone keep no process alive.
      const watcher = watch(log, { persistent: false }, note);
      watcher.on('error', () => this.forget(log));
      this.#watchers.set(log, watcher);
    } catch {
      // The log went with its pod.
    }
    note();
  }

  forget(log: string): void {
    this.#watchers.get(log)?.close();
    this.#watchers.delete(log);
  }

  /** Forgets every log below a directory. */
  forgetBelow(directory: string): void {
    for (const log of this.#watchers.keys()) if (log.startsWith(`${directory}/`)) this.forget(log);
  }
}
