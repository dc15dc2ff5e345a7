// iptables and ipset in memory, with the rules of the real ones that matter here: a table is committed at once or not at all,
// a rule needs its target and its sets, a chain that is removed must be empty and nobody's target, a set in use stays.
import { err, ok, type Result } from '../../../lib/result.ts';
import type { CommandResult, CommandRunner } from './commands.ts';

type Chains = Map<string, string[]>;
type Tables = Map<string, Chains>;
type FakeSet = { readonly type: string; readonly maxSize: number; readonly members: Set<string> };

const kernelChains: Readonly<Record<string, readonly string[]>> = {
  raw: ['PREROUTING', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
};

export class FakeTools implements CommandRunner {
  /** By variant and family: `legacy 4`. */
  readonly #tables = new Map<string, Tables>();
  readonly sets = new Map<string, FakeSet>();
  /** Programs that were run, with what they read. */
  readonly calls: { readonly command: string; readonly input: string }[] = [];
  /** Lines of restore input that are refused. */
  refuses: (line: string) => boolean = () => false;
  /** Lines that a program takes and the kernel refuses: the commit fails. */
  refusesCommit: (line: string) => boolean = () => false;
  /** Programs that are not installed. */
  missing: (command: string) => boolean = () => false;

  run(command: string, _args: readonly string[], input = ''): Promise<CommandResult> {
    this.calls.push({ command, input });
    return Promise.resolve(this.#run(command, input));
  }

  read(path: string): Promise<string> {
    const family = path.includes('ip6') ? 6 : 4;
    return Promise.resolve([...this.tables('legacy', family).keys()].map((name) => `${name}\n`).join(''));
  }

  tables(variant: string, family: number): Tables {
    const key = `${variant} ${family}`;
    const known = this.#tables.get(key) ?? new Map<string, Chains>();
    this.#tables.set(key, known);
    return known;
  }

  /** The rules of a chain, or undefined. */
  chain(variant: string, family: number, table: string, name: string): readonly string[] | undefined {
    return this.tables(variant, family).get(table)?.get(name);
  }

  /** What another program does: the lines of one table. */
  foreign(variant: string, family: number, table: string, ...lines: readonly string[]): void {
    const result = this.#restore(this.tables(variant, family), `*${table}\n${lines.join('\n')}\nCOMMIT\n`);
    if (result.code !== 0) throw new Error(result.stderr);
  }

  #run(command: string, input: string): CommandResult {
    if (this.missing(command)) return { code: 127, stdout: '', stderr: 'spawn ENOENT' };
    if (command === 'ipset') return input === '' ? this.#listSets() : this.#restoreSets(input);
    const [program = '', variant = '', what = ''] = command.split('-');
    const tables = this.tables(variant, program === 'ip6tables' ? 6 : 4);
    return what === 'save' ? { code: 0, stdout: saved(tables), stderr: '' } : this.#restore(tables, input);
  }

  #restore(tables: Tables, input: string): CommandResult {
    let name = '';
    let chains: Chains = new Map();
    for (const [i, line] of input.split('\n').entries()) {
      const failed = (reason: string): CommandResult => ({
        code: 2,
        stdout: '',
        stderr: `iptables-restore: ${reason}\nError occurred at line: ${i + 1}`,
      });
      if (line === '') continue;
      if (this.refuses(line)) return failed('refused');
      if (line.startsWith('*')) {
        name = line.slice(1);
        const now: Chains =
          tables.get(name) ?? new Map((kernelChains[name] ?? []).map((chain) => [chain, []]));
        chains = new Map([...now].map(([chain, rules]) => [chain, [...rules]]));
      } else if (line === 'COMMIT') {
        if ([...chains.values()].flat().some((rule) => this.refusesCommit(rule)))
          return failed('no chain/target/match');
        tables.set(name, chains);
      } else {
        const done = this.#edit(chains, line);
        if (!done.ok) return failed(done.error);
      }
    }
    return { code: 0, stdout: '', stderr: '' };
  }

  #edit(chains: Chains, line: string): Result<void, string> {
    if (line.startsWith(':')) {
      chains.set(line.slice(1, line.indexOf(' ')), []);
      return ok(undefined);
    }
    const [command = '', chain = '', ...words] = line.split(' ');
    const rules = chains.get(chain);
    if (rules === undefined) return err(`no chain ${chain}`);
    const place = Number(words[0]);
    const rule = (from: number): string => words.slice(from).join(' ');
    if (command === '-X') {
      const isTarget = [...chains.values()].some((list) => list.some((each) => targetOf(each) === chain));
      if (rules.length > 0 || isTarget) return err(`chain ${chain} is in use`);
      chains.delete(chain);
    } else if (command === '-D') {
      const index = Number.isInteger(place)
        ? place - 1
        : rules.findIndex((each) => normal(each) === normal(rule(0)));
      if (rules[index] === undefined) return err(`no such rule in ${chain}`);
      rules.splice(index, 1);
    } else {
      const text = rule(command === '-A' ? 0 : 1);
      const target = targetOf(text);
      if (target?.startsWith('cali-') === true && !chains.has(target)) return err(`no target ${target}`);
      const set = /--match-set (\S+)/.exec(text)?.[1];
      if (set !== undefined && !this.sets.has(set)) return err(`Set ${set} doesn't exist.`);
      if (command === '-A') rules.push(text);
      else if (command === '-I' && place <= rules.length + 1) rules.splice(place - 1, 0, text);
      else if (command === '-R' && place <= rules.length) rules[place - 1] = text;
      else return err(`no place ${place} in ${chain}`);
    }
    return ok(undefined);
  }

  #listSets(): CommandResult {
    const lines = [...this.sets].flatMap(([name, { type, maxSize, members }]) => [
      `create ${name} ${type} family inet hashsize 1024 maxelem ${maxSize} bucketsize 12`,
      ...[...members].map((member) => `add ${name} ${member}`),
    ]);
    return { code: 0, stdout: lines.map((line) => `${line}\n`).join(''), stderr: '' };
  }

  #restoreSets(input: string): CommandResult {
    for (const [i, line] of input.trim().split('\n').entries()) {
      const problem = this.refuses(line) ? 'refused' : this.#editSet(line);
      if (problem !== undefined)
        return { code: 1, stdout: '', stderr: `ipset: Error in line ${i + 1}: ${problem}` };
    }
    return { code: 0, stdout: '', stderr: '' };
  }

  #editSet(line: string): string | undefined {
    const [command = '', name = '', value = '', ...options] = line.split(' ');
    const set = this.sets.get(name);
    if (command === 'create') {
      const maxSize = Number(options[options.indexOf('maxelem') + 1]);
      if (set !== undefined && (set.type !== value || set.maxSize !== maxSize)) return 'exists otherwise';
      if (set === undefined) this.sets.set(name, { type: value, maxSize, members: new Set() });
      return undefined;
    }
    if (set === undefined) return 'no such set';
    if (command === 'destroy') {
      if (this.#isUsed(name)) return 'in use';
      this.sets.delete(name);
    } else if (command === 'swap') {
      const other = this.sets.get(value);
      if (other === undefined) return 'no such set';
      this.sets.set(name, other).set(value, set);
    } else if (command === 'add') {
      if (set.members.size >= set.maxSize && !set.members.has(value)) return 'full';
      set.members.add(value);
    } else set.members.delete(value);
    return undefined;
  }

  #isUsed(set: string): boolean {
    for (const tables of this.#tables.values())
      for (const chains of tables.values())
        for (const rules of chains.values())
          if (rules.some((rule) => rule.includes(`--match-set ${set} `))) return true;
    return false;
  }
}

const targetOf = (rule: string): string | undefined => /(?:--jump|--goto|-j|-g) (\S+)/.exec(rule)?.[1];
const normal = (rule: string): string => rule.replace('--jump', '-j').replace('--goto', '-g');

/** Listings write short options. */
const saved = (tables: Tables): string =>
  [...tables]
    .map(([table, chains]) =>
      [
        `*${table}`,
        ...[...chains.keys()].map((chain) => `:${chain} ${/^[A-Z]+$/.test(chain) ? 'ACCEPT' : '-'} [0:0]`),
        ...[...chains].flatMap(([chain, rules]) => rules.map((rule) => `-A ${chain} ${normal(rule)}`)),
        'COMMIT',
        '',
      ].join('\n'),
    )
    .join('');
