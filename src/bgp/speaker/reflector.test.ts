// A route reflector with many clients over real TCP on loopback addresses: all dial at once; one of them stops reading.
import assert from 'node:assert/strict';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { systemClock } from '../../lib/clock.ts';
import { address, prefix, prefixLength, type Prefix } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import {
  announcedParts,
  attributeBytes,
  attributeCode,
  encodeAttributes,
  encodeKeepalive,
  encodeOpen,
  forEachAnnounced,
  messageType,
  messageTypeAt,
  parseUpdate,
  prefixFromWords,
  splitAttributes,
  UpdateBuilder,
  wordsOfPrefix,
} from '../packet/mod.ts';
import { configFromFile } from './config-plan.ts';
import { Framer } from './framer.ts';
import { Speaker } from './speaker.ts';
import { tcpTransport } from './tcp-transport.ts';

const as = 64512;
const server = '127.0.0.1';
const timeoutMs = 60_000;
const context = { as4: true, ebgp: false, ipv4: true, ipv6: false, addPath4: false, addPath6: false };

class Client {
  readonly name: string;
  readonly #socket: Socket;
  readonly #framer = new Framer();
  isUp = false;
  bytes = 0;
  /** What it was told last of each prefix: the MED. */
  readonly heard = new Map<Prefix, number | undefined>();

  constructor(index: number, port: number) {
    const word = (127 << 24) | (7 << 16) | (index + 1);
    this.name = `127.7.${(index + 1) >> 8}.${(index + 1) & 255}`;
    this.#socket = connect({ host: server, port, localAddress: this.name, noDelay: true });
    const capabilities = [
      { type: 'multiprotocol', afi: 1, safi: 1 },
      { type: 'four-octet-as', asn: as },
    ] as const;
    this.#socket.write(encodeOpen({ version: 4, asn: as, holdTimeS: 240, routerId: word, capabilities }));
    this.#socket.on('error', () => (this.isUp = false));
    this.#socket.on('close', () => (this.isUp = false));
    this.#socket.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      this.#framer.push(chunk, {
        message: (bytes, start, end) => this.#message(bytes, start, end),
        broken: (problem) => assert.fail(JSON.stringify(problem)),
      });
    });
  }

  #message(bytes: Uint8Array, start: number, end: number): boolean {
    const type = messageTypeAt(bytes, start);
    if (type === messageType.open) this.#socket.write(encodeKeepalive());
    else if (type === messageType.keepalive) this.isUp = true;
    else if (type === messageType.update) {
      const view = parseUpdate(bytes, start, end, context);
      for (const part of announcedParts(view)) {
        const med = medOf(attributeBytes(view, part));
        forEachAnnounced(view, part, (family, w0, w1, w2, w3, length) => {
          this.heard.set(prefixFromWords(family, w0, w1, w2, w3, length), med);
        });
      }
    }
    return true;
  }

  announce(prefixes: readonly Prefix[], med: number, communities: readonly number[] = []): void {
    const nextHop = address(this.name);
    const attributes = { origin: 0, asPath: [], localPref: 100, med, communities, nextHop } as const;
    const builder = new UpdateBuilder(4096);
    builder.beginAnnounce(4, encodeAttributes(attributes, { as4: true, nextHop: 'attribute' }), false);
    for (const p of prefixes) assert.ok(builder.add(wordsOfPrefix(p)[0] ?? 0, 0, 0, 0, prefixLength(p), 0));
    this.#socket.write(builder.finish());
  }

  stopReading(): void {
    this.#socket.pause();
  }

  readOn(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }
}

function medOf(attributes: Uint8Array): number | undefined {
  for (const { code, value } of splitAttributes(attributes, 0, attributes.length))
    if (code === attributeCode.med) return value[3];
  return undefined;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((listening) => probe.listen(0, server, listening));
  const { port } = probe.address() as { port: number };
  await new Promise((closed) => void probe.close(closed));
  return port;
}

async function withClients(
  count: number,
  body: (clients: readonly Client[]) => Promise<void>,
): Promise<void> {
  const port = await freePort();
  const plan = {
    local: {
      nodeName: 'rr',
      as,
      routerId: '10.0.0.1',
      clusterId: '10.0.0.1',
      listen: { port, addresses: [server] },
      addresses: { 4: `${server}/8` },
    },
    peers: [{ neighbourRange: '127.7.0.0/16', as, rrClient: true, limit: 5000, holdTimeSeconds: 240 }],
    installRoutes: false,
  };
  const speaker = new Speaker(expect(configFromFile(JSON.stringify(plan)), 'plan'), {
    transport: tcpTransport,
    clock: systemClock,
    logger: silentLogger,
  });
  expect(await speaker.start(), 'start');
  const clients = Array.from({ length: count }, (_, i) => new Client(i, port));
  try {
    await eventually('all sessions', () => clients.every((c) => c.isUp));
    await body(clients);
  } finally {
    for (const client of clients) client.close();
    await speaker.stop('end');
  }
}

async function eventually(what: string, isSo: () => boolean): Promise<void> {
  const done = await until(() => (isSo() ? true : undefined), { timeoutMs, everyMs: 10 });
  assert.ok(done, `${what}: did not happen`);
}

const own = (client: number, i: number): Prefix =>
  prefix(`20.${client >> 6}.${((client & 63) << 2) + i}.0/24`);

test('200 clients that dial at once and speak at once hear everything that the others say, and not themselves', () =>
  withClients(200, async (clients) => {
    for (const [n, client] of clients.entries())
      client.announce(
        [0, 1, 2].map((i) => own(n, i)),
        n,
      );
    const total = (clients.length - 1) * 3;
    await eventually('all is heard', () => clients.every((c) => c.heard.size >= total));
    for (const [n, { heard }] of clients.entries()) {
      assert.equal(heard.size, total);
      assert.ok(!heard.has(own(n, 0)));
      for (const [m] of clients.entries()) if (m !== n) assert.equal(heard.get(own(m, 1)), m);
    }
  }));

test('a client that stops reading holds up nobody; what it hears at last is the state of then, not all that was', () =>
  withClients(4, async (clients) => {
    const [speaking, dead, ...others] = clients;
    assert.ok(speaking && dead);
    dead.stopReading();
    const prefixes = Array.from({ length: 1000 }, (_, i) => prefix(`30.${i >> 8}.${i & 255}.0/24`));
    // Each UPDATE is nearly as large as it may be, so that few of them fill every buffer on the way.
    const communities = Array.from({ length: 950 }, (_, i) => 0x10000 + i);
    const rounds = 7;
    for (let round = 1; round <= rounds; round++) {
      for (const [i, one] of prefixes.entries()) speaking.announce([one], round, [i, ...communities]);
      await eventually(`round ${round}`, () =>
        others.every(
          (c) => c.heard.size === prefixes.length && prefixes.every((p) => c.heard.get(p) === round),
        ),
      );
    }
    dead.readOn();
    await eventually('the one that slept knows all', () =>
      prefixes.every((p) => dead.heard.get(p) === rounds),
    );
    const whole = others[0]?.bytes ?? 0;
    assert.ok(dead.bytes < whole * 0.7, `${dead.bytes} of ${whole} bytes`);
  }));
