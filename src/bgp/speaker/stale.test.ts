// Which routes of a peer are stale, and for how long: restarts that follow on each other (RFC 4724 section 4.2, RFC 9494
// section 4.2), refreshes between markers (RFC 7313), policies that change meanwhile. The peer is played message by message.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { VirtualClock } from '../../lib/clock.ts';
import { prefix } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import {
  encodeAttributes,
  encodeEndOfRib,
  encodeKeepalive,
  encodeOpen,
  encodeRouteRefresh,
  encodeUpdates,
  type Capability,
} from '../packet/mod.ts';
import { FakeNetwork } from './fake.ts';
import { Speaker } from './speaker.ts';
import { acceptAll, at, config, neighbour } from './testing.ts';
import type { Wire } from './transport.ts';

const unicast = { afi: 1, safi: 1 } as const;
const restarts: Capability = {
  type: 'graceful-restart',
  restarting: false,
  notification: false,
  restartTimeS: 60,
  families: [{ ...unicast, forwardingPreserved: true }],
};
const longLived: Capability = {
  type: 'long-lived-graceful-restart',
  families: [{ ...unicast, forwardingPreserved: true, staleTimeS: 600 }],
};
const [a, b] = ['10.244.2.0/26', '10.244.2.64/26'];

async function speakerAndPeer(t: TestContext, ...capabilities: readonly Capability[]) {
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock);
  const passive = neighbour(1, 2, { passive: true });
  const own = config(1, [], { neighbours: [passive], kernel: { ...config(1, []).kernel, install: false } });
  const speaker = new Speaker(own, {
    transport: network.transport(at(1)),
    clock,
    logger: silentLogger,
    random: () => 0.5,
  });
  expect(await speaker.start(), 'speaker');
  t.after(() => speaker.stop('end'));
  let wire: Wire | undefined;
  const write = (...messages: readonly Uint8Array[]): void => {
    wire?.write(messages);
    clock.advance(20);
  };
  return {
    up(): void {
      const handlers = { data: () => undefined, closed: () => undefined, drained: () => undefined };
      const opened = (w: Wire): void => {
        w.open(handlers);
        wire = w;
      };
      network.transport(at(2)).dial({ remote: at(1), port: 179 }, opened, () => assert.fail('refused'));
      clock.advance(20);
      const all: Capability[] = [
        { type: 'multiprotocol', ...unicast },
        { type: 'route-refresh' },
        { type: 'enhanced-route-refresh' },
        { type: 'four-octet-as', asn: 64512 },
        ...capabilities,
      ];
      write(encodeOpen({ version: 4, asn: 64512, holdTimeS: 0, routerId: 0x0a000002, capabilities: all }));
      write(encodeKeepalive());
      assert.equal(speaker.peers()[0]?.state, 'Established');
    },
    down(): void {
      wire?.close();
      clock.advance(20);
    },
    says(...prefixes: readonly string[]): void {
      const attributes = encodeAttributes(
        { origin: 0, asPath: [], nextHop: at(2), localPref: 100 },
        { as4: true, nextHop: 'attribute' },
      );
      const announced = prefixes.map((p) => ({ prefix: prefix(p), pathId: 0 }));
      write(
        ...encodeUpdates(
          { family: 4, attributes, announced, withdrawn: [] },
          { addPath: false, limit: 4096 },
        ),
      );
    },
    endsTable: () => write(encodeEndOfRib(4)),
    marks: (subtype: 'begin' | 'end') => write(encodeRouteRefresh({ ...unicast, subtype })),
    passes: (seconds: number) => clock.advance(seconds * 1000),
    known: () =>
      [a, b].filter((p) =>
        speaker.explain(prefix(p ?? '')).paths.some((path) => path.ineligible === undefined),
      ),
    async refuses(text: string): Promise<void> {
      const importPolicy = {
        name: 'not that one',
        rules: [
          {
            name: text,
            when: [{ match: 'prefix' as const, any: [{ prefix: prefix(text), min: 26, max: 26 }] }],
            actions: [{ do: 'reject' as const }],
          },
        ],
        otherwise: acceptAll.otherwise,
      };
      await speaker.apply({ ...own, neighbours: [{ ...passive, importPolicy }] });
      clock.advance(20);
    },
  };
}

test('a peer that is lost again before End-of-RIB: what it has not said since is gone', async (t) => {
  const peer = await speakerAndPeer(t, restarts);
  peer.up();
  peer.says(a, b);
  peer.endsTable();
  peer.down();
  assert.deepEqual(peer.known(), [a, b]);
  peer.up();
  peer.says(a);
  assert.deepEqual(peer.known(), [a, b], 'its table is not complete yet');
  peer.down();
  assert.deepEqual(peer.known(), [a]);
  peer.passes(61);
  assert.deepEqual(peer.known(), []);
});

test('long-lived routes outlive another short session, but not the time the peer asked for', async (t) => {
  const peer = await speakerAndPeer(t, restarts, longLived);
  peer.up();
  peer.says(a, b);
  peer.endsTable();
  peer.down();
  peer.passes(61);
  assert.deepEqual(peer.known(), [a, b]);
  peer.passes(300);
  peer.up();
  peer.says(a);
  peer.down();
  peer.passes(61);
  assert.deepEqual(peer.known(), [a, b]);
  peer.passes(240);
  assert.deepEqual(peer.known(), [], '600 s since the restart time was over');
});

test('the time of long-lived routes ends with the table that the peer sends again', async (t) => {
  const peer = await speakerAndPeer(t, restarts, longLived);
  peer.up();
  peer.says(a, b);
  peer.endsTable();
  peer.down();
  peer.passes(61);
  peer.up();
  peer.says(b);
  peer.endsTable();
  assert.deepEqual(peer.known(), [b]);
  peer.passes(700);
  assert.deepEqual(peer.known(), [b]);
});

test('a refresh that begins before End-of-RIB is no refresh, nor is one that only ends', async (t) => {
  const peer = await speakerAndPeer(t, restarts);
  peer.up();
  peer.says(a);
  peer.marks('begin');
  peer.says(b);
  peer.endsTable();
  assert.deepEqual(peer.known(), [a, b]);
  peer.down();
  peer.up();
  peer.says(a);
  peer.marks('end');
  assert.deepEqual(peer.known(), [a, b], 'b is awaited until End-of-RIB');
  peer.endsTable();
  assert.deepEqual(peer.known(), [a]);
  peer.says(b);
  peer.marks('begin');
  peer.says(b);
  peer.marks('end');
  assert.deepEqual(peer.known(), [b], 'a true refresh');
});

test('a refresh takes its time, also of a peer that never says that its table is complete', async (t) => {
  const peer = await speakerAndPeer(t);
  peer.up();
  peer.says(a, b);
  peer.marks('begin');
  peer.passes(5);
  peer.says(a);
  assert.deepEqual(peer.known(), [a, b]);
  peer.marks('end');
  assert.deepEqual(peer.known(), [a]);
});

test('an import policy that changes while the peer is away holds for the routes that are kept', async (t) => {
  const peer = await speakerAndPeer(t, restarts);
  peer.up();
  peer.says(a, b);
  peer.endsTable();
  peer.down();
  await peer.refuses(b);
  assert.deepEqual(peer.known(), [a]);
});
