// Limits of bandwidth after random histories: pods, interfaces, what others take away, restarts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { until } from '../../../lib/wait.ts';
import { FakeHost } from '../../../kernel/mod.ts';
import { limitDevice } from './rows.ts';
import { Bench, limits, withoutPod } from './testing.ts';

const pods = ['a', 'b'] as const;
type Pod = (typeof pods)[number];
/** Mbit/s; 0: none. */
type Wanted = { readonly ingress: number; readonly egress: number };
type Step =
  | ({ readonly do: 'limit'; readonly pod: Pod } & Wanted)
  | { readonly do: 'remove'; readonly pod: Pod }
  | { readonly do: 'link' | 'unlink' | 'unbucket' | 'unlead' | 'undevice'; readonly pod: Pod }
  | { readonly do: 'settle' | 'restart' };

const pod = fc.constantFrom(...pods);
const rate = fc.constantFrom(0, 8, 16);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('limit'), pod, ingress: rate, egress: rate }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove'), pod }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom('link', 'link', 'unlink', 'unbucket', 'unlead', 'undevice'),
      pod,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('settle', 'restart') }) },
);

class History {
  readonly #host = new FakeHost();
  readonly #wanted = new Map<Pod, Wanted>();
  bench = new Bench(this.#host);

  async take(one: Step): Promise<void> {
    switch (one.do) {
      case 'settle':
        return this.bench.settled();
      case 'restart':
        await this.bench[Symbol.asyncDispose]();
        this.bench = new Bench(this.#host);
        for (const name of this.#wanted.keys()) this.#tell(name);
        return this.bench.start();
      case 'limit':
        this.#wanted.set(one.pod, one);
        return this.#tell(one.pod);
      case 'remove':
        this.#wanted.delete(one.pod);
        return this.bench.update(withoutPod(one.pod));
      default:
        return this.#harm(one.do, one.pod);
    }
  }

  #tell(name: Pod): void {
    const { ingress, egress } = this.#wantedOf(name);
    const controls = {
      ...(ingress > 0 ? { ingressBandwidth: ingress * 1e6 } : {}),
      ...(egress > 0 ? { egressBandwidth: egress * 1e6 } : {}),
    };
    this.bench.update(limits(controls, name));
  }

  #wantedOf(name: Pod): Wanted {
    return this.#wanted.get(name) ?? { ingress: 0, egress: 0 };
  }

  async #harm(what: 'link' | 'unlink' | 'unbucket' | 'unlead' | 'undevice', name: Pod): Promise<void> {
    const { links, qdiscs, redirects } = this.bench.kernel;
    const linkIndex = (await this.bench.link(`cali${name}`))?.index;
    const device = (await this.bench.link(limitDevice(`cali${name}`)))?.index;
    if (what === 'undevice' && device !== undefined) await links.delete([device]);
    if (what === 'link' && linkIndex === undefined) await this.bench.veth(`cali${name}`);
    if (linkIndex === undefined) return;
    if (what === 'unlink') await links.delete([linkIndex]);
    if (what === 'unbucket') await qdiscs.applyBuckets([{ op: 'delete', linkIndex }]);
    if (what === 'unlead')
      await redirects.apply([{ op: 'delete', redirect: { linkIndex, priority: 1, targetIndex: 0 } }]);
  }

  async expected(): Promise<readonly unknown[]> {
    const rows: unknown[] = [];
    for (const name of pods) {
      const { ingress, egress } = this.#wantedOf(name);
      const isThere = (await this.bench.link(`cali${name}`)) !== undefined;
      const device = limitDevice(`cali${name}`);
      rows.push(isThere && ingress > 0 ? ingress * 125_000 : 'no bucket');
      if (isThere) rows.push(egress > 0 ? device : 'not led', egress > 0 ? egress * 125_000 : 'no bucket');
      // While its interface is away the pod's device may stay.
      if (egress === 0) rows.push('no device');
    }
    return rows;
  }

  async found(): Promise<readonly unknown[]> {
    const rates = await this.bench.rates();
    const rows: unknown[] = [];
    for (const name of pods) {
      const isThere = (await this.bench.link(`cali${name}`)) !== undefined;
      const device = limitDevice(`cali${name}`);
      rows.push(rates[`cali${name}`] ?? 'no bucket');
      if (isThere)
        rows.push((await this.bench.way(`cali${name}`)) ?? 'not led', rates[device] ?? 'no bucket');
      if (this.#wantedOf(name).egress === 0)
        rows.push((await this.bench.link(device)) === undefined ? 'no device' : device);
    }
    return rows;
  }
}

test('FX-120: after any history the kernel has the limits of the pods that are there, and no others', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 20 }), async (steps) => {
      const history = new History();
      await history.bench.start();
      try {
        for (const one of steps) await history.take(one);
        const isRight = async (): Promise<true | undefined> =>
          JSON.stringify(await history.found()) === JSON.stringify(await history.expected()) || undefined;
        await until(isRight, { timeoutMs: 10_000 });
        await history.bench.settled();
        assert.deepEqual(await history.found(), await history.expected());
      } finally {
        await history.bench[Symbol.asyncDispose]();
      }
    }),
    { numRuns: Number(process.env['BANDWIDTH_HISTORIES'] ?? 12), seed: 120 },
  );
});
