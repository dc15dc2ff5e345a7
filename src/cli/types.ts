// A command of the `margay` executable. main.ts knows the names; each file of this folder is one command.

export type Command = {
  readonly name: string;
  readonly summary: string;
  /** Arguments after the command's name; gives the exit code. */
  run(argv: readonly string[]): Promise<number>;
};
