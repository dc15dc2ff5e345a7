// Puts the plugin's executables and a conflist where a container runtime looks (CN-020): one self-contained file each,
// written beside and renamed, so that a runtime never starts half a file.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { supportedVersions } from './configuration.ts';
import { cniCodes } from './errors.ts';
import { nodeForwarder } from './forwarder.ts';
import { forwarderElf, type ForwarderText } from './shim/mod.ts';

export type InstallOptions = {
  /** `/opt/cni/bin` on a node. */
  readonly binDirectory: string;
  readonly socketPath: string;
  /** `native` on x86-64 unless said otherwise; `node` elsewhere. */
  readonly forwarder?: 'native' | 'node';
};

export const pluginNames = ['calico', 'calico-ipam'] as const;

/** Writes `calico` and `calico-ipam`; gives their paths. */
export function installCniPlugins(options: InstallOptions): string[] {
  const text = forwarderText(options.socketPath);
  const native = (options.forwarder ?? (process.arch === 'x64' ? 'native' : 'node')) === 'native';
  const executable = native ? forwarderElf(text) : nodeForwarder(process.execPath, text);
  mkdirSync(options.binDirectory, { recursive: true });
  return pluginNames.map((name) => {
    const path = join(options.binDirectory, name);
    writeFileSync(`${path}.new`, executable, { mode: 0o755 });
    renameSync(`${path}.new`, path);
    return path;
  });
}

function forwarderText(socketPath: string): ForwarderText {
  const error = {
    cniVersion: '1.0.0',
    code: cniCodes.tryAgainLater,
    msg: `The Margay agent does not answer on ${socketPath}; is "margay agent" running on this node? Try again later.`,
  };
  const version = { cniVersion: '1.1.0', supportedVersions };
  return {
    socketPath,
    unavailable: `${JSON.stringify(error)}\n`,
    version: `${JSON.stringify(version)}\n`,
    timeoutSeconds: 110,
  };
}

export type ConflistOptions = {
  readonly name?: string;
  readonly mtu?: number;
  readonly assignIpv4?: boolean;
  readonly assignIpv6?: boolean;
  readonly kubeconfig?: string;
  /** Addresses come from the ranges that Kubernetes gave the node, by the plugin host-local (policy beside another network). */
  readonly addressesOfNode?: boolean;
  /** Whether hostPort is served by the portmap plugin behind ours (SR-223, CN-014). */
  readonly portmap: boolean;
};

/** The network configuration list of SR-223 with Kubernetes as datastore. */
export function conflist(options: ConflistOptions): object {
  return {
    name: options.name ?? 'k8s-pod-network',
    cniVersion: '1.0.0',
    plugins: [
      {
        type: 'calico',
        log_level: 'info',
        datastore_type: 'kubernetes',
        mtu: options.mtu ?? 0,
        ipam: addressPlugin(options),
        policy: { type: 'k8s' },
        kubernetes: options.kubeconfig === undefined ? {} : { kubeconfig: options.kubeconfig },
      },
      ...(options.portmap ? [{ type: 'portmap', snat: true, capabilities: { portMappings: true } }] : []),
    ],
  };
}

function addressPlugin(options: ConflistOptions): object {
  const [v4, v6] = [options.assignIpv4 ?? true, options.assignIpv6 ?? false];
  if (options.addressesOfNode !== true)
    return { type: 'calico-ipam', assign_ipv4: String(v4), assign_ipv6: String(v6) };
  return {
    type: 'host-local',
    ranges: [...(v4 ? [[{ subnet: 'usePodCidr' }]] : []), ...(v6 ? [[{ subnet: 'usePodCidrIPv6' }]] : [])],
  };
}

/** Writes the conflist as `/etc/cni/net.d/10-calico.conflist` does. */
export function writeConflist(path: string, options: ConflistOptions): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, `${JSON.stringify(conflist(options), undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}
