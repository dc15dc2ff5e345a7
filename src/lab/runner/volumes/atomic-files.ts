// A directory of files that change all at once, as a kubelet keeps them. Readers go through a link that is moved in one step:
//
//   VOLUME/app.conf ──► ..data/app.conf           one link per first step of a path
//   VOLUME/..data   ──► ..2026_11_21_20_05_01.k3j9      moved with rename(2)
//   VOLUME/..2026_11_21_20_05_01.k3j9/app.conf          the files themselves
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Payload } from './types.ts';

const link = '..data';

/** False: the directory holds just these files already. Throws what the file system says. */
export function writeAtomically(directory: string, payload: Payload, now: Date): boolean {
  mkdirSync(directory, { recursive: true });
  const before = linked(directory);
  if (before !== undefined && holds(join(directory, before), payload)) return false;
  const stamp = now.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '_');
  const next = `..${stamp}.${randomBytes(4).toString('hex')}`;
  const root = join(directory, next);
  mkdirSync(root);
  chmodSync(root, 0o755);
  for (const [path, { bytes, mode }] of payload) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
    writeFileSync(file, bytes);
    chmodSync(file, mode);
  }
  const moving = join(directory, `${link}_tmp`);
  rmSync(moving, { force: true });
  symlinkSync(next, moving);
  renameSync(moving, join(directory, link));
  const names = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path));
  for (const name of names)
    if (!isLink(join(directory, name))) symlinkSync(join(link, name), join(directory, name));
  for (const name of readdirSync(directory)) {
    const isOld = name.startsWith('..') ? name !== link && name !== next : !names.has(name);
    if (isOld) rmSync(join(directory, name), { recursive: true, force: true });
  }
  return true;
}

function linked(directory: string): string | undefined {
  try {
    return readlinkSync(join(directory, link));
  } catch {
    return undefined;
  }
}

function isLink(path: string): boolean {
  try {
    readlinkSync(path);
    return true;
  } catch {
    return false;
  }
}

function holds(root: string, payload: Payload): boolean {
  if (!existsSync(root)) return false;
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  if (files.length !== payload.size) return false;
  return [...payload].every(([path, { bytes, mode }]) => {
    const file = join(root, path);
    try {
      return (statSync(file).mode & 0o7777) === mode && readFileSync(file).equals(bytes);
    } catch {
      return false;
    }
  });
}
