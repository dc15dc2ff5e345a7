// The whole agent side on a machine in memory: what ADD, DEL, CHECK and GC leave behind, and what an agent that dies between
// any two of its steps leaves behind.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { address, containsAddress } from '../lib/ip/mod.ts';
import { until } from '../lib/wait.ts';
import { type Agent, added, type Machine, pool, type Request, withMachine } from './stage.test.ts';

describe('ADD', () => {
  it('CN-007, SR-051, SR-052, SR-053, SR-056: wires the pod and writes what others read', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('web');
      const agent = await machine.startAgent();
      const path = await netns('web');
      const result = added(await agent.run({ command: 'ADD', container: 'c1', pod: 'web', netns: path }));
      const ip = result.ips[0]?.address ?? '';
      assert.match(ip, /^10\.244\.0\.\d+\/32$/);
      assert.match(result.interfaces[0]?.name ?? '', /^cali[0-9a-f]{11}$/);
      assert.equal(result.interfaces[0]?.mac, 'ee:ee:ee:ee:ee:ee');
      assert.equal(result.interfaces[1]?.mtu, 1450);

      const pod = machine.host.kernel(path);
      const routes = await pod.routes.list({ table: 254 });
      assert.ok(routes.ok);
      const shown = routes.value.map((r) => `${r.dst} ${r.nextHops[0]?.gateway ?? ''} ${r.scope}`);
      assert.ok(shown.includes('169.254.1.1/32  link'), shown.join());
      assert.ok(shown.includes('0.0.0.0/0 169.254.1.1 global'), shown.join());
      const annotations = machine.store.all('Pod')[0]?.metadata.annotations ?? {};
      assert.equal(annotations['cni.projectcalico.org/podIP'], ip);
      assert.equal(annotations['cni.projectcalico.org/podIPs'], ip);
      assert.equal(annotations['cni.projectcalico.org/containerID'], 'c1');
      const again = added(await agent.run({ command: 'ADD', container: 'c1', pod: 'web', netns: path }));
      assert.equal(again.ips[0]?.address, ip, 'CN-008: a repeated ADD gives the same answer');
      assert.equal(
        (await agent.run({ command: 'CHECK', container: 'c1', pod: 'web', netns: path })).exitCode,
        1,
      );
    }));

  it('SR-084: a fixed address is given as asked, refused with its name when it is taken', () =>
    withMachine(async (machine, netns) => {
      const fixed = { 'cni.projectcalico.org/ipAddrs': '["10.244.0.77"]' };
      machine.addPod('a', fixed);
      machine.addPod('b', fixed);
      const agent = await machine.startAgent();
      const first = added(
        await agent.run({ command: 'ADD', container: 'c1', pod: 'a', netns: await netns('a') }),
      );
      assert.equal(first.ips[0]?.address, '10.244.0.77/32');
      const second = await agent.run({ command: 'ADD', container: 'c2', pod: 'b', netns: await netns('b') });
      assert.equal(second.exitCode, 1);
      assert.match(second.output, /10\.244\.0\.77/);
      assert.deepEqual(machine.allocated(), ['10.244.0.77']);
      assert.deepEqual(await machine.hostLinks(), [first.interfaces[0]?.name]);
    }));

  it('RS-190: a limit that cannot be breaks no pod; an event of the pod tells what became of it', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('a', {
        'qos.projectcalico.org/ingressBandwidth': 'fast',
        'qos.projectcalico.org/egressPacketRate': '1M',
      });
      machine.addPod('b', { 'kubernetes.io/egress-bandwidth': '10M' });
      const agent = await machine.startAgent();
      for (const name of ['a', 'b'])
        added(await agent.run({ command: 'ADD', container: name, pod: name, netns: await netns(name) }));
      const events = await until(
        () => (machine.store.all('Event').length > 0 ? machine.store.all('Event') : undefined),
        { timeoutMs: 5000 },
      );
      assert.equal(events?.length, 1);
      const [event] = events;
      assert.equal(event?.reason, 'BadLimit');
      assert.equal(event?.involvedObject.name, 'a');
      assert.match(event?.message ?? '', /ingressBandwidth is left out: "fast" is not a quantity\./);
      assert.match(event?.message ?? '', /egressPacketRate: 1M is outside of 1 to 10000; 10000 is used\./);
    }));

  it('CN-010: many at once get an address each', () =>
    withMachine(async (machine, netns) => {
      const agent = await machine.startAgent();
      const names = Array.from({ length: 40 }, (_, i) => `pod-${i}`);
      for (const name of names) machine.addPod(name);
      const paths = await Promise.all(names.map((name) => netns(name)));
      const responses = await Promise.all(
        names.map((pod, i) => agent.run({ command: 'ADD', container: `c${i}`, pod, netns: paths[i] ?? '' })),
      );
      const ips = responses.map((r) => (added(r).ips[0]?.address ?? '').split('/')[0] ?? '');
      assert.equal(new Set(ips).size, 40);
      assert.ok(ips.every((ip) => containsAddress(pool, address(ip))));
      assert.deepEqual(machine.allocated(), [...ips].sort());
    }));
});

describe('DEL', () => {
  it('CN-009: is idempotent, whatever is gone already', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('web');
      const agent = await machine.startAgent();
      const path = await netns('web');
      added(await agent.run({ command: 'ADD', container: 'c1', pod: 'web', netns: path }));
      for (const request of [
        { netns: path, pod: 'web' },
        { netns: path, pod: 'web' },
        { netns: '/var/run/netns/gone', pod: 'web' },
        { pod: 'no-such-pod' },
        {},
      ]) {
        const response = await agent.run({ command: 'DEL', container: 'c1', ...request });
        assert.equal(response.exitCode, 0, response.output);
      }
      assert.deepEqual(machine.allocated(), []);
      assert.deepEqual(machine.store.all('IPAMHandle'), []);
      assert.equal(machine.store.all('Pod')[0]?.metadata.annotations?.['cni.projectcalico.org/podIP'], '');
    }));

  it('CN-009: a late DEL of an old sandbox does not harm the newer one of the same pod', () =>
    withMachine(async (machine, netns) => {
      machine.addPod('web');
      const agent = await machine.startAgent();
      const old = await netns('old');
      added(await agent.run({ command: 'ADD', container: 'c1', pod: 'web', netns: old }));
      const now = added(
        await agent.run({ command: 'ADD', container: 'c2', pod: 'web', netns: await netns('new') }),
      );
      const late = await agent.run({ command: 'DEL', container: 'c1', pod: 'web', netns: old });
      assert.equal(late.exitCode, 0, late.output);
      assert.deepEqual(await machine.hostLinks(), [now.interfaces[0]?.name]);
      assert.deepEqual(machine.allocated(), [(now.ips[0]?.address ?? '').split('/')[0]]);
      assert.ok(machine.programmed.has(now.interfaces[0]?.name ?? ''));
      const annotations = machine.store.all('Pod')[0]?.metadata.annotations ?? {};
      assert.equal(annotations['cni.projectcalico.org/containerID'], 'c2');
      assert.equal(annotations['cni.projectcalico.org/podIP'], now.ips[0]?.address);
    }));

  it('GC removes what the runtime no longer lists', () =>
    withMachine(async (machine, netns) => {
      const agent = await machine.startAgent();
      for (const name of ['a', 'b']) {
        machine.addPod(name);
        added(await agent.run({ command: 'ADD', container: name, pod: name, netns: await netns(name) }));
      }
      const extra = { 'cni.dev/valid-attachments': [{ containerID: 'b', ifname: 'eth0' }] };
      const response = await agent.run({ command: 'GC', container: 'none', extra });
      assert.equal(response.exitCode, 0, response.output);
      assert.equal(machine.allocated().length, 1);
      assert.equal(machine.store.all('IPAMHandle')[0]?.spec.handleID, 'k8s-pod-network.b');
    }));
});

/** Counts the calls of every edge and dies before (or after) the chosen one: from then on nothing answers. */
class Death {
  calls = 0;
  dead = false;
  readonly #at: number;
  readonly #after: boolean;

  constructor(at: number, after: boolean) {
    this.#at = at;
    this.#after = after;
  }

  wrap = <T extends object>(edge: T): T =>
    new Proxy(edge, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value === 'function')
          return (...argv: unknown[]) => this.#call(() => Reflect.apply(value, target, argv));
        return typeof value === 'object' && value !== null ? this.wrap(value) : value;
      },
    });

  async #call(work: () => unknown): Promise<unknown> {
    const mine = ++this.calls;
    if (this.dead || (mine === this.#at && !this.#after)) return this.#die();
    const result = await work();
    return mine === this.#at ? this.#die() : result;
  }

  #die(): never {
    this.dead = true;
    throw new Error('the agent was killed');
  }
}

describe('an agent killed at any point', () => {
  /** Runs `victim` on an agent that dies at step n, then `after` on a new one; n grows until the victim survives. */
  async function walk(
    after: boolean,
    scenario: (
      machine: Machine,
      netns: (name: string) => Promise<string>,
    ) => Promise<{
      prepare?: (agent: Agent) => Promise<void>;
      victim: Request;
      recovery: Request[];
      expected: number;
    }>,
  ): Promise<number> {
    for (let step = 1; step < 200; step++) {
      let survived = false;
      await withMachine(async (machine, netns) => {
        const plan = await scenario(machine, netns);
        if (plan.prepare !== undefined) {
          const healthy = await machine.startAgent();
          await plan.prepare(healthy);
          await healthy.server.stop();
        }
        const death = new Death(step, after);
        const doomed = await machine.startAgent(death.wrap);
        await doomed.run(plan.victim);
        await doomed.server.stop();
        survived = !death.dead;
        const next = await machine.startAgent();
        for (const request of plan.recovery) {
          const response = await next.run(request);
          assert.equal(response.exitCode, 0, `step ${step}, ${request.command}: ${response.output}`);
        }
        await next.server.stop();
        assert.equal(
          machine.allocated().length,
          plan.expected,
          `step ${step}: addresses ${machine.allocated().join()}`,
        );
        assert.equal((await machine.hostLinks()).length, plan.expected, `step ${step}: links`);
        assert.equal(machine.store.all('IPAMHandle').length, plan.expected, `step ${step}: handles`);
        assert.deepEqual(await machine.problems(), [], `step ${step}`);
      });
      if (survived) return step;
    }
    throw new Error('the walk did not end');
  }

  for (const after of [false, true]) {
    const when = after ? 'after' : 'before';
    it(`CN-008: in ADD, ${when} each step: the retry succeeds with one address`, async () => {
      const steps = await walk(after, async (machine, netns) => {
        machine.addPod('web');
        const add: Request = { command: 'ADD', container: 'c1', pod: 'web', netns: await netns('web') };
        return { victim: add, recovery: [add], expected: 1 };
      });
      assert.ok(steps > 10, `only ${steps} steps were walked`);
    });

    it(`CN-008: in ADD, ${when} each step: DEL leaves nothing`, async () => {
      await walk(after, async (machine, netns) => {
        machine.addPod('web');
        const target = { container: 'c1', pod: 'web', netns: await netns('web') };
        return {
          victim: { command: 'ADD', ...target },
          recovery: [{ command: 'DEL', ...target }],
          expected: 0,
        };
      });
    });

    it(`CN-009: in DEL, ${when} each step: the retry leaves nothing`, async () => {
      await walk(after, async (machine, netns) => {
        machine.addPod('web');
        const target = { container: 'c1', pod: 'web', netns: await netns('web') };
        return {
          prepare: async (agent) => void added(await agent.run({ command: 'ADD', ...target })),
          victim: { command: 'DEL', ...target },
          recovery: [{ command: 'DEL', ...target }],
          expected: 0,
        };
      });
    });
  }
});
