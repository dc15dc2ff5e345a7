// What this machine's own namespaces hold, as comparable text: so that a run can prove that it left nothing behind.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

const output = (command, argv) => {
  const result = spawnSync(command, argv, { encoding: 'utf8' });
  return result.error ? [] : result.stdout.split('\n').filter((line) => line.trim() !== '');
};

/** Lines that name every link, address, route, rule, namespace, mount and process of ours. */
export function footprint() {
  return {
    links: output('ip', ['-o', 'link']).map((l) => l.replace(/qdisc.*?link/, 'link')),
    addresses: output('ip', ['-o', 'addr']).map((l) => l.replace(/valid_lft.*/, '')),
    routes: [
      ...output('ip', ['route', 'show', 'table', 'all']),
      ...output('ip', ['-6', 'route', 'show', 'table', 'all']),
    ].map((l) => l.replace(/expires \S+|pref \S+/g, '')),
    rules: output('ip', ['rule']),
    namespaces: existsSync('/run/netns') ? readdirSync('/run/netns') : [],
    firewall: output('nft', ['list', 'ruleset']),
    mounts: mounts(),
    folders: [
      '/var/lib/calico',
      '/var/run/calico',
      '/var/log/calico',
      '/etc/cni',
      '/opt/cni',
      '/var/lib/cni',
    ].filter((p) => existsSync(p)),
    processes: processes(),
    sysctls: ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'].map(
      (p) => `${p}=${read(`/proc/sys/${p}`)}`,
    ),
  };
}

const mounts = () =>
  read('/proc/self/mounts')
    .split('\n')
    .filter((line) => /margay|netns/.test(line));

/** Command lines of Margay's processes that run from this checkout. */
function processes() {
  const found = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const command = read(`/proc/${pid}/cmdline`).split('\0').join(' ');
    if (command.includes(root) && /src\/main\.ts|dist\/margay\.js/.test(command))
      found.push(`${pid} ${command}`);
  }
  return found;
}

function read(path) {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

/** What `after` has that `before` had not, and what is gone; empty text when they are equal. */
export function describeDifference(before, after) {
  const lines = [];
  for (const part of Object.keys(before)) {
    const old = new Set(before[part]);
    const now = new Set(after[part]);
    for (const line of now) if (!old.has(line)) lines.push(`+ ${part}: ${line}`);
    if (part !== 'processes') for (const line of old) if (!now.has(line)) lines.push(`- ${part}: ${line}`);
  }
  return lines.join('\n');
}
