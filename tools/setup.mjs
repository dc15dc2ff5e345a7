// Makes a fresh checkout able to run: npm packages, then Debian packages. Plain JavaScript for whatever Node the machine
// has. `--for start` needs the lab's tools; `--for test` wants every peer the tests talk to as well.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const purpose = process.argv[process.argv.indexOf('--for') + 1] === 'test' ? 'test' : 'start';

if (process.platform !== 'linux') {
  console.error(
    'Margay runs on Linux: it needs network namespaces. Use a Debian machine or virtual machine.',
  );
  process.exit(1);
}
installNpmPackages();
installDebianPackages();

/** `npm ci` once per package-lock.json, remembered by its hash inside node_modules. */
function installNpmPackages() {
  const stamp = join(root, 'node_modules', '.margay-lock');
  const hash = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  console.error('Installing npm packages…');
  const env = { ...process.env };
  // npm start and npm test pass their own options down; the installation is to be the same whoever asks.
  for (const name of Object.keys(env))
    if (/^npm_config_(omit|include|only|production)$/i.test(name)) delete env[name];
  const result = spawnSync(
    'npm',
    ['ci', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: root,
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  if (result.status !== 0) {
    console.error('npm ci failed; see the message above.');
    process.exit(1);
  }
  writeFileSync(stamp, hash);
}

function installDebianPackages() {
  const catalogue = JSON.parse(readFileSync(join(root, 'tools', 'packages.json'), 'utf8'));
  const wanted = purpose === 'test' ? [...catalogue.start, ...catalogue.test] : catalogue.start;
  const missing = wanted.filter((p) => !isThere(p.provides)).map((p) => p.package);
  if (missing.length === 0) return;
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  const canInstall = process.getuid?.() === 0 && isThere('apt-get');
  if (!canInstall) {
    console.error(
      `Missing Debian packages: ${missing.join(', ')}.\nInstall them as root with:\n  ${command}`,
    );
    if (purpose === 'start') process.exit(1);
    return;
  }
  console.error(`Installing Debian packages: ${missing.join(' ')}…`);
  // The packages bring daemons (routers, containerd) that only the tests may start, in namespaces of their own.
  const guard = '/usr/sbin/policy-rc.d';
  const guarded = !existsSync(guard);
  if (guarded) writeFileSync(guard, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const quiet = { env, stdio: ['ignore', 'ignore', 'inherit'] };
    execFileSync('apt-get', ['update', '-qq'], quiet);
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], quiet);
  } catch {
    console.error(`Installing Debian packages failed. Try it by hand:\n  ${command}`);
    process.exit(1);
  } finally {
    if (guarded) rmSync(guard, { force: true });
  }
}

/** A command on the PATH (or in the sbin folders, which a user's PATH may lack) or an absolute path. */
function isThere(provides) {
  if (provides.startsWith('/')) return existsSync(provides);
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin'];
  return folders.some((folder) => existsSync(join(folder, provides)));
}
