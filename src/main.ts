// The only entry point: `margay <command>`. Commands are loaded when they are asked for, so that each process starts with
// the code it needs.
import { runCommand } from './cli/mod.ts';

process.exitCode = await runCommand(process.argv.slice(2));
