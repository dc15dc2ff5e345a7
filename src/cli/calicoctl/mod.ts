// The commands of calicoctl by name. Programs called `calicoctl` and `kubectl-calico` have these only; `margay` has them
// beside its own. The code of a command is imported when it runs.
import type { Command } from '../types.ts';
import { group, type Member } from './group.ts';

const loaded = (command: Command) => () => Promise.resolve({ command });

const ipam = group('ipam', 'IP address management', [
  {
    name: 'show',
    summary: 'how full pools and blocks are; who has an address',
    load: () => import('./ipam/show.ts'),
  },
  {
    name: 'check',
    summary: 'compares addresses given out with those in use',
    load: () => import('./ipam/check.ts'),
  },
  {
    name: 'release',
    summary: 'gives addresses back that nobody uses',
    load: () => import('./ipam/release.ts'),
  },
  { name: 'configure', summary: 'switches of address management', load: () => import('./ipam/configure.ts') },
  { name: 'split', summary: 'a pool into smaller ones', load: () => import('./ipam/split.ts') },
]);

const node = group('node', 'this node', [
  {
    name: 'status',
    summary: 'whether Calico runs here, and its BGP sessions',
    load: () => import('./node/status.ts'),
  },
  {
    name: 'checksystem',
    summary: 'whether the kernel has what is needed',
    load: () => import('./node/checksystem.ts'),
  },
  {
    name: 'diags',
    summary: 'an archive of what tells about the state of this node',
    load: () => import('./node/diags.ts'),
  },
  {
    name: 'run',
    summary: 'makes this machine a node: runs the agent and the BGP speaker',
    load: () => import('./node/run.ts'),
  },
]);

const migrate = group('datastore migrate', 'moving a datastore', [
  {
    name: 'lock',
    summary: 'keeps changes out',
    load: async () => ({ command: (await import('./datastore/lock.ts')).lock }),
  },
  {
    name: 'unlock',
    summary: 'lets changes in again',
    load: async () => ({ command: (await import('./datastore/lock.ts')).unlock }),
  },
  {
    name: 'export',
    summary: 'everything as YAML on standard output',
    load: () => import('./datastore/export.ts'),
  },
  {
    name: 'import',
    summary: 'what export wrote into an empty datastore',
    load: () => import('./datastore/import.ts'),
  },
]);
const datastore = group('datastore', 'the datastore as a whole', [
  { name: 'migrate', summary: 'lock, unlock, export, import', load: loaded(migrate) },
  {
    name: 'migrate-policy-names',
    summary: 'policies of an old etcd datastore take their own names',
    load: () => import('./datastore/policy-names.ts'),
  },
]);
const cluster = group('cluster', 'the cluster as a whole', [
  {
    name: 'diags',
    summary: 'an archive of what tells about the state of the cluster',
    load: () => import('./cluster/diags.ts'),
  },
]);

/** In the order of the help text. */
export const verbs: readonly Member[] = [
  { name: 'get', summary: 'shows resources of one kind', load: () => import('./get.ts') },
  { name: 'create', summary: 'creates resources of a file', load: () => import('./create.ts') },
  { name: 'apply', summary: 'creates or replaces resources of a file', load: () => import('./apply.ts') },
  { name: 'replace', summary: 'replaces resources by those of a file', load: () => import('./replace.ts') },
  { name: 'patch', summary: 'changes fields of a resource', load: () => import('./patch.ts') },
  { name: 'delete', summary: 'deletes resources', load: () => import('./delete.ts') },
  {
    name: 'label',
    summary: 'sets or removes labels of a resource',
    load: async () => (await import('./label.ts')).label,
  },
  {
    name: 'annotate',
    summary: 'sets or removes annotations of a resource',
    load: async () => (await import('./label.ts')).annotate,
  },
  {
    name: 'validate',
    summary: 'checks resources of a file without a datastore',
    load: () => import('./validate.ts'),
  },
  {
    name: 'convert',
    summary: 'resources of older groups and of Kubernetes as projectcalico.org/v3',
    load: () => import('./convert.ts'),
  },
  { name: 'ipam', summary: 'addresses: show, check, release, configure, split', load: loaded(ipam) },
  { name: 'node', summary: 'this node: status, diags, checksystem, run', load: loaded(node) },
  {
    name: 'datastore',
    summary: 'the datastore: migrate lock, unlock, export, import',
    load: loaded(datastore),
  },
  { name: 'cluster', summary: 'the cluster: diags', load: loaded(cluster) },
  {
    name: 'version',
    summary: 'versions of this program and of the cluster',
    load: () => import('./version.ts'),
  },
];

/** Flags that may stand before the verb, and whether a value follows. */
const leadingFlags: Readonly<Record<string, boolean>> = {
  '--allow-version-mismatch': false,
  '--context': true,
  '-c': true,
  '--config': true,
  '-l': true,
  '--log-level': true,
};

/** The same arguments with the verb in front. Groups pass them on to their commands, which come first then, too. */
export function verbFirst(argv: readonly string[]): readonly string[] {
  const flags: string[] = [];
  let i = 0;
  for (; i < argv.length; i++) {
    const word = argv[i] ?? '';
    const [name = ''] = word.split('=');
    const takesValue = leadingFlags[name];
    if (takesValue === undefined) break;
    flags.push(word);
    if (takesValue && !word.includes('=')) flags.push(argv[++i] ?? '');
  }
  return flags.length === 0 ? argv : [...argv.slice(i), ...flags];
}
