// One node with the real API server and the real agent as processes, inside the private namespaces the caller already runs
// in (tools/run.mjs makes them). For tests and benchmarks of what happens on one node.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../../src/lib/wait.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export type SingleNode = {
  readonly nodeName: string;
  readonly directory: string;
  readonly kubeconfig: string;
  readonly apiServer: string;
  readonly socketPath: string;
  readonly agent: () => ChildProcess;
  /** Starts the agent again after it was killed. */
  readonly startAgent: () => Promise<void>;
  /** The agent's log file. */
  readonly log: string;
  stop(): Promise<void>;
};

/** Brings the node up and waits until the agent serves CNI. Throws with the agent's log when it does not. */
export async function startSingleNode(
  options: { readonly env?: Record<string, string> } = {},
): Promise<SingleNode> {
  const directory = mkdtempSync(join(tmpdir(), 'margay-node-'));
  const port = 16443;
  const apiServer = `http://127.0.0.1:${port}`;
  const kubeconfig = join(directory, 'kubeconfig');
  const nodeName = 'node1';
  const socketPath = join(directory, 'cni.sock');
  const log = join(directory, 'agent.log');
  // The node's own network: an address for the agent to find, nothing behind it.
  for (const argv of [
    ['link', 'add', 'eth0', 'type', 'bridge'],
    ['address', 'add', '10.0.0.11/24', 'dev', 'eth0'],
    ['link', 'set', 'eth0', 'up'],
  ]) {
    spawnSync('ip', argv, { stdio: 'ignore' });
  }
  writeFileSync(kubeconfig, kubeconfigOf(apiServer));
  for (const name of ['var-lib', 'data']) mkdirSync(join(directory, name));

  const server = start(
    ['apiserver', '--listen', `127.0.0.1:${port}`, '--data', join(directory, 'data')],
    {},
    join(directory, 'api.log'),
  );
  let agent: ChildProcess | undefined;
  const startAgent = async () => {
    agent = start(
      [
        'agent',
        '--kubeconfig',
        kubeconfig,
        '--node-name',
        nodeName,
        '--cni-socket',
        socketPath,
        '--state-directory',
        join(directory, 'var-lib'),
      ],
      {
        IP: '10.0.0.11/24',
        CALICO_IPV4POOL_CIDR: '10.244.0.0/16',
        CALICO_IPV4POOL_IPIP: 'Never',
        // As Calico's manifest has it: pods may speak to their host.
        FELIX_DEFAULTENDPOINTTOHOSTACTION: 'ACCEPT',
        ...options.env,
      },
      log,
    );
    const plugin = join(directory, 'bin', 'calico');
    const { installCniPlugins } = await import('../../src/cni/mod.ts');
    installCniPlugins({ binDirectory: join(directory, 'bin'), socketPath });
    const ready = await until(() => (spawnSync(plugin, ['-t']).status === 0 ? true : undefined), {
      timeoutMs: 120_000,
    });
    if (ready === undefined) throw new Error(`the agent did not become ready: ${endOf(log)}`);
  };
  const stop = async () => {
    for (const child of [agent, server]) await end(child);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const reachable = await until(() => isReady(`${apiServer}/readyz`), { timeoutMs: 60_000 });
    if (reachable === undefined)
      throw new Error(`the API server did not become ready: ${endOf(join(directory, 'api.log'))}`);
    await register(apiServer, nodeName);
    await startAgent();
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    nodeName,
    directory,
    kubeconfig,
    apiServer,
    socketPath,
    log,
    startAgent,
    stop,
    agent: () => agent as ChildProcess,
  };
}

const endOf = (log: string): string => readFileSync(log, 'utf8').split('\n').slice(-20).join('\n');

function start(argv: string[], env: Record<string, string>, log: string): ChildProcess {
  const output = openSync(log, 'a');
  return spawn(process.execPath, [main, ...argv], {
    env: { ...process.env, ...env },
    stdio: ['ignore', output, output],
  });
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

async function isReady(url: string): Promise<true | undefined> {
  try {
    return (await fetch(url)).ok ? true : undefined;
  } catch {
    return undefined;
  }
}

/** What a kubelet does first: the Node object. */
async function register(apiServer: string, name: string): Promise<void> {
  await post(`${apiServer}/api/v1/nodes`, { apiVersion: 'v1', kind: 'Node', metadata: { name } });
}

/** Creates an object; throws with the server's answer when it is refused. */
export async function post(url: string, body: object): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${await answer.text()}`);
  await answer.body?.cancel();
}

const kubeconfigOf = (server: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'node', cluster: { server } }],
    users: [{ name: 'node', user: {} }],
    contexts: [{ name: 'node', context: { cluster: 'node', user: 'node' } }],
    'current-context': 'node',
  });
