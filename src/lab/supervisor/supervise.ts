// The lab's supervisor: child of process 1, builds the machines, starts their processes and keeps them running, answers
// on the control socket. When it ends, the lab ends.
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { createLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { serveControl } from '../control-socket.ts';
import { LabKeys } from '../keys.ts';
import { mainFile } from '../main-file.ts';
import { pathsOf } from '../state.ts';
import { planTopology, type Topology } from '../topology/mod.ts';
import type { LabOptions, LabStatus, MachineStatus, ProgressLine } from '../types.ts';
import { apiAddress, apiPort, processSpecs } from './commands.ts';
import { type BuiltMachine, buildTopology } from './machines.ts';
import { ProcessKeeper } from './processes.ts';
import { routerPlan } from './router-plan.ts';

const listenFd = 3;
const progressFd = 4;

export async function supervise(argv: {
  readonly state: string;
  readonly options: LabOptions;
  readonly tied: boolean;
}): Promise<number> {
  const logger = createLogger('lab');
  const started = performance.now();
  const startedAt = new Date().toISOString();
  const launcher = new Socket({ fd: progressFd, readable: true, writable: true });
  const say = (line: ProgressLine): void => void launcher.write(`${JSON.stringify(line)}\n`);
  let ready = false;
  // A launcher that died before the lab was up leaves nobody who knows of it.
  launcher.on('error', () => undefined);
  launcher.on('close', () => {
    if (!ready || argv.tied) process.exit(1);
  });
  launcher.resume();
  const paths = pathsOf(argv.state);
  try {
    const topology = expect(planTopology({ ...argv.options, name: argv.options.topology }), 'topology');
    const server = `https://${apiAddress(topology)}:${apiPort}`;
    const keys = LabKeys.open(argv.state, argv.options.name);
    const admin = keys.userKubeconfig(server, 'kubernetes-admin');
    await writeFile(paths.insideKubeconfig, admin, { mode: 0o600 });
    const { control: controlKubeconfig, calicoNode } = keys.writeCluster(server);
    writeShellFiles(paths.bin);
    writeHosts(topology.machines);
    const routers = topology.machines.filter((m) => m.role === 'router').length;
    const nodes = topology.machines.filter((m) => m.role === 'node').length;
    say({
      type: 'step',
      text: `building ${nodes} nodes${routers > 0 ? `, ${routers} routers` : ''} and ${topology.cables.length} cables`,
    });
    const machines = await buildTopology(topology, argv.state);
    const byName = new Map(machines.map((m) => [m.machine.name, m]));
    const dataDirectory = '/run/margay/apiserver';
    mkdirSync(dataDirectory, { recursive: true });
    const planFile = (name: string): string => join(argv.state, `${name}-bgp.json`);
    writeRouterPlans(topology, planFile);
    const keeper = new ProcessKeeper({
      onEnd: (end) => logger.warn('a process ended and will be started again', { ...end }),
    });
    let options = argv.options;
    const control = await serveControl(paths.socket, (request) => {
      if (request.op === 'design') {
        const next = planTopology({ ...options, name: options.topology, design: request.design });
        if (!next.ok) return next;
        options = { ...options, design: next.value.design };
        for (const router of writeRouterPlans(next.value, planFile))
          keeper.signal(router, 'speaker', 'SIGHUP');
      }
      return statusOf(options, startedAt, machines, keeper);
    });
    control.on('error', (error) => logger.error('control socket failed', { error: error.message }));
    const specs = processSpecs({
      topology,
      program: [process.execPath, mainFile()],
      logs: paths.logs,
      keys: keys.directory,
      kubeconfigs: {
        admin: paths.insideKubeconfig,
        control: controlKubeconfig,
        calicoNode,
        runner: (machine) =>
          keys.writeNode(
            server,
            machine.name,
            machine.interfaces.flatMap((one) => one.addresses.map(({ address }) => address)),
          ),
      },
      planFile,
      holderPid: (name) => byName.get(name)?.holder.pid ?? 0,
      dataDirectory,
      options: JSON.stringify(argv.options),
      listenFd,
      ...(argv.options.engine === undefined ? {} : { engine: argv.options.engine }),
      ...(argv.options.typha === undefined ? {} : { typha: argv.options.typha }),
    });
    say({ type: 'step', text: `starting ${specs.length} processes` });
    for (const spec of specs) keeper.keep(spec);
    ready = true;
    say({ type: 'ready', tookMs: Math.round(performance.now() - started) });
  } catch (error) {
    logger.error('the lab could not be built', { error: (error as Error).stack });
    say({ type: 'failed', message: `The lab could not be built: ${(error as Error).message}` });
    await new Promise<void>((resolve) => {
      launcher.end(() => resolve());
    });
    return 1;
  }
  return new Promise(() => undefined);
}

/** What each router's speaker reads; gives the names of those that have one. */
function writeRouterPlans(topology: Topology, planFile: (machine: string) => string): string[] {
  const routers = topology.machines.filter((m) => m.bgp !== undefined);
  for (const router of routers) writeFileSync(planFile(router.name), routerPlan(router));
  return routers.map((r) => r.name);
}

function statusOf(
  options: LabOptions,
  startedAt: string,
  machines: readonly BuiltMachine[],
  keeper: ProcessKeeper,
): LabStatus {
  return {
    ...options,
    startedAt,
    machines: machines.map(
      ({ machine, holder }): MachineStatus => ({
        name: machine.name,
        role: machine.role,
        ...(machine.rack === undefined ? {} : { rack: machine.rack }),
        addresses: machine.interfaces.flatMap((i) => i.addresses.map((a) => `${a.address}/${a.length}`)),
        holderPid: holder.pid,
      }),
    ),
    processes: keeper.status(),
  };
}

/** `margay` and `on NODE COMMAND…` for the lab's shells. */
function writeShellFiles(bin: string): void {
  const script = (name: string, text: string): void => writeFileSync(join(bin, name), text, { mode: 0o755 });
  // The program goes by the name it is called by; a link gives it that name, whatever the file is called.
  const links = join(bin, '.names');
  rmSync(links, { recursive: true, force: true });
  mkdirSync(links, { recursive: true });
  for (const name of ['margay', 'calicoctl', 'kubectl-calico']) {
    symlinkSync(mainFile(), join(links, name));
    script(name, `#!/bin/sh\nexec '${process.execPath}' '${join(links, name)}' "$@"\n`);
  }
  script(
    'on',
    `#!/bin/sh\nnode=$1; shift\nexec '${join(bin, 'margay')}' lab exec --name "$MARGAY_LAB" "$node" -- "$@"\n`,
  );
}

/** Bound over /etc/hosts by the init script. */
function writeHosts(
  machines: readonly {
    readonly name: string;
    readonly interfaces: readonly { readonly addresses: readonly { readonly address: string }[] }[];
  }[],
): void {
  const lines = ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback'];
  for (const machine of machines)
    for (const { addresses } of machine.interfaces)
      for (const { address } of addresses) lines.push(`${address} ${machine.name}`);
  writeFileSync('/run/margay/hosts', `${lines.join('\n')}\n`);
}
