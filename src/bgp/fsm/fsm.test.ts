import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { notification, type OpenMessage } from '../packet/mod.ts';
import {
  describeReason,
  initialState,
  negotiate,
  openFor,
  stateName,
  step,
  type FsmAction,
  type FsmEvent,
  type FsmOptions,
  type FsmState,
  type Side,
} from './mod.ts';

const options: FsmOptions = {
  localAsn: 64512,
  peerAsn: 64512,
  routerId: 2,
  holdTimeS: 90,
  passive: false,
  families: [4, 6],
  gracefulRestart: { restartTimeS: 120, notification: false },
};
const peerOptions: FsmOptions = { ...options, routerId: 1 };
const open = openFor(peerOptions, false);

type Run = { readonly state: FsmState; readonly actions: readonly FsmAction[] };
function run(events: readonly FsmEvent[], from: FsmState = initialState(options)): Run {
  let state = from;
  const actions: FsmAction[] = [];
  for (const event of events) {
    const next = step(state, event);
    state = next.state;
    actions.push(...next.actions);
  }
  return { state, actions };
}
const names = (actions: readonly FsmAction[]): string[] =>
  actions
    .filter((a) => a.do !== 'set-timer' && a.do !== 'clear-timer')
    .map((a) => ('side' in a ? `${a.do} ${a.side}` : a.do));
const timers = (actions: readonly FsmAction[]): Record<string, number> =>
  Object.fromEntries(actions.filter((a) => a.do === 'set-timer').map((a) => [a.timer, a.ms]));
const says = (type: 'keepalive' | 'update' | 'route-refresh', side: Side = 'outgoing'): FsmEvent => ({
  type,
  side,
});
const opens = (side: Side = 'outgoing', message: OpenMessage = open): FsmEvent => ({
  type: 'open',
  side,
  open: message,
});
const up: readonly FsmEvent[] = [{ type: 'start' }, { type: 'connected' }, opens(), says('keepalive')];

describe('a session in order', () => {
  test('start, dial, OPEN, KEEPALIVE, Established', () => {
    const dialled = run([{ type: 'start' }]);
    assert.equal(stateName(dialled.state), 'Connect');
    assert.deepEqual(names(dialled.actions), ['dial']);
    const sent = run([{ type: 'connected' }], dialled.state);
    assert.equal(stateName(sent.state), 'OpenSent');
    assert.deepEqual(names(sent.actions), ['send-open outgoing']);
    assert.equal(timers(sent.actions)['hold-outgoing'], 240_000);
    const confirmed = run([opens()], sent.state);
    assert.equal(stateName(confirmed.state), 'OpenConfirm');
    assert.deepEqual(names(confirmed.actions), ['send-keepalive outgoing']);
    assert.equal(timers(confirmed.actions)['hold-outgoing'], 90_000);
    const established = run([says('keepalive')], confirmed.state);
    assert.equal(stateName(established.state), 'Established');
    assert.deepEqual(names(established.actions), ['established outgoing']);
  });

  test('passive: it waits and takes the connection of the peer', () => {
    const waiting = run([{ type: 'start' }], initialState({ ...options, passive: true }));
    assert.equal(stateName(waiting.state), 'Active');
    assert.deepEqual(names(waiting.actions), []);
    assert.equal(describeReason(waiting.state.reason), 'Passive: waiting for the peer to connect.');
    const { state } = run(
      [{ type: 'accepted' }, opens('incoming'), says('keepalive', 'incoming')],
      waiting.state,
    );
    assert.equal(stateName(state), 'Established');
  });

  test('messages are delivered and push the hold timer; the keepalive timer sends', () => {
    const { state } = run(up);
    for (const type of ['update', 'route-refresh'] as const) {
      const got = run([says(type)], state);
      assert.deepEqual(names(got.actions), ['deliver']);
      assert.deepEqual(timers(got.actions), { 'hold-outgoing': 90_000 });
    }
    const sent = run([{ type: 'timer', timer: 'keepalive-outgoing' }], state);
    assert.deepEqual(names(sent.actions), ['send-keepalive outgoing']);
    assert.equal(timers(sent.actions)['keepalive-outgoing'], 30_000 * 0.875);
  });

  test('hold time zero: neither keepalives nor a hold timer', () => {
    const sent = run(up.slice(0, 2));
    const { actions } = run([opens('outgoing', { ...open, holdTimeS: 0 }), says('keepalive')], sent.state);
    assert.deepEqual(Object.keys(timers(actions)), ['stable']);
    assert.ok(actions.some((a) => a.do === 'clear-timer' && a.timer === 'hold-outgoing'));
  });

  test('stop ends it with a Cease and its words', () => {
    const { state, actions } = run([{ type: 'stop', cease: 2, text: 'bye' }], run(up).state);
    assert.equal(stateName(state), 'Idle');
    const sent = actions.find((a) => a.do === 'send-notification');
    assert.deepEqual(sent?.notification, notification(6, 2, Uint8Array.of(3, 98, 121, 101)));
    assert.deepEqual(names(actions), ['send-notification outgoing', 'close outgoing', 'down']);
    assert.equal(describeReason(state.reason), 'Shut down here: bye.');
  });
});

describe('what goes wrong', () => {
  const fails = (events: readonly FsmEvent[], code: string, reason: RegExp): Run => {
    const result = run(events);
    const sent = result.actions.find((a) => a.do === 'send-notification');
    assert.equal(`${sent?.notification.code}/${sent?.notification.subcode}`, code);
    assert.match(describeReason(result.state.reason), reason);
    assert.equal(stateName(result.state), 'Idle');
    return result;
  };
  const sent = up.slice(0, 2);

  test('another AS than configured', () => {
    const other = openFor({ ...peerOptions, localAsn: 65001 }, false);
    fails([...sent, opens('outgoing', other)], '2/2', /The peer says it is AS 65001; expected AS 64512/);
    fails([...sent, opens('outgoing', { ...open, asn: 0 })], '2/2', /The peer says it is AS 0;/);
  });
  test('our own identifier, or none', () => {
    fails([...sent, opens('outgoing', { ...open, routerId: 2 })], '2/3', /bad BGP identifier/);
    fails([...sent, opens('outgoing', { ...open, routerId: 0 })], '2/3', /bad BGP identifier/);
  });
  test('a hold time of one or two seconds', () =>
    void fails([...sent, opens('outgoing', { ...open, holdTimeS: 2 })], '2/6', /hold time of 2 s/));
  test('no common family', () => {
    const six = openFor({ ...peerOptions, families: [6] }, false);
    const only4 = run(
      [{ type: 'start' }, { type: 'connected' }, opens('outgoing', six)],
      initialState({ ...options, families: [4] }),
    );
    const answer = only4.actions.find((a) => a.do === 'send-notification');
    assert.deepEqual(answer?.notification, notification(2, 7, Uint8Array.of(1, 4, 0, 1, 0, 1)));
  });
  test('messages out of place', () => {
    fails([...sent, says('update')], '5/1', /in OpenSent/);
    fails([...sent, opens(), says('update')], '5/2', /in OpenConfirm/);
    fails([...up, opens()], '5/3', /in Established/);
  });
  test('silence', () => {
    const { actions } = fails(
      [...up, { type: 'timer', timer: 'hold-outgoing' }],
      '4/0',
      /nothing received for 90 s/,
    );
    assert.equal(actions.find((a) => a.do === 'down')?.graceful, false);
  });
  test('errors back off up to half a minute; a session that lasts clears them', () => {
    const waits: number[] = [];
    let { state } = run([{ type: 'start' }]);
    for (let i = 0; i < 8; i++) {
      const failed = run([{ type: 'connected' }, opens('outgoing', { ...open, routerId: 0 })], state);
      waits.push(timers(failed.actions)['idle-hold'] ?? 0);
      ({ state } = run([{ type: 'timer', timer: 'idle-hold' }], failed.state));
    }
    assert.deepEqual(waits, [875, 1750, 3500, 7000, 14000, 26250, 26250, 26250]);
    const lasting = run(
      [{ type: 'connected' }, opens(), says('keepalive'), { type: 'timer', timer: 'stable' }],
      state,
    );
    assert.equal(lasting.state.errors, 0);
  });
  test('while it pauses after an error it takes no connection', () => {
    const { state } = run([...sent, says('update')]);
    assert.deepEqual(names(run([{ type: 'accepted' }], state).actions), ['refuse']);
  });
  test('a refused dial is tried again soon, and says why', () => {
    const { state, actions } = run([
      { type: 'start' },
      { type: 'connect-failed', reason: { kind: 'refused' } },
    ]);
    assert.equal(stateName(state), 'Active');
    assert.ok((timers(actions)['connect-retry'] ?? Infinity) < 1000);
    assert.match(describeReason(state.reason), /no BGP speaker listens/);
    const again = run([{ type: 'timer', timer: 'connect-retry' }], state);
    assert.deepEqual(names(again.actions), ['dial']);
    assert.match(describeReason(again.state.reason), /no BGP speaker listens/);
  });
});

describe('graceful restart, from the lost session', () => {
  const downOf = (
    events: readonly FsmEvent[],
    o: FsmOptions = options,
    message = open,
  ): boolean | undefined => {
    const established = run(
      [{ type: 'start' }, { type: 'connected' }, opens('outgoing', message), says('keepalive')],
      initialState(o),
    );
    return run(events, established.state).actions.find((a) => a.do === 'down')?.graceful;
  };
  const closed: FsmEvent = { type: 'closed', side: 'outgoing' };
  const ceased: FsmEvent = { type: 'notification', side: 'outgoing', notification: notification(6, 2) };

  test('a lost connection is one; a NOTIFICATION is not', () => {
    assert.equal(downOf([closed]), true);
    assert.equal(downOf([ceased]), false);
  });
  test('without the capability nothing is', () => {
    const plain = openFor({ ...peerOptions, gracefulRestart: undefined } as unknown as FsmOptions, false);
    assert.equal(downOf([closed], options, plain), false);
  });
  test('with the N bit on both sides a NOTIFICATION is, except a hard reset', () => {
    const withN = { ...options, gracefulRestart: { restartTimeS: 120, notification: true } };
    const theirs = openFor({ ...withN, routerId: 1 }, false);
    assert.equal(downOf([ceased], withN, theirs), true);
    assert.equal(downOf([{ type: 'timer', timer: 'hold-outgoing' }], withN, theirs), true);
    const hard: FsmEvent = { type: 'notification', side: 'outgoing', notification: notification(6, 9) };
    assert.equal(downOf([hard], withN, theirs), false);
  });
});

describe('two connections', () => {
  const both: readonly FsmEvent[] = [{ type: 'start' }, { type: 'accepted' }, { type: 'connected' }];

  const orders = [
    ['outgoing', 'incoming'],
    ['incoming', 'outgoing'],
  ] as const;
  for (const [first, second] of orders)
    test(`our identifier is higher: what we dialled stays, OPEN on ${first} first`, () => {
      const { state, actions } = run([...both, opens(first), opens(second)]);
      assert.ok(names(actions).includes('close incoming'));
      assert.equal(state.incoming, undefined);
      assert.equal(stateName(run([says('keepalive')], state).state), 'Established');
      const cease = actions.find((a) => a.do === 'send-notification');
      assert.deepEqual(cease?.notification, notification(6, 7));
    });

  const lower = initialState({ ...options, routerId: 0 });
  const collision = (side: Side): FsmEvent => ({
    type: 'notification',
    side,
    notification: notification(6, 7),
  });
  for (const [first, second] of orders)
    test(`theirs is higher: they close one of the two, OPEN on ${first} first`, () => {
      const crossed = run([...both, opens(first), opens(second)], lower);
      assert.ok(!names(crossed.actions).includes('send-notification outgoing'));
      for (const [loser, winner] of orders) {
        const { state, actions } = run([collision(loser), says('keepalive', winner)], crossed.state);
        assert.equal(state[loser], undefined);
        assert.equal(stateName(state), 'Established');
        assert.ok(!names(actions).includes('down'));
      }
    });

  test('theirs is higher, and what we dialled is up before they have decided: no session is lost either way', () => {
    for (const seen of [[], [opens('incoming')]]) {
      const crossed = run([...both, opens(), ...seen, says('keepalive')], lower);
      assert.equal(stateName(crossed.state), 'Established');
      assert.notEqual(crossed.state.incoming, undefined);
      const ours = run([collision('incoming')], crossed.state);
      assert.ok(!names(ours.actions).includes('down'));
      assert.equal(ours.state.outgoing?.phase, 'established');
      const theirs = run(
        [
          ...(seen.length === 0 ? [opens('incoming')] : []),
          collision('outgoing'),
          says('keepalive', 'incoming'),
        ],
        crossed.state,
      );
      assert.equal(theirs.actions.find((a) => a.do === 'down')?.graceful, true);
      assert.equal(theirs.state.incoming?.phase, 'established');
      assert.ok(!names(theirs.actions).includes('dial'));
    }
  });

  test('an Established session beats a rival that is no restart', () => {
    const { state, actions } = run([...both, opens(), says('keepalive')]);
    assert.equal(stateName(state), 'Established');
    assert.equal(state.incoming, undefined);
    assert.ok(names(actions).includes('close incoming'));
  });

  test('a restarted peer that dials again replaces the session it has forgotten', () => {
    const again: FsmEvent[] = [{ type: 'accepted' }, opens('incoming'), says('keepalive', 'incoming')];
    const { state, actions } = run(again, run(up).state);
    assert.deepEqual(names(actions), [
      'send-open incoming',
      'send-keepalive incoming',
      'close outgoing',
      'down',
      'established incoming',
    ]);
    assert.equal(actions.find((a) => a.do === 'down')?.graceful, true);
    assert.equal(stateName(state), 'Established');
    assert.equal(state.outgoing, undefined);
  });

  test('a dial of the peer that crossed with the session and is seen late costs nothing: the peer ends it itself', () => {
    for (const end of [
      { type: 'notification', side: 'incoming', notification: notification(6, 7) },
      { type: 'closed', side: 'incoming' },
    ] as const) {
      const { state, actions } = run([{ type: 'accepted' }, opens('incoming'), end], run(up).state);
      assert.ok(!names(actions).includes('down'));
      assert.equal(stateName(state), 'Established');
      assert.equal(state.incoming, undefined);
      assert.equal(state.outgoing?.phase, 'established');
    }
  });

  test('a restarted peer whose old connection is reset first goes on with the new one', () => {
    const { state, actions } = run(
      [
        { type: 'accepted' },
        opens('incoming'),
        { type: 'closed', side: 'outgoing' },
        says('keepalive', 'incoming'),
      ],
      run(up).state,
    );
    assert.equal(actions.find((a) => a.do === 'down')?.graceful, true);
    assert.ok(!names(actions).includes('dial'));
    assert.equal(stateName(state), 'Established');
  });

  test('the same when the forgotten one was dialled by the peer too', () => {
    const passive = initialState({ ...options, passive: true });
    const first = run(
      [{ type: 'start' }, { type: 'accepted' }, opens('incoming'), says('keepalive', 'incoming')],
      passive,
    );
    const { state, actions } = run([{ type: 'accepted' }], first.state);
    assert.deepEqual(names(actions), ['close incoming', 'down', 'send-open incoming']);
    assert.equal(stateName(state), 'OpenSent');
  });

  test('a dial that answers after the session came up is closed', () => {
    const { actions } = run([
      { type: 'start' },
      { type: 'accepted' },
      opens('incoming'),
      says('keepalive', 'incoming'),
    ]);
    assert.ok(names(actions).includes('abort-dial'));
  });
});

describe('negotiation', () => {
  const agreed = (a: Partial<FsmOptions>, b: Partial<FsmOptions>) => {
    const result = negotiate({ ...options, ...a }, openFor({ ...peerOptions, ...b }, true));
    assert.ok(result.ok);
    return result.value;
  };
  test('what both have', () => {
    const session = agreed(
      { families: [4, 6], addPath: { receive: true, send: false } },
      { families: [6], holdTimeS: 30, addPath: { receive: true, send: true } },
    );
    assert.deepEqual(session.families, [6]);
    assert.equal(session.holdTimeMs, 30_000);
    assert.equal(session.keepaliveMs, 10_000);
    assert.deepEqual(session.addPath[6], { receive: true, send: false });
    assert.deepEqual(session.addPath[4], { receive: false, send: false });
    assert.equal(session.messageLimit, 65535);
    assert.deepEqual(session.gracefulRestart, {
      restarting: true,
      notification: false,
      restartTimeMs: 120_000,
      families: [{ family: 6, forwardingPreserved: true }],
      longLived: [],
    });
    assert.equal(session.longLivedAware, true);
  });
  test('how long a peer wants its routes to be kept (RFC 9494)', () => {
    const wish = { afi: 1, safi: 1, forwardingPreserved: false, staleTimeS: 86_400 };
    const offer = (capabilities: typeof open.capabilities) => negotiate(options, { ...open, capabilities });
    const others = open.capabilities.filter((c) => c.type !== 'long-lived-graceful-restart');
    const longLived = {
      type: 'long-lived-graceful-restart' as const,
      families: [wish, { ...wish, afi: 25 }],
    };
    const both = offer([...others, longLived]);
    assert.ok(both.ok);
    assert.deepEqual(both.value.gracefulRestart?.longLived, [
      { family: 4, forwardingPreserved: false, staleTimeMs: 86_400_000 },
    ]);
    // Without the capability of graceful restart it means nothing.
    const alone = offer([...others.filter((c) => c.type !== 'graceful-restart'), longLived]);
    assert.ok(alone.ok);
    assert.equal(alone.value.gracefulRestart, undefined);
    assert.equal(alone.value.longLivedAware, false);
  });
  test('a peer without capabilities speaks IPv4 with two-octet numbers', () => {
    const result = negotiate(options, { ...open, capabilities: [] });
    assert.ok(result.ok);
    assert.deepEqual(result.value.families, [4]);
    assert.equal(result.value.as4, false);
    assert.equal(result.value.messageLimit, 4096);
  });
  test('any other AS for a dynamic neighbour, but not ours', () => {
    const { peerAsn: _, ...dynamic } = options;
    assert.equal(negotiate(dynamic, openFor({ ...peerOptions, localAsn: 4200000000 }, false)).ok, true);
    assert.equal(negotiate(dynamic, open).ok, false);
  });
});

// ── totality ─────────────────────────────────────────────────────────────────────────────────────────────────────────
const side = fc.constantFrom<Side>('outgoing', 'incoming');
const anyEvent: fc.Arbitrary<FsmEvent> = fc.oneof(
  fc.constantFrom<FsmEvent>(
    { type: 'start' },
    { type: 'stop', cease: 2 },
    { type: 'connected' },
    { type: 'accepted' },
    { type: 'connect-failed', reason: { kind: 'refused' } },
  ),
  fc
    .constantFrom(
      'connect-retry',
      'connect-timeout',
      'idle-hold',
      'stable',
      'hold-outgoing',
      'hold-incoming',
      'keepalive-outgoing',
      'keepalive-incoming',
    )
    .map((timer): FsmEvent => ({ type: 'timer', timer: timer as never })),
  side.map((s): FsmEvent => ({ type: 'closed', side: s })),
  fc
    .tuple(side, fc.constantFrom('keepalive', 'update', 'route-refresh'))
    .map(([s, type]) => says(type as 'update', s)),
  side.map((s): FsmEvent => ({ type: 'notification', side: s, notification: notification(6, 4) })),
  side.map((s): FsmEvent => ({ type: 'malformed', side: s, notification: notification(1, 1) })),
  fc
    .tuple(
      side,
      fc.constantFrom(open, { ...open, holdTimeS: 1 }, openFor({ ...peerOptions, routerId: 9 }, false)),
    )
    .map(([s, o]) => opens(s, o)),
);

test('every event is legal in every state, and the invariants hold', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60 }), fc.boolean(), (events, passive) => {
      let state = initialState({ ...options, passive });
      let isUp = false;
      const timersSet = new Set<string>();
      const connections = new Set<Side>();
      for (const event of events) {
        const next = step(state, event, 0.3);
        for (const action of next.actions) {
          if (action.do === 'set-timer') timersSet.add(action.timer);
          else if (action.do === 'clear-timer') timersSet.delete(action.timer);
          else if (action.do === 'established') {
            assert.ok(!isUp, 'one Established session at a time');
            isUp = true;
          } else if (action.do === 'down') {
            assert.ok(isUp);
            isUp = false;
          } else if (action.do === 'send-open') connections.add(action.side);
          else if (action.do === 'close') connections.delete(action.side);
        }
        state = next.state;
        assert.equal(isUp, stateName(state) === 'Established');
        for (const s of ['outgoing', 'incoming'] as const)
          assert.equal(state[s] !== undefined, connections.has(s), 'the machine and the sockets agree');
        if (event.type === 'timer') timersSet.delete(event.timer);
        for (const s of ['outgoing', 'incoming'] as const)
          if (state[s] === undefined)
            assert.ok(!timersSet.has(`hold-${s}`), 'no timer outlives its connection');
      }
    }),
    { numRuns: 1000 },
  );
});

test('a connection that nobody asked for takes the one before with it, and the machine knows', () => {
  let state = initialState(options);
  for (const type of ['start', 'connected', 'connected'] as const) state = step(state, { type }).state;
  assert.equal(state.outgoing, undefined);
  assert.equal(stateName(state), 'Active');
});

test('it always comes back: left alone, a running machine that dials waits for a timer or for the peer', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 40 }), (events) => {
      let state = step(initialState(options), { type: 'start' }).state;
      const pending = new Set<string>();
      for (const event of events.filter((e) => e.type !== 'stop')) {
        if (event.type === 'timer' && !pending.has(event.timer)) continue;
        if (event.type === 'timer') pending.delete(event.timer);
        const next = step(state, event);
        for (const a of next.actions)
          if (a.do === 'set-timer') pending.add(a.timer);
          else if (a.do === 'clear-timer') pending.delete(a.timer);
        state = next.state;
        const waits =
          state.dialling || state.outgoing !== undefined || state.incoming !== undefined || pending.size > 0;
        assert.ok(waits, `stuck in ${stateName(state)} after ${event.type}`);
      }
    }),
    { numRuns: 1000 },
  );
});
