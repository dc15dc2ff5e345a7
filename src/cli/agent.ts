// `margay agent`: the node agent, until SIGTERM or SIGINT. Routes and rules stay when it ends.
import { openFanOut } from './fan-out.ts';
import { failed, parseFlags, toldToEnd } from './process.ts';
import type { Command } from './types.ts';

type Flags = {
  readonly kubeconfig?: string;
  readonly nodename?: string;
  readonly cniSocket?: string;
  readonly cni: boolean;
  readonly allowRootNamespace?: boolean;
  readonly stateDirectory?: string;
};

async function agentFlags(argv: readonly string[]): Promise<Flags | number> {
  const { Command: Parser } = await import('commander');
  const parser = new Parser('margay agent')
    .description("Keep this node's routes, rules and settings as the datastore wants them, and serve CNI.")
    .option(
      '--kubeconfig <file>',
      'how to reach the API server; KUBECONFIG or the service account when absent',
    )
    .option('--nodename <name>', 'which node this is; NODENAME, HOSTNAME or the host name when absent')
    .option('--cni-socket <path>', 'where the CNI plugin finds the agent')
    .option('--no-cni', 'do not serve the CNI plugin')
    .option(
      '--state-directory <directory>',
      'a directory for all files of the node, in place of /var/lib/calico and /var/run/calico',
    )
    .option('--allow-root-namespace', 'this machine is a node: change its own routes and rules');
  // Both spellings are in use.
  const spelt = argv.map((argument) => argument.replace(/^--node-name(?==|$)/, '--nodename'));
  return parseFlags<Flags>(parser, spelt);
}

async function run(argv: readonly string[]): Promise<number> {
  const flags = await agentFlags(argv);
  if (typeof flags === 'number') return flags;
  const [
    { localSettings, startAgent, nodePaths, onProfileSignals, resolveNodeName },
    { openKernel },
    { createLogger },
    { openDatastore },
    { systemRunner },
    { hostname },
  ] = await Promise.all([
    import('../felix/agent/mod.ts'),
    import('../kernel/mod.ts'),
    import('../lib/log.ts'),
    import('../datastore/mod.ts'),
    import('../felix/dataplane/mod.ts'),
    import('node:os'),
  ]);
  const environment = process.env;
  const nodeName =
    flags.nodename ??
    resolveNodeName({
      NODENAME: environment['NODENAME'],
      HOSTNAME: environment['HOSTNAME'],
      systemHostname: hostname(),
    });
  const logger = createLogger('agent');
  const { logWarnings } = await import('./open-datastore.ts');
  const datastore = await openDatastore({
    ...(flags.kubeconfig === undefined ? {} : { kubeconfig: flags.kubeconfig }),
    userAgent: 'margay-agent',
    onWarning: logWarnings(logger),
  });
  if (!datastore.ok) return failed('agent', datastore.error);
  const allowRootNamespace = flags.allowRootNamespace === true;
  const kernel = await openKernel({ allowRootNamespace });
  if (!kernel.ok) return failed('agent', kernel.error);

  const paths = pathsBelow(nodePaths, flags.stateDirectory);
  const followed = await openFanOut(localSettings(environment, paths.felixConfig), {
    datastore: datastore.value,
    host: nodeName,
    logger,
    type: 'felix',
  });
  if (!followed.ok) return failed('agent', followed.error);
  const agent = startAgent({
    nodeName,
    datastore: datastore.value,
    ...(followed.value === undefined ? {} : { followed: followed.value }),
    kernel: kernel.value,
    openNamespace: (netns) => openKernel({ netns, allowRootNamespace }),
    commands: systemRunner(),
    environment,
    paths: { ...paths, ...(flags.cniSocket === undefined ? {} : { cniSocket: flags.cniSocket }) },
    logger,
    log: logger,
    serveCni: flags.cni,
  });
  const noMoreProfiles = onProfileSignals({ config: () => agent.status().config, logger });
  const signalled = toldToEnd();
  const notStarted = agent.ready.then((ready) =>
    ready.ok ? new Promise<never>(() => undefined) : ready.error,
  );
  const first = await Promise.race([signalled, notStarted, agent.ended]);
  const code = first === undefined ? 0 : failed('agent', first);
  noMoreProfiles();
  await agent.stop();
  followed.value?.close();
  await kernel.value.close();
  await datastore.value.close();
  return code;
}

/** The same files below another directory. */
function pathsBelow<P extends Readonly<Record<string, string>>>(paths: P, directory: string | undefined): P {
  if (directory === undefined) return paths;
  const moved = Object.entries(paths).map(([name, path]) => [name, `${directory}${path}`] as const);
  return Object.fromEntries(moved) as unknown as P;
}

export const command: Command = {
  name: 'agent',
  summary: 'the agent of a node: routes, rules, settings and CNI',
  run,
};
