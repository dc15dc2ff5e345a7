// `margay apiserver`: the embedded Kubernetes-shaped API server, until SIGTERM or SIGINT.
import { join } from 'node:path';
import { failed, toldToEnd } from './process.ts';
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
    .option('--tls', 'serve TLS with an authority of its own, and check who asks')
    .option('--pki <directory>', "where the authority's keys are kept; the data directory's pki by default")
    .option('--tls-host <name...>', 'further names or addresses under which clients reach the server')
    .option(
      '--cut-trial <seconds>',
      'how long a change of policy that would cut the server off is on trial; 0: never (MARGAY_CUT_TRIAL)',
      Number,
    )
    .option('--kubeconfig-out <file>', "where the administrator's kubeconfig is written")
    .exitOverride();
  try {
    parser.parse([...argv], { from: 'user' });
  } catch (cause) {
    if (cause instanceof CommanderError) return cause.exitCode;
    throw cause;
  }
  const { listen, listenFd, data, durability, tls, pki, tlsHost, kubeconfigOut, cutTrial } = parser.opts<{
    listen?: string[];
    listenFd?: number;
    data: string;
    durability: string;
    tls?: boolean;
    pki?: string;
    tlsHost?: string[];
    kubeconfigOut?: string;
    cutTrial?: number;
  }>();
  const trialSeconds = cutTrial ?? Number(process.env['MARGAY_CUT_TRIAL'] || Number.NaN);
  if (cutTrial !== undefined && !(cutTrial >= 0)) {
    process.stderr.write('margay apiserver: --cut-trial is a number of seconds.\n');
    return 2;
  }
  if (tls && data === ':memory:' && pki === undefined) {
    process.stderr.write(
      'margay apiserver: --tls keeps its keys in the data directory; with :memory: name another by --pki.\n',
    );
    return 2;
  }
  if ((kubeconfigOut !== undefined || pki !== undefined || tlsHost !== undefined) && !tls) {
    process.stderr.write('margay apiserver: --pki, --tls-host and --kubeconfig-out go with --tls.\n');
    return 2;
  }
  if (durability !== 'power' && durability !== 'process') {
    process.stderr.write(`margay apiserver: --durability is "power" or "process", not "${durability}".\n`);
    return 2;
  }
  if (listenFd !== undefined && (!Number.isInteger(listenFd) || listenFd < 0)) {
    process.stderr.write('margay apiserver: --listen-fd is the number of a file descriptor.\n');
    return 2;
  }
  const stopped = toldToEnd();
  const { adminKubeconfig, clusterKeys, startApiServer } = await import('../apiserver/mod.ts');
  const keys = tls ? clusterKeys(pki ?? join(data, 'pki'), tlsHost ?? [], Date.now()) : undefined;
  const started = await startApiServer({
    listen: listen ?? (listenFd === undefined ? ['127.0.0.1:6443'] : []),
    ...(listenFd === undefined ? {} : { listenFd }),
    data,
    durability,
    ...(trialSeconds >= 0 ? { cutTrialMs: trialSeconds * 1000 } : {}),
    ...(keys === undefined ? {} : { security: keys.security }),
  });
  if (!started.ok) return failed('apiserver', started.error);
  if (keys !== undefined && kubeconfigOut !== undefined) {
    const { writeFileSync } = await import('node:fs');
    const text = adminKubeconfig(keys.authority, started.value.addresses[0] ?? '', Date.now());
    writeFileSync(kubeconfigOut, text, { mode: 0o600 });
  }
  for (const address of started.value.addresses) process.stdout.write(`${address}\n`);
  await stopped;
  await started.value.stop();
  return 0;
}

export const command: Command = { name: 'apiserver', summary: 'the embedded Kubernetes API server', run };
