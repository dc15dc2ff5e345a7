// A command that has commands: `ipam show`, `datastore migrate lock`.
import type { Command } from '../types.ts';
import { programName } from './program.ts';

export type Member = {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
};

export function group(name: string, summary: string, members: readonly Member[]): Command {
  const usage = (): string => {
    const width = Math.max(...members.map((member) => member.name.length)) + 2;
    const lines = members.map((member) => `  ${member.name.padEnd(width)}${member.summary}`);
    return `Usage: ${programName()} ${name} COMMAND [ARGS]; every command answers --help.\n\n${lines.join('\n')}\n`;
  };
  return {
    name,
    summary,
    async run(argv) {
      const [word, ...rest] = argv;
      if (word === undefined || word === 'help' || word === '-h' || word === '--help') {
        (word === undefined ? process.stderr : process.stdout).write(usage());
        return word === undefined ? 1 : 0;
      }
      const member = members.find((one) => one.name === word);
      if (member !== undefined) return (await member.load()).command.run(rest);
      process.stderr.write(
        `There is no command "${name} ${word}". Commands: ${members.map((one) => one.name).join(', ')}.\n`,
      );
      return 1;
    },
  };
}
