import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { containsPrefix, type Prefix } from '../../../lib/ip/mod.ts';
import type { WorkloadEndpoint } from '../../../model/mod.ts';
import type { RouteSource } from '../network/types.ts';
import { PolicyGraph, type PolicyInputKind, type PolicyUpdate } from './graph.ts';
import { slowState } from './slow-model.ts';
import { from, kinds, plain, Receiver, v3, type AnyObject } from './testing.ts';

type Step =
  | { readonly type: 'set'; readonly kind: PolicyInputKind; readonly object: AnyObject }
  | { readonly type: 'delete' | 'repeat' | 'stale'; readonly pick: number }
  | { readonly type: 'source'; readonly source: RouteSource }
  | { readonly type: 'flush' };
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 60,
    arbitrary: kinds.map(([kind, one]): Step => ({ type: 'set', kind, object: one })),
  },
  {
    weight: 15,
    arbitrary: fc
      .tuple(from<'delete' | 'repeat' | 'stale'>('delete', 'repeat', 'stale'), fc.nat(1000))
      .map(([type, pick]): Step => ({ type, pick })),
  },
  { weight: 15, arbitrary: fc.constant<Step>({ type: 'flush' }) },
  {
    weight: 1,
    arbitrary: from<RouteSource>('CalicoIPAM', 'WorkloadIPs').map(
      (source): Step => ({ type: 'source', source }),
    ),
  },
);

/** The objects as the graph was last told, and all versions that it was ever told. */
class History {
  readonly graph = new PolicyGraph({ nodeName: 'here' });
  readonly receiver = new Receiver();
  readonly objects = new Map<string, { kind: PolicyInputKind; object: AnyObject }>();
  readonly versions: { kind: PolicyInputKind; object: AnyObject }[] = [];
  source: RouteSource = 'CalicoIPAM';

  run(one: Step): void {
    switch (one.type) {
      case 'set':
        return this.#tell(one);
      case 'flush':
        return this.compare();
      case 'source':
        this.source = one.source;
        return this.graph.setRouteSource(one.source);
      case 'delete': {
        const picked = [...this.objects][one.pick % Math.max(1, this.objects.size)];
        if (picked === undefined) return;
        const [key, { kind, object: gone }] = picked;
        this.objects.delete(key);
        return this.graph.update({ type: 'delete', kind, name: gone.metadata });
      }
      default: {
        const list = one.type === 'repeat' ? [...this.objects.values()] : this.versions;
        const picked = list[one.pick % Math.max(1, list.length)];
        if (picked !== undefined) this.#tell(picked);
      }
    }
  }

  #tell(one: { kind: PolicyInputKind; object: AnyObject }): void {
    const { name, namespace } = one.object.metadata;
    this.objects.set(`${one.kind} ${namespace ?? ''}/${name}`, one);
    this.versions.push(one);
    this.graph.update({ type: 'set', ...one } as unknown as PolicyUpdate);
  }

  compare(): void {
    this.receiver.apply(this.graph.flush());
    assert.deepEqual(this.graph.flush(), [], 'a flush without news tells nothing');
    const resources = [...this.objects.values()].map((one) => one.object);
    const wanted = plain(slowState(resources, 'here', this.source));
    assert.deepEqual(plain(this.graph.state()), wanted);
    assert.deepEqual(plain(this.receiver), wanted);
  }

  /** Everything goes, in the order it came or the other way. */
  end(isReversed: boolean): void {
    const all = [...this.objects.values()];
    for (const { kind, object: gone } of isReversed ? all.toReversed() : all)
      this.graph.update({ type: 'delete', kind, name: gone.metadata });
    this.objects.clear();
    this.compare();
    const left = Object.entries(this.graph.stats).filter(([, count]) => count !== 0);
    assert.deepEqual(left, []);
    assert.equal(this.graph.waiting, 0);
  }
}

test('equals the slow model after any history, tells differences in a safe order, and leaves nothing behind (FX-003…FX-005)', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 60, maxLength: 160 }), fc.boolean(), (steps, isReversed) => {
      const history = new History();
      for (const one of steps) history.run(one);
      history.compare();
      history.end(isReversed);
    }),
    { numRuns: Number(process.env['MARGAY_HISTORIES'] ?? 40) },
  );
});

test('the order of arrival makes no difference', () => {
  const arrival = fc
    .uniqueArray(kinds, {
      maxLength: 40,
      selector: ([kind, { metadata }]) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
    })
    .chain((list) => fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length })));
  fc.assert(
    fc.property(arrival, ([one, other]) => {
      const states = [one, other].map((list) => {
        const graph = new PolicyGraph({ nodeName: 'here' });
        for (const [kind, it] of list) {
          graph.update({ type: 'set', kind, object: it } as unknown as PolicyUpdate);
          if (list === other) graph.flush();
        }
        graph.flush();
        return plain(graph.state());
      });
      assert.deepEqual(states[0], states[1]);
    }),
    { numRuns: 40 },
  );
});

// ── by hand ───────────────────────────────────────────────────────────────────────────────────────────────────────────
const set = (kind: PolicyInputKind, one: object): PolicyUpdate =>
  ({ type: 'set', kind, object: one }) as unknown as PolicyUpdate;
const pod = (
  name: string,
  node: string,
  ipNetworks: string[],
  own: Record<string, string> = {},
  containerID = 'c1',
) =>
  ({
    apiVersion: v3,
    kind: 'WorkloadEndpoint',
    metadata: { name, namespace: 'red', labels: own },
    spec: { node, orchestrator: 'k8s', interfaceName: `cali${name}`, ipNetworks, profiles: [], containerID },
  }) as unknown as WorkloadEndpoint;
const policy = (name: string, selector: string, peers: string) => ({
  apiVersion: v3,
  kind: 'GlobalNetworkPolicy',
  metadata: { name },
  spec: { selector, ingress: [{ action: 'Allow', source: { selector: peers } }] },
});

test('an address of two endpoints stays in the set until the second goes (FX-005)', () => {
  const graph = new PolicyGraph({ nodeName: 'here' });
  graph.update(set('WorkloadEndpoint', pod('me', 'here', [])));
  graph.update(set('GlobalNetworkPolicy', policy('p', 'all()', "app == 'a'")));
  graph.update(set('WorkloadEndpoint', pod('old', 'there', ['10.0.0.5/32'], { app: 'a' })));
  graph.update(set('WorkloadEndpoint', pod('new', 'far', ['10.0.0.5/32'], { app: 'a' })));
  const first = graph.flush().find((change) => change.type === 'set');
  assert.deepEqual(first?.members, ['10.0.0.5/32']);
  graph.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'old', namespace: 'red' } });
  assert.deepEqual(graph.flush(), []);
  graph.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'new', namespace: 'red' } });
  assert.deepEqual(
    graph.flush().map((change) => change.type === 'set-members' && change.removed),
    [['10.0.0.5/32']],
  );
});

test('what changes and changes back between two flushes is not told, and one entry per object waits', () => {
  const graph = new PolicyGraph({ nodeName: 'here' });
  graph.update(set('WorkloadEndpoint', pod('me', 'here', ['10.0.0.1/32'], { app: 'a' })));
  graph.update(set('GlobalNetworkPolicy', policy('p', 'all()', "app == 'a'")));
  graph.flush();
  for (let i = 0; i < 1000; i++) {
    graph.update(
      set('WorkloadEndpoint', pod('me', 'here', [`10.0.${i % 250}.9/32`], { app: i % 2 ? 'a' : 'b' })),
    );
    graph.update({ type: 'delete', kind: 'GlobalNetworkPolicy', name: { name: 'p' } });
  }
  assert.equal(graph.waiting, 2);
  graph.update(set('WorkloadEndpoint', pod('me', 'here', ['10.0.0.1/32'], { app: 'a' })));
  graph.update(set('GlobalNetworkPolicy', policy('p', 'all()', "app == 'a'")));
  assert.deepEqual(graph.flush(), []);
});

test('an endpoint that CNI announced has its policy before the watch tells of it, and loses it on withdrawal', () => {
  const graph = new PolicyGraph({ nodeName: 'here' });
  graph.update(set('GlobalNetworkPolicy', policy('p', "app == 'a'", 'all()')));
  assert.deepEqual(graph.flush(), []);
  const mine = pod('me', 'here', ['10.0.0.1/32'], { app: 'a' });
  graph.announce(mine);
  assert.deepEqual(
    graph.flush().map(({ type }) => type),
    ['set', 'policy', 'endpoint', 'route'],
  );
  graph.update(set('WorkloadEndpoint', mine));
  graph.update({ type: 'delete', kind: 'WorkloadEndpoint', name: { name: 'me', namespace: 'red' } });
  assert.deepEqual(
    graph.flush().map(({ type }) => type),
    ['endpoint-removed', 'policy-removed', 'set-removed', 'route-removed'],
    'the watch agreed in between, so its deletion counts',
  );
});

test('a network hides the members inside of it, and they show again when it goes', () => {
  const graph = new PolicyGraph({ nodeName: 'here' });
  const nets = (list: string[]) =>
    set('GlobalNetworkSet', {
      apiVersion: v3,
      kind: 'GlobalNetworkSet',
      metadata: { name: 'n', labels: { app: 'a' } },
      spec: { nets: list },
    });
  graph.update(set('WorkloadEndpoint', pod('me', 'here', ['10.0.0.1/32'], { app: 'a' })));
  graph.update(set('GlobalNetworkPolicy', policy('p', 'all()', "app == 'a'")));
  graph.update(nets(['10.0.0.0/8', '10.0.0.0/24']));
  const members = () => [...graph.state().sets.values()].flatMap((one) => [...one.members]).toSorted();
  graph.flush();
  assert.deepEqual(members(), ['10.0.0.0/8']);
  graph.update(nets(['10.0.0.0/24', '10.9.0.0/16']));
  const [change] = graph.flush();
  assert.deepEqual(change?.type === 'set-members' && [change.added.toSorted(), change.removed], [
    ['10.0.0.0/24', '10.9.0.0/16'],
    ['10.0.0.0/8'],
  ]);
  graph.update(nets([]));
  graph.flush();
  assert.deepEqual(members(), ['10.0.0.1/32']);
  assert.ok(containsPrefix('10.0.0.0/24' as Prefix, '10.0.0.1/32' as Prefix));
});
