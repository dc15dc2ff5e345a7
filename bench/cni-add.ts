// ADD and DEL of 500 pods through the plugin's executable, as a container runtime calls it, beside Debian's `ptp` with
// `host-local` in the same run, taking turns. One JSON line per plugin and verb. `--pods N` for another number.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createNamedNamespace, deleteNamedNamespace, namedNamespacePath } from '../src/kernel/mod.ts';
import { conflist } from '../src/cni/mod.ts';
import { post, startSingleNode } from '../test/support/single-node.ts';

const option = process.argv.indexOf('--pods');
const pods = option > 0 ? Number(process.argv[option + 1]) : 500;
const ptp = '/usr/lib/cni/ptp';

const node = await startSingleNode();
try {
  const contenders = [
    { name: 'margay', path: join(node.directory, 'bin'), configuration: ownConfiguration() },
    ...(existsSync(ptp) ? [{ name: 'ptp', path: '/usr/lib/cni', configuration: ptpConfiguration() }] : []),
  ];
  const times = new Map<string, number[]>();
  for (let i = 0; i < pods; i++) await createPod(`pod-${i}`);
  for (const verb of ['ADD', 'DEL']) {
    for (let i = 0; i < pods; i++) {
      for (const contender of contenders) {
        const netns = `${contender.name}-${i}`;
        if (verb === 'ADD') must(await createNamedNamespace(netns));
        const tookMs = await execute(contender, verb, i, netns);
        const key = `${contender.name} ${verb}`;
        times.set(key, [...(times.get(key) ?? []), tookMs]);
        if (verb === 'DEL') must(await deleteNamedNamespace(netns));
      }
    }
  }
  for (const [key, list] of times) {
    const [plugin, verb] = key.split(' ');
    list.sort((a, b) => a - b);
    const at = (q: number) =>
      Math.round((list[Math.min(list.length - 1, Math.floor(list.length * q))] ?? 0) * 100) / 100;
    console.log(
      JSON.stringify({ bench: 'cni-add', plugin, verb, pods, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }),
    );
  }
} finally {
  await node.stop();
}

type Configuration = { readonly type: string; readonly [key: string]: unknown };
type Contender = { readonly name: string; readonly path: string; readonly configuration: Configuration };

function execute(contender: Contender, verb: string, i: number, netns: string): Promise<number> {
  const env = {
    CNI_COMMAND: verb,
    CNI_CONTAINERID: `${contender.name}${i}`,
    CNI_NETNS: namedNamespacePath(netns),
    CNI_IFNAME: 'eth0',
    CNI_PATH: contender.path,
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod-${i};K8S_POD_INFRA_CONTAINER_ID=${contender.name}${i}`,
    PATH: process.env['PATH'] ?? '',
  };
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(join(contender.path, contender.configuration.type), [], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(performance.now() - started);
      else reject(new Error(`${contender.name} ${verb}: ${output}`));
    });
    child.stdin.end(JSON.stringify(contender.configuration));
  });
}

async function createPod(name: string): Promise<void> {
  await post(`${node.apiServer}/api/v1/namespaces/default/pods`, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { nodeName: node.nodeName, containers: [{ name: 'main', image: 'none' }] },
  });
}

function ownConfiguration(): Configuration {
  const list = conflist({ portmap: false }) as { name: string; plugins: object[] };
  return { ...list.plugins[0], type: 'calico', name: list.name, cniVersion: '1.0.0' };
}

function ptpConfiguration(): Configuration {
  const dataDir = join(node.directory, 'host-local');
  mkdirSync(dataDir);
  const ipam = { type: 'host-local', dataDir, ranges: [[{ subnet: '10.99.0.0/16' }]] };
  return { type: 'ptp', name: 'ptp', cniVersion: '1.0.0', ipam };
}

function must(result: { ok: boolean; error?: { message: string } }): void {
  if (!result.ok) throw new Error(result.error?.message);
}
