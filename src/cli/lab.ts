// `margay lab`: a whole cluster in network namespaces of this machine.
import type { Failure } from '../lib/result.ts';
import type { BackendName, CapturePlace, LabOptions } from '../lab/mod.ts';
import type { Command } from './types.ts';

type TopologyFlags = {
  readonly name: string;
  readonly nodes?: number;
  readonly topology: string;
  readonly dualStack?: boolean;
  readonly fabricBgp: boolean;
  readonly design: string;
  readonly reflectors: 'nodes' | 'routers';
  readonly mode?: string;
  readonly backend: BackendName;
  readonly engine?: 'native' | 'bird';
  readonly typha?: boolean;
  readonly port?: number;
};

async function run(argv: readonly string[]): Promise<number> {
  const { Command: Parser, CommanderError, Option, InvalidArgumentError } = await import('commander');
  const lab = await import('../lab/mod.ts');
  let exitCode = 0;
  const whole = (text: string): number => {
    if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
    return Number(text);
  };
  const fail = (error: Failure): void => {
    process.stderr.write(`${error.message}${error.hint === undefined ? '' : ` ${error.hint}`}\n`);
    exitCode = 1;
  };
  const program = new Parser('margay lab')
    .description('A whole cluster in network namespaces of this machine, without a way out.')
    .enablePositionalOptions()
    .exitOverride();
  const named = (parser: InstanceType<typeof Parser>): InstanceType<typeof Parser> =>
    parser.option('--name <name>', 'which lab', 'lab').exitOverride();
  const shaped = (parser: InstanceType<typeof Parser>, topology: string): InstanceType<typeof Parser> =>
    named(parser)
      .option('--nodes <number>', 'how many nodes (4, with more racks two more than racks)', whole)
      .option(
        '--topology <name>',
        'flat: one subnet; two-racks, three-racks, four-racks: leaves and a spine',
        topology,
      )
      .option('--design <name>', 'who speaks BGP with whom: mesh, rr, as-per-rack, as-per-server', 'mesh')
      .addOption(
        new Option('--reflectors <kind>', 'what reflects in the design rr: selected nodes, or two routers')
          .choices(['nodes', 'routers'])
          .default('nodes'),
      )
      .addOption(
        new Option('--engine <engine>', 'who speaks BGP on the nodes (native)').choices(['native', 'bird']),
      )
      .option('--typha', 'nodes follow a fan-out server, as in large clusters, in place of the API server')
      .option(
        '--mode <name>',
        'how pods’ packets travel: bgp, ipip, ipip-crosssubnet, vxlan, vxlan-crosssubnet (bgp; vxlan with backend vxlan)',
      )
      .addOption(
        new Option(
          '--backend <name>',
          'CALICO_NETWORKING_BACKEND: bird, vxlan (no BGP), none (policy only, beside static routes)',
        )
          .choices(lab.backendNames)
          .default('bird'),
      )
      .option('--dual-stack', 'IPv6 beside IPv4')
      .option('--no-fabric-bgp', 'leaves and spine speak no BGP: rack 2 becomes a black hole for pods')
      .option('--port <number>', 'port of 127.0.0.1 for kubectl outside of the lab', whole);
  const upOptions = (flags: TopologyFlags): Parameters<typeof lab.labUp>[0] => ({
    name: flags.name,
    topology: flags.topology,
    dualStack: flags.dualStack ?? false,
    fabricBgp: flags.fabricBgp,
    design: flags.design,
    reflectors: flags.reflectors,
    backend: flags.backend,
    ...(flags.mode === undefined ? {} : { mode: flags.mode }),
    ...(flags.engine === undefined ? {} : { engine: flags.engine }),
    ...(flags.typha === undefined ? {} : { typha: flags.typha }),
    ...(flags.nodes === undefined ? {} : { nodes: flags.nodes }),
    ...(flags.port === undefined ? {} : { port: flags.port }),
  });

  shaped(program.command('start'), 'two-racks')
    .description('bring a lab up, run pods on every node, prove that they reach each other, show it')
    .option('--exit', 'take it down at the end; the exit code says whether all was as expected')
    .action(async (flags: TopologyFlags & { exit?: boolean }) => {
      exitCode = await lab.labStart({ ...upOptions(flags), exit: flags.exit ?? false });
    });
  shaped(program.command('up'), 'two-racks')
    .description('bring a lab up and leave it running')
    .action(async (flags: TopologyFlags) => {
      const up = await lab.labUp({
        ...upOptions(flags),
        onStep: (text) => process.stderr.write(`  ${text}\n`),
      });
      if (!up.ok) return fail(up.error);
      const { paths, record, tookMs } = up.value;
      process.stdout.write(
        `The lab "${flags.name}" is up: ${record.options.nodes} nodes in ${(tookMs / 1000).toFixed(1)} s.\n` +
          `  export KUBECONFIG=${paths.kubeconfig}\n` +
          '  margay lab shell | margay lab status | margay lab down\n',
      );
    });
  named(program.command('down'))
    .description('end a lab; nothing of it is left')
    .action(async ({ name }: { name: string }) => {
      const down = await lab.labDown(name);
      if (!down.ok) return fail(down.error);
      process.stdout.write(down.value ? `The lab "${name}" is down.\n` : `There is no lab "${name}" up.\n`);
    });
  named(program.command('status'))
    .description('machines and processes of a lab')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(['text', 'json']).default('text'))
    .action(async (flags: { name: string; output: string }) => {
      const status = await lab.labStatus(flags.name);
      if (!status.ok) return fail(status.error);
      const { statusText } = await import('./lab-status.ts');
      process.stdout.write(
        flags.output === 'json'
          ? `${JSON.stringify(status.value.lab, undefined, 2)}\n`
          : statusText(status.value.lab, status.value.paths.kubeconfig),
      );
    });
  named(program.command('mode'))
    .argument('<mode>', 'bgp, ipip, ipip-crosssubnet, vxlan or vxlan-crosssubnet')
    .description('change how pods’ packets travel, in the running lab: edits its pools')
    .action(async (mode: string, flags: { name: string }) => {
      const changed = await lab.labMode(flags.name, mode);
      if (!changed.ok) return fail(changed.error);
      process.stdout.write(`The pools of the lab "${flags.name}" now have the mode ${mode}.\n`);
    });
  named(program.command('design'))
    .argument('<design>', 'mesh, rr, as-per-rack or as-per-server')
    .description('change who speaks BGP with whom, in the running lab')
    .action(async (design: string, flags: { name: string }) => {
      const changed = await lab.labDesign(flags.name, design);
      if (!changed.ok) return fail(changed.error);
      process.stdout.write(`The lab "${flags.name}" now has the design ${changed.value.design}.\n`);
    });
  program
    .command('lessons')
    .description('the lessons there are')
    .action(async () => void process.stdout.write(`${(await lab.labLessons()).join('\n')}\n`));
  program
    .command('lesson')
    .argument('<lesson>', 'its name, or all')
    .description('a walk through a BGP design or routing mode: one ping, and what it met at every hop')
    .option('--name <name>', 'walk through this running lab, and leave it as the lesson has it')
    .option('--write <directory>', 'write pages there')
    .exitOverride()
    .action(async (lesson: string, flags: { name?: string; write?: string }) => {
      const taught = await lab.labLesson({
        lesson,
        ...(flags.name === undefined ? {} : { lab: flags.name }),
        ...(flags.write === undefined ? {} : { write: flags.write }),
        onStep: (text) => process.stderr.write(`  ${text}\n`),
      });
      if (!taught.ok) return fail(taught.error);
      process.stdout.write(`${taught.value.lines.join('\n')}\n`);
      if (!taught.value.asExpected) exitCode = 1;
    });
  named(program.command('exec'))
    .argument('<node>', 'a node or router, or the network of a pod: pod/NAME')
    .argument('<command...>', 'what to run there, after --')
    .description('run a command on a node or router, or in the network of a pod')
    .passThroughOptions()
    .action(async (node: string, command: string[], flags: { name: string }) => {
      const words = command[0] === '--' ? command.slice(1) : command;
      const result = await lab.labExec(flags.name, node, words);
      if (!result.ok) return fail(result.error);
      exitCode = result.value;
    });
  named(program.command('shell'))
    .argument('[node]', 'a node or router; the first node when left out')
    .description('a shell on a node, where kubectl, ip and tcpdump work')
    .action(async (node: string | undefined, flags: { name: string }) => {
      const result = await lab.labShell(flags.name, node);
      if (!result.ok) return fail(result.error);
      exitCode = result.value;
    });
  program
    .command('supervise', { hidden: true })
    .requiredOption('--state <directory>')
    .requiredOption('--options <json>')
    .option('--tied')
    .action(async (flags: { state: string; options: string; tied?: boolean }) => {
      exitCode = await lab.superviseLab({
        state: flags.state,
        options: JSON.parse(flags.options) as LabOptions,
        tied: flags.tied ?? false,
      });
    });
  program
    .command('capture', { hidden: true })
    .requiredOption('--places <json>')
    .action(async (flags: { places: string }) => {
      const ended = await lab.runCapture(JSON.parse(flags.places) as CapturePlace[]);
      if (!ended.ok) return fail(ended.error);
    });
  program
    .command('control', { hidden: true })
    .requiredOption('--kubeconfig <file>')
    .requiredOption('--options <json>')
    .action(async (flags: { kubeconfig: string; options: string }) => {
      const { openDatastore } = await import('./open-datastore.ts');
      const { createLogger } = await import('../lib/log.ts');
      const abort = new AbortController();
      process.once('SIGTERM', () => abort.abort());
      const opened = await openDatastore(flags.kubeconfig);
      if (!opened.ok) return fail(opened.error);
      const options = JSON.parse(flags.options) as LabOptions;
      await lab.runControl(opened.value, options, createLogger('control'), abort.signal);
      await opened.value.close();
    });
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  return exitCode;
}

export const command: Command = { name: 'lab', summary: 'a whole cluster on this machine', run };
