// Servers and clients over TCP on the loopback, between a datastore in memory and Syncers.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { CertificateAuthority } from '../lib/certificates.ts';
import { silentLogger } from '../lib/log.ts';
import { expect } from '../lib/result.ts';
import { until } from '../lib/wait.ts';
import { MemoryStore, startSyncer, type SyncUpdate } from '../datastore/mod.ts';
import type { KindName, ResourceOf } from '../model/mod.ts';
import {
  clientSettings,
  connectTypha,
  metricsOf,
  serversOf,
  serverSettings,
  startTyphaServer,
} from './mod.ts';
import type { ClientOptions, ServerOptions, TlsSettings } from './types.ts';

const kinds = ['NetworkSet', 'GlobalNetworkSet'] as const;
type Kind = (typeof kinds)[number];
const set = (name: string, nets: readonly string[]): ResourceOf<'GlobalNetworkSet'> => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkSet',
  metadata: { name },
  spec: { nets: [...nets] },
});

/** Ends with its test at the latest. */
const serve = async (t: TestContext, store: MemoryStore, options: Partial<ServerOptions> = {}) => {
  const server = expect(
    await startTyphaServer(store.open(), {
      host: '127.0.0.1',
      port: 0,
      name: 'typha-1',
      kinds,
      maxConnections: 100,
      logger: silentLogger,
      ...options,
    }),
    'server',
  );
  t.after(() => server.stop(0));
  return server;
};

/** A process that follows both kinds, and what it knows. */
class Follower {
  readonly known = new Map<string, string>();
  readonly heard: SyncUpdate<Kind>[] = [];
  readonly client: ReturnType<typeof connectTypha>;
  readonly syncer: ReturnType<typeof startSyncer<Kind>>;

  constructor(store: MemoryStore, ports: readonly number[], options: Partial<ClientOptions> = {}) {
    this.client = connectTypha(
      {
        servers: async () => ports.map((port) => `127.0.0.1:${port}`),
        host: 'n1',
        type: 'felix',
        readTimeoutMs: 10_000,
        writeTimeoutMs: 10_000,
        logger: silentLogger,
        ...options,
      },
      store.open(),
    );
    this.syncer = startSyncer<Kind>(this.client, {
      kinds,
      logger: silentLogger,
      backoffMs: { first: 5, max: 50 },
      onUpdates: (updates) => {
        for (const update of updates) {
          this.heard.push(update);
          if (update.type === 'set')
            this.known.set(update.object.metadata.name, (update.object.spec.nets ?? []).join());
          if (update.type === 'delete') this.known.delete(update.name.name);
        }
      },
    });
  }

  async knows(wanted: Readonly<Record<string, string>>): Promise<void> {
    const isSo = (): true | undefined =>
      isDeepStrictEqual(Object.fromEntries(this.known), wanted) ? true : undefined;
    if ((await until(isSo, { timeoutMs: 20_000 })) === undefined)
      assert.deepEqual(Object.fromEntries(this.known), wanted);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.syncer.stop();
    this.client.close();
  }
}

test('SR-028, OT-011: what there is, then each change, for clients of both types; one list-watch of the datastore serves all', async (t) => {
  const store = new MemoryStore();
  const write = store.open();
  expect(await write.create('GlobalNetworkSet', set('a', ['10.0.0.1/32'])), 'a');
  expect(await write.create('GlobalNetworkSet', set('b', ['10.0.0.2/32'])), 'b');
  const server = await serve(t, store);
  await using felix = new Follower(store, [server.port]);
  await using bgp = new Follower(store, [server.port], { type: 'bgp', host: 'n2' });
  for (const one of [felix, bgp]) await one.knows({ a: '10.0.0.1/32', b: '10.0.0.2/32' });
  const first = expect(await write.get('GlobalNetworkSet', { name: 'a' }), 'a');
  expect(
    await write.update('GlobalNetworkSet', { ...first, spec: { nets: ['10.0.0.9/32'] } }),
    'another net',
  );
  await write.delete('GlobalNetworkSet', { name: 'b' });
  for (const one of [felix, bgp]) await one.knows({ a: '10.0.0.9/32' });
  // One that goes and comes back is seen to go.
  await write.delete('GlobalNetworkSet', { name: 'a' });
  expect(await write.create('GlobalNetworkSet', set('a', ['10.0.0.3/32'])), 'a again');
  await felix.knows({ a: '10.0.0.3/32' });
  assert.deepEqual(
    felix.heard.flatMap((u) => (u.type === 'delete' ? [u.name.name] : [])),
    ['b', 'a'],
  );
  assert.equal(felix.syncer.status, 'in-sync');
  const { active } = server.status().connections;
  assert.deepEqual(active.map(({ host, type }) => `${host} ${type}`).toSorted(), ['n1 felix', 'n2 bgp']);
});

test('OT-013: a client goes on with another server; what did not change meanwhile is not told again', async (t) => {
  const store = new MemoryStore();
  const write = store.open();
  expect(await write.create('GlobalNetworkSet', set('a', ['10.0.0.1/32'])), 'a');
  const [one, other] = [await serve(t, store), await serve(t, store, { name: 'typha-2' })];
  const ports = [one.port];
  await using follower = new Follower(store, ports);
  await follower.knows({ a: '10.0.0.1/32' });
  ports.push(other.port);
  await one.stop(0);
  expect(await write.create('GlobalNetworkSet', set('b', ['10.0.0.2/32'])), 'b');
  await follower.knows({ a: '10.0.0.1/32', b: '10.0.0.2/32' });
  assert.equal(follower.client.status.server, `127.0.0.1:${other.port}`);
  assert.equal(follower.heard.filter((u) => u.type === 'set' && u.object.metadata.name === 'a').length, 1);
  await other.stop(0);
  const says = (): string | undefined => follower.client.status.reason;
  assert.match((await until(says, { timeoutMs: 10_000 })) ?? '', /ECONNREFUSED|The server ends/);
});

test('integers of 64 bits come through as they are', async (t) => {
  const store = new MemoryStore();
  const block: ResourceOf<'IPAMBlock'> = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPAMBlock',
    metadata: { name: '10-0-0-0-26' },
    spec: {
      cidr: '10.0.0.0/26',
      allocations: [],
      unallocated: [],
      attributes: [],
      strictAffinity: false,
      deleted: false,
      sequenceNumber: 1_795_219_843_123_456_789n,
    },
  };
  expect(await store.open().create('IPAMBlock', block), 'block');
  const server = await serve(t, store, { kinds: ['IPAMBlock'] });
  await using follower = new Follower(store, [server.port]);
  const listed = await until(
    async () => {
      const result = await follower.client.list('IPAMBlock');
      return result.ok ? result.value.items : undefined;
    },
    { timeoutMs: 10_000 },
  );
  assert.equal(listed?.[0]?.spec.sequenceNumber, 1_795_219_843_123_456_789n);
});

test('kinds that are not served, and parts of a kind, come from the datastore itself', async (t) => {
  const store = new MemoryStore();
  const write = store.open();
  expect(await write.create('GlobalNetworkSet', set('a', ['10.0.0.1/32'])), 'a');
  const server = await serve(t, store, { kinds: ['NetworkSet'] satisfies KindName[] });
  await using follower = new Follower(store, [server.port]);
  await follower.knows({ a: '10.0.0.1/32' });
  expect(await write.create('GlobalNetworkSet', set('b', [])), 'b');
  await follower.knows({ a: '10.0.0.1/32', b: '' });
});

/** Speaks for itself. */
class RawClient {
  readonly socket: Socket;
  text = '';

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.setEncoding('utf8').on('data', (part: string) => {
      this.text += part;
    });
    this.socket.on('error', () => undefined);
  }

  say(...messages: readonly unknown[]): void {
    for (const message of messages)
      this.socket.write(typeof message === 'string' ? message : `${JSON.stringify(message)}\n`);
  }

  async ended(): Promise<string> {
    if (!this.socket.closed) await once(this.socket, 'close');
    return this.text;
  }
}
const hello = { hello: { protocol: 1, host: 'raw', type: 'felix' } };

test('what is no client is told why and sent away; the others are served on', async (t) => {
  const store = new MemoryStore();
  const server = await serve(t, store, { maxConnections: 2 });
  await using follower = new Follower(store, [server.port]);
  await follower.knows({});
  const refused = async (...messages: readonly unknown[]): Promise<string> => {
    const client = new RawClient(server.port);
    client.say(...messages);
    return client.ended();
  };
  assert.match(await refused('GET / HTTP/1.1\r\n\n'), /"bye":"It sent a line that is no message: GET/);
  assert.match(await refused({ follow: 'NetworkSet', round: 1 }), /It has to say who it is first/);
  assert.match(await refused({ hello: { ...hello.hello, protocol: 2 } }), /version 2 of the protocol/);
  assert.match(await refused({ hello: null }), /version undefined of the protocol/);
  assert.match(await refused({ hello: { ...hello.hello, type: 'x' } }), /its type: felix or bgp/);
  assert.match(
    await refused(hello, { follow: 'Secret', round: 1 }),
    /the kind \\"Secret\\", which is not served/,
  );
  assert.match(await refused(hello, hello), /It said who it is twice/);
  assert.match(await refused(hello, { what: 1 }), /an unknown kind: what/);
  assert.match(await refused('x'.repeat(9 * 1024 * 1024)), /a line of more than 8388608 bytes/);
  const second = new RawClient(server.port);
  second.say(hello);
  assert.ok(await until(() => (second.text.includes('"hello"') ? true : undefined), { timeoutMs: 10_000 }));
  assert.match(await new RawClient(server.port).ended(), /has 2 clients, its limit/);
  second.socket.destroy();
  expect(await store.open().create('GlobalNetworkSet', set('a', [])), 'a');
  await follower.knows({ a: '' });
});

test('OT-012: a client that does not answer, one that takes nothing, and one that says nothing are sent away', async (t) => {
  const store = new MemoryStore();
  const write = store.open();
  const big = set(
    'big',
    Array.from({ length: 20_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`),
  );
  expect(await write.create('GlobalNetworkSet', big), 'big');
  const server = await serve(t, store, {
    timers: { pingMs: 20, pongMs: 400, handshakeMs: 200, fallBehindMs: 300, graceMs: 100 },
  });
  const mute = new RawClient(server.port);
  assert.match(await mute.ended(), /did not say who it is within 200 ms/);
  const deaf = new RawClient(server.port);
  deaf.say(hello, { follow: 'NetworkSet', round: 1 });
  assert.match(await deaf.ended(), /did not answer for 400 ms/);
  const slow = new RawClient(server.port);
  slow.say(hello, { follow: 'GlobalNetworkSet', round: 1 });
  slow.socket.pause();
  // More than sockets hold.
  for (let i = 0; i < 8; i++)
    expect(await write.create('GlobalNetworkSet', { ...big, metadata: { name: `big${i}` } }), 'more');
  const gone = (): true | undefined => (server.status().connections.ended === 3 ? true : undefined);
  assert.ok(await until(gone, { timeoutMs: 20_000 }));
  assert.deepEqual(server.status().connections.active, []);
  slow.socket.destroy();
});

test('OT-012, NM-017: at the end clients are sent away one after the other, and none is taken', async (t) => {
  const store = new MemoryStore();
  const server = await serve(t, store);
  const clients = [1, 2, 3].map(() => new RawClient(server.port));
  for (const client of clients) client.say(hello);
  const all = (): true | undefined => (server.status().connections.active.length === 3 ? true : undefined);
  assert.ok(await until(all, { timeoutMs: 10_000 }));
  const stopped = server.stop(90);
  for (const client of clients) assert.match(await client.ended(), /"bye":"The server ends\."/);
  await stopped;
});

test('TLS: both sides have a certificate of the authority, and are who is expected', async (t) => {
  const now = Date.now();
  const authority = CertificateAuthority.create('typha-test', now);
  const other = CertificateAuthority.create('another', now);
  const pair = (commonName: string, from = authority): TlsSettings => ({
    ...from.issue({ commonName, purposes: ['server', 'client'] }, now),
    ca: authority.cert,
  });
  const store = new MemoryStore();
  expect(await store.open().create('GlobalNetworkSet', set('a', [])), 'a');
  const server = await serve(t, store, { tls: { ...pair('typha-server'), peerCommonName: 'typha-client' } });
  {
    await using follower = new Follower(store, [server.port], {
      tls: { ...pair('typha-client'), peerCommonName: 'typha-server' },
    });
    await follower.knows({ a: '' });
  }
  const reason = async (tls: TlsSettings | undefined): Promise<string> => {
    await using follower = new Follower(store, [server.port], tls === undefined ? {} : { tls });
    const said = await until(() => follower.client.status.reason, { timeoutMs: 20_000 });
    assert.equal(follower.known.size, 0);
    return said ?? '';
  };
  assert.match(
    await reason({ ...pair('typha-client'), peerCommonName: 'somebody' }),
    /common name "typha-server" and the URIs \[\], not the common name "somebody"/,
  );
  assert.notEqual(await reason({ ...pair('intruder'), peerCommonName: 'typha-server' }), '');
  assert.notEqual(await reason({ ...pair('typha-client', other), peerCommonName: 'typha-server' }), '');
  assert.notEqual(await reason(undefined), '');
  assert.ok(server.status().connections.refused >= 2);
});

test('OT-013: the servers of a Service are its ready endpoints, at the port by its name', async () => {
  const store = new MemoryStore();
  const write = store.open();
  expect(
    await write.create('EndpointSlice', {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: 'calico-typha-x',
        namespace: 'kube-system',
        labels: { 'kubernetes.io/service-name': 'calico-typha' },
      },
      addressType: 'IPv4',
      ports: [
        { name: 'metrics', port: 9093 },
        { name: 'calico-typha', port: 5473 },
      ],
      endpoints: [
        { addresses: ['10.0.0.11'], conditions: { ready: true } },
        { addresses: ['10.0.0.12'], conditions: { ready: false } },
      ],
    }),
    'slice',
  );
  const service = { name: 'calico-typha', namespace: 'kube-system' };
  assert.deepEqual(await serversOf({ address: '', service }, write)(), ['10.0.0.11:5473']);
  assert.deepEqual(await serversOf({ address: 'typha:5473', service }, write)(), ['typha:5473']);
  await assert.rejects(
    serversOf({ address: '', service: { ...service, name: 'none' } }, write)(),
    /no ready endpoint/,
  );
});

test('FX-114: metrics under the names of Typha', async (t) => {
  const store = new MemoryStore();
  const write = store.open();
  expect(await write.create('GlobalNetworkSet', set('a', [])), 'a');
  const server = await serve(t, store);
  await using follower = new Follower(store, [server.port]);
  await follower.knows({ a: '' });
  const isStreaming = (): true | undefined =>
    server.status().connections.active.every((one) => one.isStreaming) ? true : undefined;
  assert.ok(await until(isStreaming, { timeoutMs: 10_000 }));
  const text = metricsOf(server.status());
  for (const line of [
    'typha_connections_accepted 1',
    'typha_connections_active 1',
    'typha_connections_streaming 1',
    'typha_cache_size 1',
    'typha_updates_total 1',
  ])
    assert.match(text, new RegExp(`^${line}$`, 'm'));
  // begin, the object, listed; begin and listed of the other kind.
  assert.match(text, /^typha_kvs_per_msg_sum 5$/m);
});

test('FX-150, NM-017: settings of the manifests; half of TLS and what is no number are refused by name', () => {
  const plain = expect(
    serverSettings({ TYPHA_HEALTHENABLED: 'true', TYPHA_SNAPSHOTCACHEMAXBATCHSIZE: '5' }),
    'plain',
  );
  assert.deepEqual(plain.health, { host: 'localhost', port: 9098 });
  assert.equal(plain.metrics, undefined);
  assert.equal(plain.port, 5473);
  assert.equal(plain.maxConnections, 10_000);
  assert.equal(plain.timers.fallBehindMs, 300_000);
  assert.deepEqual(plain.ignored, ['TYPHA_SNAPSHOTCACHEMAXBATCHSIZE']);
  const problem = (environment: Record<string, string>): string => {
    const result = serverSettings(environment);
    return result.ok ? '' : `${result.error.message} ${result.error.hint ?? ''}`;
  };
  assert.match(problem({ TYPHA_SERVERPORT: '70000' }), /^TYPHA_SERVERPORT cannot be "70000"/);
  assert.match(problem({ TYPHA_SERVERPINGINTERVALSECS: '0' }), /a number of seconds above 0/);
  assert.match(problem({ TYPHA_HEALTHENABLED: 'maybe' }), /true or false/);
  assert.match(
    problem({ TYPHA_CAFILE: '/ca' }),
    /^TLS needs TYPHA_SERVERKEYFILE, TYPHA_SERVERCERTFILE, .* only some of them are set/,
  );
  const directory = mkdtempSync(join(tmpdir(), 'margay-typha-'));
  try {
    const file = join(directory, 'pem');
    writeFileSync(file, 'PEM');
    const client = (values: Record<string, string>) => clientSettings((name) => values[name]);
    assert.equal(expect(client({}), 'none'), undefined);
    const tls = { TyphaKeyFile: file, TyphaCertFile: file, TyphaCAFile: file, TyphaCN: 'typha-server' };
    const settings = expect(client({ TyphaK8sServiceName: 'calico-typha', ...tls }), 'client');
    assert.deepEqual(settings?.service, { name: 'calico-typha', namespace: 'kube-system' });
    assert.equal(settings?.readTimeoutMs, 30_000);
    assert.equal(settings?.tls?.peerCommonName, 'typha-server');
    assert.equal(client({ TyphaAddr: 'nowhere' }).ok, false);
    assert.equal(client({ TyphaAddr: 'a:1', ...tls, TyphaCAFile: join(directory, 'none') }).ok, false);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
