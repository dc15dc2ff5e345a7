// `margay runner`: runs the pods bound to a node of the lab, until SIGTERM. Pods outlive it.
import type { InterfaceAddress } from '../lib/ip/mod.ts';
import { failed, parseFlags, toldToEnd } from './process.ts';
import type { Command } from './types.ts';

async function run(argv: readonly string[]): Promise<number> {
  const { Command: Parser, InvalidArgumentError } = await import('commander');
  const { parseInterfaceAddress } = await import('../lib/ip/mod.ts');
  const address = (text: string, before: readonly InterfaceAddress[] = []): readonly InterfaceAddress[] => {
    const parsed = parseInterfaceAddress(text);
    if (!parsed.ok) throw new InvalidArgumentError(parsed.error.message);
    return [...before, parsed.value];
  };
  const label = (
    text: string,
    before: Readonly<Record<string, string>> = {},
  ): Readonly<Record<string, string>> => {
    const equals = text.indexOf('=');
    if (equals < 1) throw new InvalidArgumentError('A label is KEY=VALUE.');
    return { ...before, [text.slice(0, equals)]: text.slice(equals + 1) };
  };
  const parser = new Parser('margay runner')
    .description('Run the pods bound to a node of the lab, as a kubelet does.')
    .requiredOption('--kubeconfig <file>', 'how to reach the API server', process.env['KUBECONFIG'])
    .requiredOption('--nodename <name>', 'which node this is', process.env['NODENAME'])
    .option('--address <address/length>', "one of the node's addresses", address)
    .option('--label <key=value>', 'a label of the node', label)
    .option('--dual-stack', 'pods get IPv6 addresses, too')
    .option(
      '--pod-range <prefix>',
      "another network hands out the pods' addresses, of this range of the node",
      (text: string, before: readonly string[] | undefined) => [...(before ?? []), text],
    );
  const flags = await parseFlags<{
    kubeconfig: string;
    nodename: string;
    address?: readonly InterfaceAddress[];
    label?: Readonly<Record<string, string>>;
    dualStack?: boolean;
    podRange?: readonly string[];
  }>(parser, argv);
  if (typeof flags === 'number') return flags;
  const { createLogger } = await import('../lib/log.ts');
  const { readLabIdentity, startNodeRunner, startServiceProxy } = await import('../lab/mod.ts');
  const { openKernel } = await import('../kernel/mod.ts');
  const { openDatastore } = await import('./open-datastore.ts');
  const opened = await openDatastore(flags.kubeconfig);
  if (!opened.ok) return failed('runner', opened.error);
  const kernel = await openKernel();
  if (!kernel.ok) return failed('runner', kernel.error);
  const { nodeClientName } = await import('../lib/certificates.ts');
  // The node's own certificate is for both: to speak to the API server, and to be spoken to.
  const identity = await readLabIdentity(flags.kubeconfig).catch((error: Error) => error.message);
  if (typeof identity === 'string') {
    process.stderr.write(`${flags.kubeconfig} is not the kubeconfig of a node of the lab: ${identity}.\n`);
    return 1;
  }
  const { ca, cert, key } = identity;
  const stopped = toldToEnd();
  const logger = createLogger('runner');
  const proxy = await startServiceProxy({
    datastore: opened.value,
    kernel: kernel.value,
    node: flags.nodename,
    families: flags.dualStack === true ? [4, 6] : [4],
    logger: logger.with({ part: 'service proxy' }),
  });
  const runner = await startNodeRunner({
    datastore: opened.value,
    logger,
    nodeName: flags.nodename,
    addresses: flags.address ?? [],
    labels: flags.label ?? {},
    dualStack: flags.dualStack ?? false,
    podRanges: flags.podRange ?? [],
    kubeconfig: flags.kubeconfig,
    streams: { tls: { ca, cert, key, clientName: nodeClientName } },
  });
  await stopped;
  await runner.stop();
  await proxy.stop();
  await kernel.value.close();
  await opened.value.close();
  return 0;
}

export const command: Command = { name: 'runner', summary: 'runs the pods of a node of the lab', run };
