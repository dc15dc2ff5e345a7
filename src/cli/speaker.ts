// `margay speaker`: the BGP speaker of a node, told what to do by Calico resources, or of a router, told by a plan file. Two
// engines can be it: the native one, and BIRD 2 as Calico has it (docs/bird-engine.md).
import { dirname, join } from 'node:path';
import type { Kernel } from '../kernel/mod.ts';
import { parseFlags } from './process.ts';
import type { Command } from './types.ts';

type Flags = {
  readonly kubeconfig?: string;
  readonly nodename?: string;
  readonly plan?: string;
  readonly socket: string;
  readonly allowRootNamespace?: boolean;
  readonly engine: 'native' | 'bird';
  readonly bird: string;
  readonly birdDirectory: string;
  readonly controlSocket?: string;
};

async function run(argv: readonly string[]): Promise<number> {
  const { Command: Parser, Option } = await import('commander');
  const parser = new Parser('margay speaker')
    .description("Run a node's BGP speaker until SIGTERM. Sessions and kernel routes survive its restart.")
    .option('--kubeconfig <file>', 'how to reach the API server', process.env['KUBECONFIG'])
    .option('--nodename <name>', 'which node this is', process.env['NODENAME'])
    .option('--plan <file>', 'a plan instead of Calico resources; read again on SIGHUP (docs/bgp.md)')
    .option('--socket <path>', 'where status can be asked', '/var/run/calico/bgp.sock')
    .option(
      '--allow-root-namespace',
      "write routes even in the machine's root network namespace (a real node)",
    )
    .addOption(
      new Option('--engine <engine>', 'who speaks: this program, or BIRD 2')
        .choices(['native', 'bird'])
        .default(
          process.env['CALICO_NETWORKING_BACKEND'] === 'bird' ? 'bird' : 'native',
          'native; bird when CALICO_NETWORKING_BACKEND=bird',
        ),
    )
    .option('--bird <program>', 'the program of the BIRD engine', 'bird')
    .option('--bird-directory <path>', 'where its bird.cfg is written', '/etc/calico/confd/config')
    .option('--control-socket <path>', 'where birdc finds the speaker (bird.ctl beside the other socket)');
  const flags = await parseFlags<Flags>(parser, argv);
  if (typeof flags === 'number') return flags;
  const { runSpeaker } = await import('../bgp/speaker/mod.ts');
  const { createLogger } = await import('../lib/log.ts');
  const { openKernel } = await import('../kernel/mod.ts');
  const logger = createLogger('speaker');

  if (flags.plan === undefined && flags.nodename === undefined)
    return fail(
      'The speaker needs --nodename (or NODENAME), or --plan.',
      'A plan file is described in docs/bgp.md.',
    );
  const kernel = await openKernel({ allowRootNamespace: flags.allowRootNamespace === true });
  if (!kernel.ok) return fail(kernel.error.message, kernel.error.hint);
  const backend = process.env['CALICO_NETWORKING_BACKEND'] ?? '';
  if (flags.plan === undefined && ['vxlan', 'none'].includes(backend)) {
    const { standBy } = await import('../bgp/speaker/mod.ts');
    const ended = await standBy({ backend, kernel: kernel.value, logger, signals: process });
    return ended.ok ? 0 : fail(ended.error.message, ended.error.hint);
  }
  if (flags.engine === 'bird') return runWithBird(flags, kernel.value);
  const source = flags.plan === undefined ? await calicoSource(flags) : { plan: flags.plan };
  if (typeof source === 'number') return source;
  const { ControlServer } = await import('../bgp/bird/mod.ts');
  const ended = await runSpeaker({
    kernel: kernel.value,
    logger,
    socket: flags.socket,
    signals: process,
    source,
    faces: [(speaker) => new ControlServer({ path: controlSocketOf(flags), logger, speaker })],
  });
  if (!ended.ok) return fail(ended.error.message, ended.error.hint);
  return 0;
}

const controlSocketOf = ({ controlSocket, socket }: Flags): string =>
  controlSocket ?? join(dirname(socket), 'bird.ctl');

async function runWithBird(flags: Flags, kernel: Kernel): Promise<number> {
  if (flags.plan !== undefined)
    return fail('A plan file is for the native engine.', 'The BIRD engine follows Calico resources.');
  const { runBird } = await import('../bgp/bird/mod.ts');
  const { createLogger } = await import('../lib/log.ts');
  const source = await calicoSource(flags);
  if (typeof source === 'number') return source;
  const ended = await runBird({
    ...source,
    kernel,
    logger: createLogger('bird-engine'),
    socket: flags.socket,
    signals: process,
    program: flags.bird,
    directory: flags.birdDirectory,
    controlSocket: controlSocketOf(flags),
  });
  return ended.ok ? 0 : fail(ended.error.message, ended.error.hint);
}

/** The datastore and the name of the node; an exit code when it cannot be opened. */
async function calicoSource(flags: Flags) {
  const [{ openDatastore }, { logWarnings }, { createLogger }] = await Promise.all([
    import('../datastore/mod.ts'),
    import('./open-datastore.ts'),
    import('../lib/log.ts'),
  ]);
  const logger = createLogger('speaker');
  const opened = await openDatastore({
    ...(flags.kubeconfig === undefined ? {} : { kubeconfig: flags.kubeconfig }),
    userAgent: 'margay-speaker',
    onWarning: logWarnings(logger),
  });
  if (!opened.ok) return fail(opened.error.message, opened.error.hint);
  const { openFanOut } = await import('./fan-out.ts');
  const setting = (name: string): string | undefined =>
    process.env[`CONFD_${name.toUpperCase()}`] ?? process.env[`FELIX_${name.toUpperCase()}`];
  const followed = await openFanOut(setting, {
    datastore: opened.value,
    host: flags.nodename ?? '',
    logger,
    type: 'bgp',
  });
  if (!followed.ok) return fail(followed.error.message, followed.error.hint);
  const clusterIPs = process.env['CALICO_ADVERTISE_CLUSTER_IPS']?.split(',').filter((c) => c !== '');
  const routerId = process.env['CALICO_ROUTER_ID'];
  const namespace = process.env['NAMESPACE'];
  return {
    store: opened.value,
    ...(followed.value === undefined ? {} : { followed: followed.value }),
    nodeName: flags.nodename ?? '',
    ...(namespace === undefined ? {} : { secretNamespace: namespace }),
    settings: {
      ...(routerId === undefined ? {} : { routerIdSetting: routerId }),
      ...(clusterIPs === undefined ? {} : { advertiseClusterIPs: clusterIPs }),
    },
  };
}

function fail(message: string, hint?: string): number {
  process.stderr.write(`${message}${hint === undefined ? '' : ` ${hint}`}\n`);
  return 1;
}

export const command: Command = {
  name: 'speaker',
  summary: "a node's BGP speaker (what BIRD and confd do)",
  run,
};
