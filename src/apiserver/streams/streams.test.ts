// Streams of pods through the API server: who may, where they lead, and that bytes pass both ways. The node is played.
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { until } from '../../lib/wait.ts';
import { podNamed, startTestServer, type TestServer } from '../testing.ts';

type Node = { readonly port: number; readonly asked: string[]; readonly sockets: Socket[] };

/** A node's runner that answers logs with text, and echoes what is upgraded. */
async function startNode(t: TestContext): Promise<Node> {
  const asked: string[] = [];
  const sockets: Socket[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? '');
    if (request.url?.includes('previous=true'))
      response.writeHead(400).end('previous terminated container not found');
    else response.writeHead(200).end('one\ntwo\n');
  });
  server.on('upgrade', (request: IncomingMessage, socket: Socket) => {
    asked.push(request.url ?? '');
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${request.headers.upgrade}\r\nConnection: Upgrade\r\nX-Mine: yes\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, asked, sockets };
}

const pods = '/api/v1/namespaces/default/pods';

/** A pod on a node that serves its streams at the port. */
async function place({ send }: TestServer, port: number | undefined): Promise<void> {
  await send('POST', '/api/v1/nodes', {
    metadata: { name: 'n1' },
    status: {
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      ...(port === undefined ? {} : { daemonEndpoints: { kubeletEndpoint: { Port: port } } }),
    },
  });
  await send('POST', pods, podNamed('web', {}, { nodeName: 'n1' }));
  await send(
    'POST',
    pods,
    podNamed(
      'two',
      {},
      {
        nodeName: 'n1',
        containers: [
          { name: 'a', image: 'x' },
          { name: 'b', image: 'x' },
        ],
      },
    ),
  );
  const running = (name: string): object => ({ name, state: { running: {} }, ready: true, restartCount: 0 });
  await send(
    'PATCH',
    `${pods}/web/status`,
    { status: { containerStatuses: [running('c')] } },
    { 'content-type': 'application/merge-patch+json' },
  );
}

/** What comes back for an upgrade; `type` what to send when it stands. */
function upgrade(url: string, path: string, headers: string, type = ''): Promise<string> {
  const { port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), '127.0.0.1');
    let text = '';
    socket.on('data', (chunk) => {
      const first = text === '';
      text += chunk.toString();
      if (first && type !== '') socket.write(type);
      if (type !== '' && text.endsWith(type)) socket.destroy();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: SPDY/3.1\r\n${headers}\r\n`,
    );
  });
}

test('logs and upgrades lead to the node, with the options of a kubelet', async (t) => {
  const node = await startNode(t);
  const server = await startTestServer(t);
  await place(server, node.port);
  const { send, url } = server;
  const log = await send('GET', `${pods}/web/log?tailLines=5&follow=true&pretty=x`);
  assert.equal(String(log.body), 'one\ntwo\n');
  assert.deepEqual(node.asked, ['/containerLogs/default/web/c?follow=true&tailLines=5']);
  const previous = await send('GET', `${pods}/web/log?previous=true`);
  assert.equal(previous.code, 400);
  assert.equal(String(previous.body['message']), 'previous terminated container not found');
  const path = `${pods}/web/exec?command=sh&command=-c&command=a%20b&stdin=true&stdout=true&tty=true`;
  const said = await upgrade(url, path, 'x-stream-protocol-version: v4.channel.k8s.io\r\n', 'hello node');
  assert.match(said, /^HTTP\/1\.1 101 Switching Protocols\r\n[\s\S]*X-Mine: yes\r\n\r\nhello node$/);
  assert.equal(
    node.asked.at(-1),
    '/exec/default/web/c?input=1&output=1&tty=1&command=sh&command=-c&command=a+b',
  );
  await upgrade(url, `${pods}/web/portforward?ports=80`, '', 'x');
  assert.equal(node.asked.at(-1), '/portForward/default/web?ports=80');
});

test('what cannot be streamed is refused with a reason', async (t) => {
  const server = await startTestServer(t);
  await place(server, undefined);
  const { send, url } = server;
  const message = async (path: string): Promise<string> => {
    const { code, body } = await send('GET', path);
    return `${code} ${String(body['message'])}`;
  };
  assert.equal(await message(`${pods}/none/log`), '404 pods "none" not found');
  assert.match(
    await message(`${pods}/two/log`),
    /^400 a container name must be specified for pod two, choose one of: \[a b\]/,
  );
  assert.equal(await message(`${pods}/web/log?container=x`), '400 container x is not valid for pod web');
  assert.equal(
    await message(`${pods}/two/log?container=a`),
    '400 container "a" in pod "two" is waiting to start: ContainerCreating',
  );
  assert.match(await message(`${pods}/web/log`), /^503 the node n1 does not say/);
  assert.match(await message(`${pods}/web/exec?command=x`), /^503/);
  await send('POST', pods, podNamed('nowhere'));
  assert.equal(await message(`${pods}/nowhere/log`), '400 pod nowhere does not have a host assigned');
  assert.match(
    await upgrade(url, `${pods}/web/exec`, 'impersonate-user: jane\r\n'),
    /^HTTP\/1\.1 403 [\s\S]*cannot create resource \\"pods\/exec\\"/,
  );
  assert.match(await upgrade(url, `${pods}/web/log`, ''), /^HTTP\/1\.1 400/);
  assert.match(await upgrade(url, '/api/v1/nodes', ''), /^HTTP\/1\.1 400/);
  assert.match(await upgrade(url, '/%zz', ''), /^HTTP\/1\.1 400/);
});

test('a node that is away is said to be; a stream ends with the server', async (t) => {
  const node = await startNode(t);
  const server = await startTestServer(t);
  await place(server, 1);
  assert.match(
    String((await server.send('GET', `${pods}/web/log`)).body['message']),
    /error dialing backend: 127\.0\.0\.1:1/,
  );
  assert.match(
    await upgrade(server.url, `${pods}/web/exec?command=x`, ''),
    /^HTTP\/1\.1 500 [\s\S]*ECONNREFUSED/,
  );
  await server.send(
    'PATCH',
    '/api/v1/nodes/n1/status',
    { status: { daemonEndpoints: { kubeletEndpoint: { Port: node.port } } } },
    { 'content-type': 'application/merge-patch+json' },
  );
  const ended = upgrade(server.url, `${pods}/web/attach`, '');
  assert.ok(await until(() => (node.sockets.length === 1 ? true : undefined), { timeoutMs: 5000 }));
  await server.server.stop();
  assert.match(await ended, /^HTTP\/1\.1 101/);
});
