// The two designs at the sizes they are made for: speakers run the plans of a mesh and of clients with reflectors, on a network
// in memory, and each hears of every other node's block.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { computePlan, type PlanInput } from '../plan/mod.ts';
import { configFromPlan } from './config-plan.ts';
import { FakeNetwork } from './fake.ts';
import { Speaker } from './speaker.ts';
import type { SpeakerConfig } from './types.ts';

type Design = Omit<PlanInput, 'nodeName' | 'nodes' | 'ipPools' | 'blockAffinities'>;

class Cluster {
  readonly #clock = new VirtualClock();
  readonly #network = new FakeNetwork(this.#clock);
  readonly #speakers: Speaker[] = [];

  static async of(count: number, reflectors: readonly number[], design: Design): Promise<Cluster> {
    const cluster = new Cluster();
    const shared = {
      ...design,
      nodes: Array.from({ length: count }, (_, i) => ({
        metadata: { name: `n${i}`, labels: reflectors.includes(i) ? { role: 'reflector' } : {} },
        spec: {
          bgp: {
            ipv4Address: `10.0.0.${i + 1}/24`,
            ...(reflectors.includes(i) ? { routeReflectorClusterID: '244.0.0.1' } : {}),
          },
        },
      })),
      ipPools: [{ metadata: { name: 'pool' }, spec: { cidr: '10.244.0.0/16' } }],
      blockAffinities: Array.from({ length: count }, (_, i) => ({ node: `n${i}`, cidr: `10.244.${i}.0/26` })),
    };
    for (let i = 0; i < count; i++) {
      const config = configFromPlan(computePlan({ ...shared, nodeName: `n${i}` })) as SpeakerConfig;
      // Nobody else has the address in this network.
      const { address } = config.addresses[4] ?? assert.fail('an address');
      const bound = { ...config, listen: { ...config.listen, addresses: [address] } };
      const speaker = new Speaker(bound, {
        transport: cluster.#network.transport(address),
        clock: cluster.#clock,
        logger: silentLogger,
        random: () => 0.5,
      });
      expect(await speaker.start(), 'start');
      cluster.#speakers.push(speaker);
    }
    return cluster;
  }

  async run(seconds: number): Promise<void> {
    for (let at = 0; at < seconds * 1000; at += 100) {
      this.#clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  established(): number {
    return this.#speakers.reduce((sum, s) => sum + s.status().sessions.established, 0);
  }

  /** How many blocks of others each one has a path to. */
  blocksOfOthers(): number[] {
    return this.#speakers.map((s) => {
      const heard = [...s.routes({ bestOnly: true })].filter((r) => r.source === 'bgp').map((r) => r.prefix);
      return new Set(heard).size;
    });
  }

  end(n: number): Promise<void> {
    return this.#speakers[n]?.stop('end') ?? Promise.resolve();
  }

  async close(): Promise<void> {
    for (const speaker of this.#speakers) await speaker.stop('end');
  }
}

test('NM-001: a mesh of 100 nodes comes up whole, and each node hears of every other one’s block', async () => {
  const cluster = await Cluster.of(100, [], {});
  try {
    await cluster.run(10);
    assert.equal(cluster.established(), 100 * 99);
    assert.deepEqual([...new Set(cluster.blocksOfOthers())], [99]);
  } finally {
    await cluster.close();
  }
});

test('NM-003: each client has a session with both reflectors; with one of them gone everybody still hears of all', async () => {
  const cluster = await Cluster.of(40, [0, 1], {
    bgpConfigurations: [{ metadata: { name: 'default' }, spec: { nodeToNodeMeshEnabled: false } }],
    bgpPeers: [
      {
        metadata: { name: 'reflectors' },
        spec: { nodeSelector: 'all()', peerSelector: "role == 'reflector'" },
      },
    ],
  });
  try {
    await cluster.run(10);
    assert.equal(cluster.established(), 2 * (2 * 38 + 1));
    assert.deepEqual([...new Set(cluster.blocksOfOthers())], [39]);
    await cluster.end(0);
    await cluster.run(150);
    assert.equal(cluster.established(), 2 * 38);
    // The block of the one that is gone is gone too.
    assert.deepEqual([...new Set(cluster.blocksOfOthers().slice(1))], [38]);
  } finally {
    await cluster.close();
  }
});
