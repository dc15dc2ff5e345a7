// One check of a probe, for real: from the node's network to the pod's address, or by a command in the container.
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { sleep } from '../../lib/wait.ts';
import type { Pod } from '../../model/mod.ts';
import type { Probe } from './probes.ts';
import { execute } from './streams/execution.ts';

export type ProbeTarget = {
  readonly address: string | undefined;
  readonly container: Pod['spec']['containers'][number];
  /** Process 1 of the container. */
  readonly initPid: number | undefined;
};

export async function checkProbe(
  probe: Probe,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<string | undefined> {
  if (probe.exec !== undefined) return checkCommand(probe.exec.command ?? [], target, timeoutMs);
  const handler = probe.httpGet ?? probe.tcpSocket;
  if (handler === undefined) return 'the probe has no handler';
  const port = portOf(handler.port, target);
  if (port === undefined) return `the container has no port "${handler.port}"`;
  const host = handler.host || target.address;
  if (host === undefined) return 'the pod has no address';
  if (probe.httpGet === undefined) return checkConnection(host, port, timeoutMs);
  return checkHttp(probe.httpGet, host, port, timeoutMs);
}

function portOf(port: number | string | undefined, { container }: ProbeTarget): number | undefined {
  if (typeof port === 'number') return port;
  if (port !== undefined && /^\d+$/.test(port)) return Number(port);
  return container.ports?.find(({ name }) => name === port)?.containerPort;
}

function checkConnection(host: string, port: number, timeoutMs: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const end = (problem?: string): void => {
      socket.destroy();
      resolve(problem);
    };
    socket.on('connect', () => end());
    socket.on('timeout', () => end(`dial tcp ${host}:${port}: i/o timeout`));
    socket.on('error', (error) => end(`dial tcp ${host}:${port}: ${error.message}`));
  });
}

function checkHttp(
  { path = '/', scheme = 'HTTP', httpHeaders = [] }: NonNullable<Probe['httpGet']>,
  host: string,
  port: number,
  timeoutMs: number,
): Promise<string | undefined> {
  const isSecure = scheme.toUpperCase() === 'HTTPS';
  const headers = Object.fromEntries(httpHeaders.map(({ name, value }) => [name, value ?? '']));
  const options = {
    host,
    port,
    path: path.startsWith('/') ? path : `/${path}`,
    headers: { 'user-agent': 'kube-probe/1.32', accept: '*/*', ...headers },
    agent: false as const,
    // As a kubelet: who answers is known by the address.
    rejectUnauthorized: false,
    signal: AbortSignal.timeout(timeoutMs),
  };
  return new Promise((resolve) => {
    const request = (isSecure ? httpsRequest : httpRequest)(options, (response) => {
      const { statusCode = 0 } = response;
      response.destroy();
      resolve(
        statusCode >= 200 && statusCode < 400
          ? undefined
          : `HTTP probe failed with statuscode: ${statusCode}`,
      );
    });
    request.on('error', (error) => {
      const url = `${scheme.toLowerCase()}://${host}:${port}${options.path}`;
      const reason = error.name === 'AbortError' || error.name === 'TimeoutError' ? 'timeout' : error.message;
      resolve(`Get "${url}": ${reason}`);
    });
    request.end();
  });
}

const shownBytes = 1024;

async function checkCommand(
  command: readonly string[],
  { initPid }: ProbeTarget,
  timeoutMs: number,
): Promise<string | undefined> {
  if (initPid === undefined) return 'the container does not run';
  const started = await execute(initPid, command, false);
  if (!started.ok) return started.error.message;
  const execution = started.value;
  let output = '';
  for (const stream of [execution.stdout, execution.stderr])
    stream?.on('data', (chunk: Uint8Array) => {
      if (output.length < shownBytes) output += Buffer.from(chunk).toString('utf8');
    });
  const abort = new AbortController();
  const code = await Promise.race([execution.exitCode, sleep(timeoutMs, abort.signal).then(() => undefined)]);
  abort.abort();
  if (code === 0) return undefined;
  if (code !== undefined) return output.slice(0, shownBytes).trim() || `the command ended with code ${code}`;
  execution.hangUp();
  return `command ${JSON.stringify(command)} timed out`;
}
