// Calls CNI plugins as a container runtime does: the first configuration list of /etc/cni/net.d, each plugin's
// configuration on its standard input with name, cniVersion, prevResult and runtimeConfig filled in, the container in
// CNI_* variables; ADD in order, DEL in reverse.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { NetworkContainer, NetworkPlugins, NetworkResult, RunnerError } from './types.ts';

type PluginConfiguration = Readonly<Record<string, unknown>> & { readonly type: string };
export type NetworkList = {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly PluginConfiguration[];
};

/** The first `*.conflist` (or single `*.conf`) by name, as kubelet's runtimes choose it. */
export function readNetworkList(directory: string): Result<NetworkList, RunnerError> {
  let files: string[];
  try {
    files = readdirSync(directory)
      .filter((f) => /\.(conflist|conf|json)$/.test(f))
      .sort();
  } catch {
    files = [];
  }
  const [file] = files;
  if (file === undefined)
    return err(
      failure(
        'NoNetworkConfiguration',
        `There is no network configuration in ${directory}.`,
        'Is the CNI plugin installed?',
      ),
    );
  const path = join(directory, file);
  try {
    return parseNetworkList(readFileSync(path, 'utf8'), path);
  } catch (error) {
    return err(failure('BadNetworkConfiguration', `Cannot read ${path}: ${(error as Error).message}.`));
  }
}

export function parseNetworkList(text: string, path: string): Result<NetworkList, RunnerError> {
  const bad = (why: string): Result<never, RunnerError> =>
    err(failure('BadNetworkConfiguration', `${path} is not a CNI network configuration: ${why}.`));
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    return bad((error as Error).message);
  }
  if (!isObject(parsed) || typeof parsed['name'] !== 'string') return bad('it has no name');
  const cniVersion = typeof parsed['cniVersion'] === 'string' ? parsed['cniVersion'] : '0.2.0';
  const plugins: readonly unknown[] = Array.isArray(parsed['plugins']) ? parsed['plugins'] : [parsed];
  if (plugins.length === 0 || !plugins.every(isPlugin)) return bad('a plugin has no type');
  return ok({ name: parsed['name'], cniVersion, plugins });
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isPlugin = (value: unknown): value is PluginConfiguration =>
  isObject(value) && typeof value['type'] === 'string' && /^[\w.-]+$/.test(value['type']);

/** What one plugin gets on standard input. */
export function pluginInput(
  list: NetworkList,
  plugin: PluginConfiguration,
  container: NetworkContainer,
  previous: unknown,
): string {
  const capabilities = isObject(plugin['capabilities']) ? plugin['capabilities'] : {};
  const runtimeConfig: Record<string, unknown> = {};
  if (capabilities['portMappings'] === true && container.portMappings.length > 0)
    runtimeConfig['portMappings'] = container.portMappings;
  const { capabilities: _, ...own } = plugin;
  return JSON.stringify({
    ...own,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(Object.keys(runtimeConfig).length > 0 ? { runtimeConfig } : {}),
    ...(previous === undefined ? {} : { prevResult: previous }),
  });
}

/** CNI_ARGS has no escapes: names and ids of Kubernetes never hold `;` or `=`. */
export const pluginEnvironment = (
  command: 'ADD' | 'DEL',
  container: NetworkContainer,
  binDirectory: string,
): Record<string, string> => ({
  CNI_COMMAND: command,
  CNI_CONTAINERID: container.containerId,
  CNI_NETNS: container.netns,
  CNI_IFNAME: 'eth0',
  CNI_PATH: binDirectory,
  CNI_ARGS: [
    'IgnoreUnknown=1',
    `K8S_POD_NAMESPACE=${container.podNamespace}`,
    `K8S_POD_NAME=${container.podName}`,
    `K8S_POD_INFRA_CONTAINER_ID=${container.containerId}`,
    `K8S_POD_UID=${container.podUid}`,
  ].join(';'),
});

export type CniOptions = {
  readonly configurationDirectory: string;
  readonly binDirectory: string;
  readonly timeoutMs?: number;
};

export function cniPlugins(options: CniOptions): NetworkPlugins {
  const run = (
    command: 'ADD' | 'DEL',
    list: NetworkList,
    plugin: PluginConfiguration,
    container: NetworkContainer,
    previous: unknown,
  ): Promise<Result<unknown, RunnerError>> =>
    runPlugin(
      join(options.binDirectory, plugin.type),
      pluginEnvironment(command, container, options.binDirectory),
      pluginInput(list, plugin, container, previous),
      options.timeoutMs ?? 120_000,
    );
  return {
    attach: async (container) => {
      const list = readNetworkList(options.configurationDirectory);
      if (!list.ok) return list;
      let previous: unknown;
      for (const plugin of list.value.plugins) {
        const result = await run('ADD', list.value, plugin, container, previous);
        if (!result.ok) return result;
        previous = result.value;
      }
      return ok(networkResult(previous));
    },
    detach: async (container, previous) => {
      const list = readNetworkList(options.configurationDirectory);
      if (!list.ok) return list;
      let failed: RunnerError | undefined;
      for (const plugin of [...list.value.plugins].reverse()) {
        const result = await run('DEL', list.value, plugin, container, previous);
        if (!result.ok) failed ??= result.error;
      }
      return failed === undefined ? ok(undefined) : err(failed);
    },
  };
}

/** The addresses of a result, without their prefix lengths. */
export function networkResult(raw: unknown): NetworkResult {
  const ips = isObject(raw) && Array.isArray(raw['ips']) ? (raw['ips'] as readonly unknown[]) : [];
  const addresses = ips.flatMap((ip) =>
    isObject(ip) && typeof ip['address'] === 'string' ? [ip['address'].split('/')[0] ?? ''] : [],
  );
  return { addresses, raw };
}

const longestOutput = 1 << 20;

function runPlugin(
  path: string,
  env: Readonly<Record<string, string>>,
  input: string,
  timeoutMs: number,
): Promise<Result<unknown, RunnerError>> {
  return new Promise((resolve) => {
    const failed = (why: string): void => {
      clearTimeout(deadline);
      resolve(err(failure('NetworkPluginFailed', `${path.split('/').at(-1)} ${env['CNI_COMMAND']}: ${why}`)));
    };
    const child = spawn(path, [], {
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '', ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const deadline = setTimeout(() => {
      child.kill('SIGKILL');
      failed(`no answer within ${timeoutMs / 1000} s`);
    }, timeoutMs);
    let out = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      if (out.length < longestOutput) out += chunk;
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      if (errors.length < longestOutput) errors += chunk;
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    child.on('error', (error) => failed(error.message));
    child.on('close', (code) => {
      if (code !== 0) {
        failed(describePluginError(out, errors, code));
        return;
      }
      clearTimeout(deadline);
      try {
        resolve(ok(out.trim() === '' ? undefined : JSON.parse(out)));
      } catch {
        failed(`its result is not JSON: ${out.slice(0, 200)}`);
      }
    });
  });
}

/** The message of a CNI error object, else what the plugin printed. */
export function describePluginError(out: string, errors: string, code: number | null): string {
  try {
    const parsed = JSON.parse(out) as unknown;
    if (isObject(parsed) && typeof parsed['msg'] === 'string') {
      const details =
        typeof parsed['details'] === 'string' && parsed['details'] !== '' ? `; ${parsed['details']}` : '';
      return `${parsed['msg']}${details} (code ${String(parsed['code'])})`;
    }
  } catch {
    // Not an error object: show what there is.
  }
  const text = (errors.trim() || out.trim()).slice(0, 300);
  return text === '' ? `it ended with code ${code}` : text;
}
