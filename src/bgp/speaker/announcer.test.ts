// When peers are told, and in how many writes: a table that only counts, sessions that only take notes, virtual time.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VirtualClock, type Clock } from '../../lib/clock.ts';
import type { UpdateSink } from '../rib/mod.ts';
import { Announcer, type Sender } from './announcer.ts';

class Peer implements Sender {
  readonly writes: number[] = [];
  queued = 0;
  isFull = false;

  send(messages: readonly Uint8Array[]): boolean {
    for (const { length } of messages) this.queued += length;
    return true;
  }

  get readyBytes(): number {
    return this.isFull ? 0 : this.queued;
  }

  deliver(): void {
    this.writes.push(this.queued);
    this.queued = 0;
  }
}

class Table {
  readonly clock = new VirtualClock();
  readonly peers: Peer[];
  /** Batches that are still to be told, in bytes per peer. */
  batches: number[] = [];
  flushes = 0;
  isHeld = false;
  readonly announcer: Announcer;

  constructor(peers: number) {
    this.peers = Array.from({ length: peers }, () => new Peer());
    this.announcer = new Announcer({
      clock: this.clock,
      senderOf: (peer) => this.peers[peer],
      flush: (_budget, sink) => this.#flush(sink),
      writeBest: () => true,
      done: () => undefined,
      isHeld: () => this.isHeld,
    });
  }

  change(...batches: readonly number[]): void {
    this.batches.push(...batches);
    this.announcer.changed();
  }

  /** One batch per flush. */
  #flush(sink: UpdateSink): { done: boolean; prefixes: number; messages: number } {
    this.flushes++;
    const bytes = this.batches.shift() ?? 0;
    const prefixes = Math.ceil(bytes / 5);
    for (const peer of this.peers.keys()) if (bytes > 0) sink(peer, [new Uint8Array(bytes)], true);
    return { done: this.batches.length === 0, prefixes, messages: 1 };
  }
}

describe('peers are told', () => {
  test('of a single change after two milliseconds', () => {
    const table = new Table(3);
    table.change(60);
    table.clock.advance(1);
    assert.deepEqual(table.peers[0]?.writes, []);
    table.clock.advance(1);
    for (const { writes } of table.peers) assert.deepEqual(writes, [60]);
    table.change(60);
    table.clock.advance(2);
    for (const { writes } of table.peers) assert.deepEqual(writes, [60, 60]);
    table.clock.advance(1000);
    assert.equal(table.flushes, 2);
  });

  test('of many small batches in one write each', () => {
    const table = new Table(3);
    table.change(...Array.from({ length: 50 }, () => 1000));
    table.clock.advance(200);
    for (const { writes } of table.peers) assert.deepEqual(writes, [50_000]);
  });

  test('as soon as there is enough for a write of its own, while the table is still at work', () => {
    const table = new Table(3);
    table.change(...Array.from({ length: 50 }, () => 10_000));
    table.clock.advance(20);
    assert.equal(table.peers[0]?.writes.length, 1);
    table.clock.advance(200);
    for (const { writes } of table.peers) assert.deepEqual(writes, [140_000, 140_000, 140_000, 80_000]);
  });

  test('in large writes though one of them does not read; that one later', () => {
    const table = new Table(3);
    const [dead, ...others] = table.peers;
    assert.ok(dead);
    dead.isFull = true;
    table.change(...Array.from({ length: 50 }, () => 10_000));
    table.clock.advance(200);
    for (const { writes } of others) assert.equal(writes.length, 4);
    assert.deepEqual(dead.writes, []);
    dead.isFull = false;
    table.announcer.writable(dead);
    table.clock.advance(1);
    assert.deepEqual(dead.writes, [500_000]);
  });

  test('nothing while the table waits for its peers after a restart, nor after the end', () => {
    const table = new Table(1);
    table.isHeld = true;
    table.change(100);
    table.clock.advance(100);
    assert.equal(table.flushes, 0);
    table.isHeld = false;
    table.announcer.changed();
    table.announcer.stop();
    table.clock.advance(100);
    assert.equal(table.flushes, 0);
  });
});

test('after a flood that took time the next one is gathered for longer; single changes are not', () => {
  const virtual = new VirtualClock();
  let spentMs = 0;
  const clock: Clock = {
    now: () => virtual.now(),
    monotonic: () => virtual.monotonic() + spentMs,
    after: (ms, run) => virtual.after(ms, run),
  };
  const peer = new Peer();
  let prefixes = 1000;
  const announcer = new Announcer({
    clock,
    senderOf: () => peer,
    flush: (_budget, sink) => {
      spentMs += prefixes / 25;
      sink(0, [new Uint8Array(10)], true);
      return { done: true, prefixes, messages: 1 };
    },
    writeBest: () => true,
    done: () => undefined,
    isHeld: () => false,
  });
  const writesAfter = (ms: number): number => {
    announcer.changed();
    virtual.advance(ms);
    return peer.writes.length;
  };
  assert.equal(writesAfter(2), 1);
  prefixes = 1;
  // 40 ms of work: 120 ms of rest.
  assert.equal(writesAfter(110), 1);
  assert.equal(writesAfter(20), 2);
  assert.equal(writesAfter(2), 3);
});
