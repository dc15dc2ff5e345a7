// The pod worker's edges played in memory: namespaces and attachments as sets, containers that end when a test says so.
import { err, failure, ok } from '../../lib/result.ts';
import type {
  Checkpoints,
  ContainerRecord,
  Containers,
  ContainerSpec,
  ContainerState,
  Namespaces,
  NetworkPlugins,
  SandboxRecord,
} from './types.ts';
import { FakeVolumeFiles, type RequestToken } from './volumes/mod.ts';

export class FakeMachine {
  readonly volumes = new FakeVolumeFiles();
  /** What the containers that were started are told, by name. */
  readonly started = new Map<string, ContainerSpec>();
  readonly namespaceFiles = new Set<string>();
  /** Container ids that are attached. */
  readonly attached = new Map<string, string>();
  readonly records = new Map<string, SandboxRecord>();
  /** By pid. */
  readonly processes = new Map<number, ContainerState>();
  readonly calls: string[] = [];
  /** What probes find wrong; by the handler's port or the command. */
  readonly unhealthy = new Map<string, string>();
  /** Programs that start from now on are not ready yet. */
  isSlow = false;
  /** Attaches that fail from now on. */
  failAttach = 0;
  #nextPid = 100;
  #nextAddress = 1;

  /** The tokens are numbered. */
  tokens = 0;
  readonly requestToken: RequestToken = async (_, { expirationSeconds }) =>
    ok({ token: `token-${++this.tokens}`, expiresAtMs: Date.now() + expirationSeconds * 1000 });

  readonly network: NetworkPlugins = {
    attach: async (container) => {
      this.calls.push(`ADD ${container.podName}`);
      if (this.failAttach > 0) {
        this.failAttach--;
        return err(failure('NetworkPluginFailed', 'no address left'));
      }
      const address = `10.9.0.${this.#nextAddress++}`;
      this.attached.set(container.containerId, address);
      return ok({ addresses: [address], raw: { ips: [{ address: `${address}/32` }] } });
    },
    detach: async (container) => {
      this.calls.push(`DEL ${container.podName}`);
      this.attached.delete(container.containerId);
      return ok(undefined);
    },
  };
  readonly namespaces: Namespaces = {
    create: async (name) => {
      this.namespaceFiles.add(`/run/netns/${name}`);
      return ok(`/run/netns/${name}`);
    },
    remove: async (path) => {
      this.namespaceFiles.delete(path);
      return ok(undefined);
    },
  };
  readonly containers: Containers = {
    start: async (spec) => {
      const pid = this.#nextPid++;
      this.calls.push(`start ${spec.pod.metadata.name}/${spec.container.name} ${spec.attempt}`);
      this.started.set(spec.container.name, spec);
      this.processes.set(pid, { type: 'running', ready: !this.isSlow });
      return ok({ pid, startTicks: '1' });
    },
    inspect: (_, __, record: ContainerRecord) =>
      this.processes.get(record.process.pid) ?? {
        type: 'ended',
        exitCode: 137,
        finishedAt: record.startedAt,
      },
    signal: (record, signal) => {
      this.calls.push(`${signal} ${record.process.pid}`);
      this.processes.delete(record.process.pid);
      return true;
    },
    check: async (probe) => {
      const handler = probe.httpGet ?? probe.tcpSocket;
      return this.unhealthy.get(String(handler?.port ?? probe.exec?.command?.join(' ')));
    },
    forget: () => undefined,
    removeLogs: () => undefined,
    initPid: () => undefined,
    logFolder: () => '',
    console: () => undefined,
    resume: () => undefined,
  };
  readonly checkpoints: Checkpoints = {
    all: () => [...this.records.values()],
    save: (record) => void this.records.set(record.uid, record),
    remove: (uid) => void this.records.delete(uid),
  };

  /** Programs that are still starting are ready now. */
  wakeAll(): void {
    for (const pid of this.processes.keys()) this.processes.set(pid, { type: 'running', ready: true });
  }

  /** The process ends by itself. */
  end(pid: number, exitCode: number, finishedAt: string): void {
    this.processes.set(pid, { type: 'ended', exitCode, finishedAt });
  }
}
