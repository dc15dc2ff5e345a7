// The programs that containers of the lab run (see images.ts). It is the whole content of a pod's process, so it imports
// only what it needs, and when it needs it.
import { writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** `margay pod PROGRAM ARGS…`. Writes the file MARGAY_READY names as soon as it does its work. */
export async function runPodProgram(argv: readonly string[]): Promise<number> {
  const [name = '', ...args] = argv;
  process.once('SIGTERM', () => process.exit(0));
  if (name === 'http-server') return serve(args);
  if (name === 'probe') return probe(args);
  if (name === 'dns') {
    const { runDns } = await import('./dns/program.ts');
    return runDns({ zone: args[0] ?? 'cluster.local', onReady: sayReady });
  }
  sayReady();
  if (name === 'sleep') return sleepFor(args[0]);
  if (name === 'exit') {
    const [code = '0', seconds = '0'] = args;
    await pause(Number(seconds) * 1000);
    return Number(code);
  }
  process.stderr.write(`There is no program "${name}".\n`);
  return 127;
}

function sayReady(): void {
  const file = process.env['MARGAY_READY'];
  if (file !== undefined) writeFileSync(file, '');
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms);
  });

async function sleepFor(text: string | undefined): Promise<number> {
  const seconds = Number(/^(\d+(?:\.\d+)?)s?$/.exec(text ?? '')?.[1] ?? Number.POSITIVE_INFINITY);
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) await pause(Math.min(end - Date.now(), 1 << 30));
  return 0;
}

/** Both families on every port; a port of 1023 or less needs the capability, which the lab's containers have. */
async function serve(args: readonly string[]): Promise<number> {
  const { createServer } = await import('node:http');
  const asked = args.map(Number).filter((p) => Number.isInteger(p) && p > 0 && p < 65536);
  const ports = asked.length > 0 ? asked : [80, 8080];
  await Promise.all(
    ports.map(
      (port) =>
        new Promise<void>((resolve, reject) => {
          const server = createServer(answer);
          server.once('error', reject);
          server.listen({ port, host: '::' }, resolve);
        }),
    ),
  );
  sayReady();
  return new Promise(() => undefined);
}

const plain = (address: string | undefined): string => (address ?? '').replace(/^::ffff:/, '');

function answer(request: IncomingMessage, response: ServerResponse): void {
  const send = (status: number, text: string): void => {
    response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' });
    response.end(text);
  };
  const path = (request.url ?? '/').split('?')[0];
  const { socket } = request;
  if (path === '/')
    send(
      200,
      `kubernetes pod-test v0.1!! ClientIP: ${plain(socket.remoteAddress)}, ` +
        `ServerName: ${hostname()}, ServerIP: ${process.env['POD_IP'] ?? plain(socket.localAddress)}!\n`,
    );
  else if (path === '/hostname') send(200, `ServerName: ${hostname()}\n`);
  else if (path === '/user-agent') send(200, `User-Agent: ${request.headers['user-agent'] ?? ''}\n`);
  else if (path === '/env')
    send(
      200,
      Object.entries(process.env)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    );
  else if (path === '/livez' || path === '/readyz' || path === '/healthz') send(200, 'OK\n');
  else send(404, `Nothing at ${path}. There are: /, /hostname, /env, /user-agent, /livez, /readyz.\n`);
}

// ── probe ────────────────────────────────────────────────────────────────────────────────────────────────────────────
type ProbeAnswer = { address: string; ttl?: number; status?: number; client?: string; problem?: string };

/** Asks every address by ICMP and by HTTP, at the same time; prints a JSON array. For the lab's own proof. */
async function probe(addresses: readonly string[]): Promise<number> {
  const answers = await Promise.all(
    addresses.map(async (address): Promise<ProbeAnswer> => {
      const [ping, http] = await Promise.all([pingOnce(address), getOnce(address)]);
      return { address, ...ping, ...http };
    }),
  );
  process.stdout.write(`${JSON.stringify(answers)}\n`);
  return 0;
}

async function pingOnce(address: string): Promise<Pick<ProbeAnswer, 'ttl' | 'problem'>> {
  const { execFile } = await import('node:child_process');
  return new Promise((resolve) => {
    execFile('ping', ['-n', '-c', '1', '-W', '2', address], (_, out) => {
      const ttl = /(?:ttl|hlim)=(\d+)/.exec(out)?.[1];
      const problem = /From (\S+) .*?(Destination .*|Time to live exceeded)/.exec(out);
      if (ttl !== undefined) resolve({ ttl: Number(ttl) });
      else resolve({ problem: problem === null ? 'no answer' : `${problem[1]}: ${problem[2]}` });
    });
  });
}

async function getOnce(address: string): Promise<Pick<ProbeAnswer, 'status' | 'client'>> {
  const { get } = await import('node:http');
  return new Promise((resolve) => {
    const request = get({ host: address, port: 80, path: '/', timeout: 3000, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => {
        const client = /ClientIP: ([^,]+),/.exec(text)?.[1];
        resolve({ status: response.statusCode ?? 0, ...(client === undefined ? {} : { client }) });
      });
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve({}));
  });
}
