// Reads what iptables-save and ipset save print. Rules are not understood, only recognised: by the hash in their comment,
// which says what they are (FX-018).
import type { Family } from '../../../lib/ip/mod.ts';
import { isOurChain, isOurSet } from './names.ts';
import type { TableName } from './rules.ts';
import type { Actual } from './types.ts';

const hashPattern = /--comment "?(cali:[\w-]+)"?/;
const ourJump = /-(?:j|g) (\S+)/;

export const hashOf = (rule: string): string => hashPattern.exec(rule)?.[1] ?? '';

/** A rule in a chain of the kernel is ours if it has our hash or leads to a chain of ours. */
export const isOurRule = (rule: string): boolean =>
  hashOf(rule) !== '' || isOurChain(ourJump.exec(rule)?.[1] ?? '');

const kernelChains: ReadonlySet<string> = new Set([
  'PREROUTING',
  'INPUT',
  'FORWARD',
  'OUTPUT',
  'POSTROUTING',
]);

/** Our chains, and the kernel's chains, under the keys that rows have. */
export function parseSave(text: string, family: Family): ReadonlyMap<string, Actual> {
  const found = new Map<string, Actual>();
  const rules = new Map<string, string[]>();
  let table: TableName = 'filter';
  const closeTable = (): void => {
    for (const [name, lines] of rules) {
      if (isOurChain(name))
        found.set(`${family} ${table} chain ${name}`, { kind: 'chain', hashes: lines.map(hashOf) });
      else if (kernelChains.has(name))
        found.set(`${family} ${table} hook ${name}`, {
          kind: 'hook',
          rules: lines.map((line) => (isOurRule(line) ? line : undefined)),
        });
    }
    rules.clear();
  };
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1) as TableName;
    else if (line.startsWith(':')) rules.set(line.slice(1, line.indexOf(' ')), []);
    else if (line.startsWith('-A ')) rules.get(line.slice(3, line.indexOf(' ', 3)))?.push(line);
    else if (line === 'COMMIT') closeTable();
  }
  return found;
}

/** A table that is left out of the listing: iptables-nft does not understand all of nftables. Nothing may be concluded from
 *  what is not listed. */
export const unreadTable = (text: string): string | undefined =>
  /^# Table `([^']+)' is incompatible, use 'nft' tool/m.exec(text)?.[1];

/** What tells the variant of iptables that a host uses. */
export const describeRules = (text: string) => ({
  count: text.split('\n').filter((line) => line.startsWith('-A ')).length,
  hasKubelet: /^:KUBE-(IPTABLES-HINT|KUBELET-CANARY) /m.test(text),
  hasKubeProxy: /^:KUBE-(SERVICES|PROXY-CANARY) /m.test(text),
});

/** Our sets and their members. */
export function parseSets(text: string): ReadonlyMap<string, Actual> {
  const found = new Map<string, Actual>();
  for (const line of text.split('\n')) {
    const [command, name = '', value = '', ...options] = line.split(' ');
    if (!isOurSet(name)) continue;
    const family = /^cali6|^felix-6/.test(name) ? 6 : 4;
    if (command === 'create') {
      const maxSize = Number(options[options.indexOf('maxelem') + 1] ?? 0);
      found.set(`${family} set ${name}`, { kind: 'set', type: value, maxSize });
    } else if (command === 'add') found.set(`${family} member ${name} ${value}`, { kind: 'member' });
  }
  return found;
}
