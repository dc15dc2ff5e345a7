import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { VirtualClock } from '../../lib/clock.ts';
import { checkProbe } from './probe-checks.ts';
import { ContainerProbes, type Probe, type ProbeKind, validateProbes } from './probes.ts';

const http: Probe = { httpGet: { port: 80 }, periodSeconds: 5 };
const settle = () => new Promise((resolve) => setImmediate(resolve));

function watched(container: object, before: { wasReady?: boolean; wasStarted?: boolean } = {}) {
  const clock = new VirtualClock();
  const log: string[] = [];
  const healthy: Record<ProbeKind, boolean> = { startup: true, readiness: true, liveness: true };
  const kindOf = (probe: Probe): ProbeKind => (probe as { readonly kind?: ProbeKind }).kind ?? 'readiness';
  const probes = new ContainerProbes({
    container: { name: 'a', ...container },
    clock,
    check: async (probe) => {
      log.push(kindOf(probe));
      return healthy[kindOf(probe)] ? undefined : 'refused';
    },
    wasReady: before.wasReady ?? false,
    wasStarted: before.wasStarted ?? false,
    onChange: () => log.push(`ready ${probes.ready}`),
    onFailure: (kind, message, isFatal) => log.push(`${kind} ${message}${isFatal ? ' fatal' : ''}`),
  });
  const pass = async (seconds: number): Promise<string[]> => {
    log.length = 0;
    for (let i = 0; i < seconds * 2; i++) {
      clock.advance(500);
      await settle();
    }
    return [...log];
  };
  return { probes, pass, healthy };
}

test('not ready before the first success; three failures in a row take it back', async () => {
  const { probes, pass, healthy } = watched({ readinessProbe: { ...http, initialDelaySeconds: 2 } });
  assert.equal(probes.ready, false);
  assert.deepEqual(await pass(3), ['readiness', 'ready true']);
  healthy.readiness = false;
  assert.deepEqual(await pass(10), ['readiness', 'readiness refused', 'readiness', 'readiness refused']);
  assert.equal(probes.ready, true);
  assert.deepEqual(await pass(5), ['readiness', 'readiness refused', 'ready false']);
  healthy.readiness = true;
  await pass(5);
  assert.equal(probes.ready, true);
});

test('startup holds the others back; liveness that fails is fatal', async () => {
  const { probes, pass, healthy } = watched({
    startupProbe: { ...http, kind: 'startup', periodSeconds: 1 },
    livenessProbe: { ...http, kind: 'liveness', periodSeconds: 1, failureThreshold: 2 },
  });
  healthy.startup = false;
  assert.deepEqual(await pass(1), ['startup', 'startup refused']);
  assert.equal(probes.started, false);
  healthy.startup = true;
  const log = await pass(2);
  assert.deepEqual(log.slice(0, 3), ['startup', 'ready true', 'liveness']);
  healthy.liveness = false;
  assert.deepEqual(await pass(5), ['liveness', 'liveness refused', 'liveness', 'liveness refused fatal']);
});

test('what was ready stays ready while a new runner has not asked yet', () => {
  const container = { readinessProbe: http, startupProbe: http };
  assert.equal(watched(container, { wasReady: true, wasStarted: true }).probes.ready, true);
  assert.equal(watched(container).probes.ready, false);
});

test('a probe that nobody would run is refused', () => {
  assert.equal(validateProbes({ name: 'a', readinessProbe: http }).ok, true);
  const grpc = { name: 'a', livenessProbe: { grpc: { port: 1 } } as Probe };
  assert.match(
    JSON.stringify(validateProbes(grpc)),
    /livenessProbe of container a .*httpGet, tcpSocket, exec/,
  );
});

test('checks by HTTP and TCP on a real server', async (t) => {
  const server = createServer((request, response) => {
    if (request.url === '/slow') return;
    const isNamed = request.headers['x-test'] === 'yes';
    response.writeHead(request.url === '/moved' ? 302 : request.url === '/bad' || !isNamed ? 500 : 200).end();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const target = {
    address: '127.0.0.1',
    container: { name: 'a', ports: [{ name: 'web', containerPort: port }] },
    initPid: undefined,
  };
  const get = (path: string, wanted: number | string = port, timeoutMs = 2000) =>
    checkProbe(
      { httpGet: { path, port: wanted, httpHeaders: [{ name: 'X-Test', value: 'yes' }] } },
      target,
      timeoutMs,
    );
  assert.equal(await get('/'), undefined);
  assert.equal(await get('/', 'web'), undefined);
  assert.equal(await get('/moved'), undefined);
  assert.equal(await get('/bad'), 'HTTP probe failed with statuscode: 500');
  assert.match((await get('/slow', port, 50)) ?? '', /timeout/);
  assert.equal(await get('/', 'nobody'), 'the container has no port "nobody"');
  assert.equal(await checkProbe({ tcpSocket: { port } }, target, 2000), undefined);
  assert.match((await checkProbe({ tcpSocket: { port: 1 } }, target, 2000)) ?? '', /ECONNREFUSED/);
  assert.match((await checkProbe({ exec: { command: ['true'] } }, target, 2000)) ?? '', /does not run/);
});
