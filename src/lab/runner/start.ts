// The runner with its real edges, on a node of the lab.
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { installCniPlugins, writeConflist } from '../../cni/mod.ts';
import type { Datastore } from '../../datastore/mod.ts';
import type { InterfaceAddress } from '../../lib/ip/mod.ts';
import { systemClock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { sleep } from '../../lib/wait.ts';
import { clusterDnsAddress } from '../cluster-dns.ts';
import { err, failure } from '../../lib/result.ts';
import { mainFile } from '../main-file.ts';
import { packagedPlugins, rangePlugin } from '../requirements.ts';
import { requestToken } from './account.ts';
import { fileCheckpoints } from './checkpoints.ts';
import { cniPlugins } from './cni.ts';
import { processContainers } from './containers.ts';
import { podNamespaces } from './namespaces.ts';
import type { NodeReadiness } from './node-object.ts';
import { volumeFiles } from './volumes/mod.ts';
import { type ServingCertificate, startStreamServer } from './streams/mod.ts';
import { nodeNamespaceOf, readProcesses, usageMeter } from './usage.ts';
import { ObjectSources } from './sources.ts';
import { networkConfigured, type Runner, type RunnerOptions, startRunner } from './runner.ts';

export type RunnerCommandOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly nodeName: string;
  readonly addresses: readonly InterfaceAddress[];
  readonly labels: Readonly<Record<string, string>>;
  readonly dualStack: boolean;
  /** Another network hands out addresses of these ranges; Calico does when there are none. */
  readonly podRanges: readonly string[];
  readonly kubeconfig: string;
  readonly streams?: { readonly host?: string; readonly port?: number; readonly tls?: ServingCertificate };
};

const configurationDirectory = '/etc/cni/net.d';
const binDirectory = '/opt/cni/bin';
const agentSocket = '/var/run/calico/cni.sock';
/** A kubelet's port. */
const streamPort = 10250;
const podDirectory = '/run/margay/pods';

export async function startNodeRunner(options: RunnerCommandOptions): Promise<Runner> {
  installNetwork(options);
  const hostAddresses = options.addresses.map((a) => a.address);
  const version = '0.1.0';
  let runner: Runner | undefined;
  const streams = await startStreamServer({
    host: options.streams?.host ?? '',
    port: options.streams?.port ?? streamPort,
    findPod: (namespace, name) => runner?.findPod(namespace, name),
    usage: usageMeter({
      containers: () => runner?.usedContainers() ?? [],
      processes: readProcesses,
      nodeNamespace: nodeNamespaceOf('self'),
      clock: systemClock,
      pause: (ms) => sleep(ms),
    }),
    logger: options.logger,
    ...(options.streams?.tls === undefined ? {} : { tls: options.streams.tls }),
  });
  // Pods run without it; only kubectl's streams do not.
  if (!streams.ok) options.logger.error('no streams for kubectl', { error: streams.error.message });
  runner = startRunner({
    ...nodeRunnerEdges({
      datastore: options.datastore,
      logger: options.logger,
      nodeName: options.nodeName,
      hostAddresses,
      configurationDirectory,
      binDirectory,
      podDirectory,
      logDirectory: '/var/log/pods',
      checkpointDirectory: '/var/lib/margay/pods',
      kubeconfig: options.kubeconfig,
      program: [process.execPath, mainFile(), 'pod'],
    }),
    datastore: options.datastore,
    logger: options.logger,
    networkReady,
    facts: {
      name: options.nodeName,
      addresses: hostAddresses,
      labels: options.labels,
      annotations: {},
      kernelVersion: release(),
      osImage: osImage(),
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      cpus: cpus().length,
      memoryBytes: totalmem(),
      version,
      podRanges: options.podRanges,
      ...(streams.ok ? { streamPort: streams.value.port } : {}),
    },
  });
  const running = runner;
  return {
    findPod: (namespace, name) => running.findPod(namespace, name),
    usedContainers: () => running.usedContainers(),
    stop: async () => {
      if (streams.ok) await streams.value.close();
      await running.stop();
    },
  };
}

export type EdgePaths = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly nodeName: string;
  readonly hostAddresses: readonly string[];
  readonly configurationDirectory: string;
  readonly binDirectory: string;
  readonly podDirectory: string;
  readonly logDirectory: string;
  readonly checkpointDirectory: string;
  /** Whose holder asks for the tokens of pods; they get none without. */
  readonly kubeconfig?: string;
  /** Starts a built-in program: its name and arguments follow. */
  readonly program: readonly string[];
};

/** The real edges of a runner: plugins, namespaces, processes and files of this host. */
export function nodeRunnerEdges(
  paths: EdgePaths,
): Omit<RunnerOptions, 'datastore' | 'logger' | 'facts' | 'networkReady'> {
  return {
    clock: systemClock,
    hostAddresses: paths.hostAddresses,
    network: cniPlugins(paths),
    namespaces: podNamespaces(),
    containers: processContainers({
      directory: paths.podDirectory,
      logDirectory: paths.logDirectory,
      launcher: paths.program,
      nodeName: paths.nodeName,
      clusterDns: clusterDnsAddress,
    }),
    checkpoints: fileCheckpoints(paths.checkpointDirectory),
    volumes: volumeFiles(paths.podDirectory),
    sources: new ObjectSources(paths.datastore, paths.logger),
    requestToken:
      paths.kubeconfig === undefined
        ? async () => err(failure('VolumeFailed', 'this node asks for no tokens'))
        : requestToken(paths.kubeconfig),
    host: { nodeName: paths.nodeName, cpus: cpus().length, memoryBytes: totalmem() },
    watchDirectory: paths.podDirectory,
  };
}

/** What the init container of a calico-node DaemonSet does: plugins and configuration where the runtime looks. */
function installNetwork(options: RunnerCommandOptions): void {
  installCniPlugins({ binDirectory, socketPath: agentSocket });
  const portmap = copyPackaged('portmap');
  const byRange = options.podRanges.length > 0;
  if (byRange) copyPackaged(rangePlugin);
  mkdirSync(configurationDirectory, { recursive: true });
  writeConflist(join(configurationDirectory, '10-calico.conflist'), {
    portmap,
    assignIpv6: options.dualStack,
    ...(byRange ? { addressesOfNode: true } : {}),
    kubeconfig: options.kubeconfig,
  });
}

function copyPackaged(plugin: string): boolean {
  const packaged = join(packagedPlugins, plugin);
  if (!existsSync(packaged)) return false;
  copyFileSync(packaged, join(binDirectory, plugin));
  return true;
}

function networkReady(): NodeReadiness {
  const configured = networkConfigured(configurationDirectory);
  if (!configured.ready || existsSync(agentSocket)) return configured;
  return { ready: false, message: `The agent does not serve ${agentSocket} yet.` };
}

function osImage(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  } catch {
    return 'Linux';
  }
}
