// `margay apiserver`: the embedded Kubernetes-shaped API server, until SIGTERM or SIGINT.
import type { Command } from './types.ts';

async function run(argv: readonly string[]): Promise<number> {
  const { Command: Parser, CommanderError } = await import('commander');
  const parser = new Parser('margay apiserver')
    .description('Serve the Kubernetes API and the Calico kinds from a local database.')
    .option('--listen <host:port...>', 'addresses to listen on; port 0 takes a free one')
    .option('--listen-fd <number>', 'an inherited socket that is listening already', Number)
    .requiredOption('--data <directory>', 'where the database is kept; :memory: keeps nothing')
    .option(
      '--durability <power|process>',
      'what an acknowledged write survives: a power cut, or the death of the process',
      'power',
    )
    .exitOverride();
  try {
    parser.parse([...argv], { from: 'user' });
  } catch (cause) {
    if (cause instanceof CommanderError) return cause.exitCode;
    throw cause;
  }
  const { listen, listenFd, data, durability } = parser.opts<{
    listen?: string[];
    listenFd?: number;
    data: string;
    durability: string;
  }>();
  if (durability !== 'power' && durability !== 'process') {
    process.stderr.write(`margay apiserver: --durability is "power" or "process", not "${durability}".\n`);
    return 2;
  }
  if (listenFd !== undefined && (!Number.isInteger(listenFd) || listenFd < 0)) {
    process.stderr.write('margay apiserver: --listen-fd is the number of a file descriptor.\n');
    return 2;
  }
  const stopped = new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  const { startApiServer } = await import('../apiserver/mod.ts');
  const started = await startApiServer({
    listen: listen ?? (listenFd === undefined ? ['127.0.0.1:6443'] : []),
    ...(listenFd === undefined ? {} : { listenFd }),
    data,
    durability,
  });
  if (!started.ok) {
    const { message, hint } = started.error;
    process.stderr.write(`margay apiserver: ${message}${hint === undefined ? '' : ` ${hint}`}\n`);
    return 1;
  }
  for (const address of started.value.addresses) process.stdout.write(`${address}\n`);
  await stopped;
  await started.value.stop();
  return 0;
}

export const command: Command = { name: 'apiserver', summary: 'the embedded Kubernetes API server', run };
