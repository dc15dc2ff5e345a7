// An image made here, without a registry: one static binary (Debian's busybox-static) in a docker-archive that
// `ctr images import` takes.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes the archive into the directory; gives its path. */
export function busyboxImage(directory: string, name: string): string {
  const rootfs = join(directory, 'rootfs');
  mkdirSync(join(rootfs, 'bin'), { recursive: true });
  copyFileSync(
    execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim(),
    join(rootfs, 'bin', 'busybox'),
  );
  symlinkSync('busybox', join(rootfs, 'bin', 'sh'));
  const layer = join(directory, 'layer.tar');
  execFileSync('tar', ['-C', rootfs, '-cf', layer, '.']);
  const digest = createHash('sha256').update(readFileSync(layer)).digest('hex');
  const config = {
    architecture: process.arch === 'x64' ? 'amd64' : 'arm64',
    os: 'linux',
    config: { Cmd: ['/bin/sh'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
  };
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  writeFileSync(
    join(directory, 'manifest.json'),
    JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }]),
  );
  const archive = join(directory, 'image.tar');
  execFileSync('tar', ['-C', directory, '-cf', archive, 'config.json', 'manifest.json', 'layer.tar']);
  return archive;
}
