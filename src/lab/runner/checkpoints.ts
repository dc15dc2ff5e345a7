// Sandbox records on disk, one file per pod, each replaced atomically: what a runner that was killed knows afterwards.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Checkpoints, SandboxRecord } from './types.ts';

export function fileCheckpoints(directory: string): Checkpoints {
  mkdirSync(directory, { recursive: true });
  const path = (uid: string): string => join(directory, `${uid.replaceAll(/[^\w.-]/g, '_')}.json`);
  return {
    all: () =>
      readdirSync(directory)
        .filter((f) => f.endsWith('.json'))
        .flatMap((f): SandboxRecord[] => {
          try {
            const record = JSON.parse(readFileSync(join(directory, f), 'utf8')) as SandboxRecord;
            return record.version === 1 ? [record] : [];
          } catch {
            return [];
          }
        }),
    save: (record) => {
      const target = path(record.uid);
      writeFileSync(`${target}.new`, JSON.stringify(record));
      renameSync(`${target}.new`, target);
    },
    remove: (uid) => rmSync(path(uid), { force: true }),
  };
}
