// `margay pod`: a built-in program as the content of a container of the lab. Not for people, so `help` does not list it.
import { runPodProgram } from '../lab/mod.ts';
import type { Command } from './types.ts';

export const command: Command = {
  name: 'pod',
  summary: 'a program of a container of the lab',
  run: (argv) => runPodProgram(argv),
};
