// Address management by another plugin (CN-015): `host-local` and others are executed as the specification says, with our
// configuration on their standard input. `subnet: usePodCidr` is replaced by the node's own range.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Address, parseInterfaceAddress } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { type CniError, cniCodes, cniError } from './errors.ts';
import type { CniCommand, ContainerIdentity, NetworkConfiguration } from './types.ts';

const timeoutMs = 60_000;

/** Runs the plugin; the output is what it printed. */
export async function delegate(
  command: CniCommand,
  configuration: NetworkConfiguration,
  container: ContainerIdentity,
  podCidrs: readonly string[],
): Promise<Result<string, CniError>> {
  const type = configuration.ipam.type;
  const executable = /^[a-zA-Z0-9_.-]+$/.test(type)
    ? container.path.map((folder) => join(folder, type)).find((path) => existsSync(path))
    : undefined;
  if (executable === undefined) {
    return err(
      cniError(
        cniCodes.delegatedPlugin,
        'NoSuchPlugin',
        `ipam.type: no plugin "${type}" in CNI_PATH ${container.path.join(':')}.`,
      ),
    );
  }
  const input = JSON.stringify(replacePodCidr(configuration.raw, podCidrs));
  const environment = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: container.containerId,
    CNI_NETNS: container.netns,
    CNI_IFNAME: container.ifName,
    CNI_PATH: container.path.join(':'),
    PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
  };
  return execute(executable, environment, input);
}

function execute(
  executable: string,
  env: Record<string, string>,
  input: string,
): Promise<Result<string, CniError>> {
  return new Promise((resolve) => {
    const child = spawn(executable, [], { env, stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs });
    let output = '';
    let complaint = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
    child.on('error', (error) =>
      resolve(err(cniError(cniCodes.delegatedPlugin, 'PluginFailed', `${executable}: ${error.message}`))),
    );
    child.on('close', (code) => {
      if (code === 0) resolve(ok(output));
      else
        resolve(
          err(
            cniError(
              cniCodes.delegatedPlugin,
              'PluginFailed',
              `${executable}: ${messageOf(output)}`,
              complaint.trim(),
            ),
          ),
        );
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

function messageOf(output: string): string {
  try {
    const body = JSON.parse(output) as { msg?: unknown };
    return typeof body.msg === 'string' ? body.msg : output.trim();
  } catch {
    return output.trim() || 'it failed without a message';
  }
}

/** The addresses of a plugin's result, of any version. */
export function addressesOfResult(output: string): Address[] {
  type Legacy = { ip?: unknown };
  const body = JSON.parse(output) as { ips?: readonly { address?: unknown }[]; ip4?: Legacy; ip6?: Legacy };
  const texts = [...(body.ips ?? []).map((i) => i.address), body.ip4?.ip, body.ip6?.ip];
  const addresses: Address[] = [];
  for (const text of texts) {
    const parsed = typeof text === 'string' ? parseInterfaceAddress(text) : undefined;
    if (parsed?.ok) addresses.push(parsed.value.address);
  }
  return addresses;
}

/** Every `"subnet": "usePodCidr"` (and `usePodCidrIPv6`) becomes the node's range of that family. */
function replacePodCidr(value: unknown, podCidrs: readonly string[]): unknown {
  if (Array.isArray(value)) return value.map((v) => replacePodCidr(v, podCidrs));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, v]) => {
      if (key === 'subnet' && v === 'usePodCidr') return [key, podCidrs.find((c) => !c.includes(':')) ?? v];
      if (key === 'subnet' && v === 'usePodCidrIPv6')
        return [key, podCidrs.find((c) => c.includes(':')) ?? v];
      return [key, replacePodCidr(v, podCidrs)];
    }),
  );
}
