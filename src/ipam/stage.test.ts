// What the tests of address management start from: a memory store with pools and nodes, and an audit of what must hold
// after anything that may happen. The tests of this file test the audit.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MemoryClientOptions, MemoryStore } from '../datastore/mod.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import type { IPAMConfiguration, IPPool, Node } from '../model/mod.ts';
import { createIpam, holderOf, type Ipam, type IpamProblem, type IpamView, parseBlock } from './mod.ts';
import { detailAt } from './block.ts';

export const pool = (name: string, cidr: string, spec: Partial<IPPool['spec']> = {}): IPPool => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name },
  spec: { cidr, ...spec },
});

export const node = (name: string, labels: Record<string, string> = {}): Node => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'Node',
  metadata: { name, labels },
  spec: {},
});

export const configuration = (spec: IPAMConfiguration['spec']): IPAMConfiguration => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPAMConfiguration',
  metadata: { name: 'default' },
  spec,
});

export type StageOptions = {
  readonly pools?: readonly IPPool[];
  readonly nodes?: readonly string[];
  readonly configuration?: IPAMConfiguration['spec'];
  readonly clock?: Clock;
};

export class Stage {
  readonly store: MemoryStore;
  readonly clock: Clock;

  constructor(options: StageOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.store = new MemoryStore({ clock: this.clock });
    this.store.put('IPPool', ...(options.pools ?? [pool('v4', '10.0.0.0/16'), pool('v6', 'fd00:10::/64')]));
    this.store.put('Node', ...(options.nodes ?? ['a', 'b', 'c']).map((name) => node(name)));
    if (options.configuration !== undefined)
      this.store.put('IPAMConfiguration', configuration(options.configuration));
  }

  ipam(client: MemoryClientOptions = {}, view?: IpamView): Ipam {
    return createIpam(this.store.open(client), {
      clock: this.clock,
      logger: silentLogger,
      ...(view === undefined ? {} : { view }),
    });
  }

  /** Held address → handle, read from the blocks as they are stored. */
  held(): Map<string, string> {
    const held = new Map<string, string>();
    for (const object of this.store.all('IPAMBlock')) {
      const block = parseBlock(object.spec);
      assert.ok(block.ok, 'every stored block is readable');
      const free = new Set(block.value.unallocated);
      assert.equal(
        free.size,
        object.spec.unallocated.length,
        `${object.spec.cidr}: each free ordinal is listed once`,
      );
      block.value.allocations.forEach((index, ordinal) => {
        assert.equal(
          index === null,
          free.has(ordinal),
          `${object.spec.cidr}: ordinal ${ordinal} is either held or free`,
        );
        if (index !== null)
          assert.ok(object.spec.attributes[index] !== undefined, 'every allocation has attributes');
        if (holderOf(block.value, ordinal) === undefined) return;
        const detail = detailAt(block.value, ordinal);
        assert.ok(detail !== undefined && !held.has(detail.address), `${detail?.address} is held once`);
        held.set(detail.address, detail.handleId ?? '');
      });
    }
    return held;
  }

  async problems(): Promise<readonly IpamProblem[]> {
    const checked = await this.ipam().check();
    assert.ok(checked.ok);
    return checked.value;
  }

  /** Nothing contradicts anything else, and exactly these handles hold addresses. */
  async audit(handles: ReadonlySet<string>, tolerated: readonly IpamProblem['code'][] = []): Promise<void> {
    assert.deepEqual(new Set(this.held().values()), handles);
    const problems = (await this.problems()).filter(({ code }) => !tolerated.includes(code));
    assert.deepEqual(problems, []);
  }
}

export const workload = (nodeName: string, handleId: string, num4 = 1, num6 = 0) =>
  ({
    nodeName,
    handleId,
    num4,
    num6,
    attributes: { pod: handleId, node: nodeName },
    intendedUse: 'Workload',
  }) as const;

test('the audit sees a held address without handle and a handle without address', async () => {
  const stage = new Stage();
  const assigned = await stage.ipam().autoAssign(workload('a', 'h1'));
  assert.ok(assigned.ok);
  await stage.audit(new Set(['h1']));
  await stage.store.open().delete('IPAMHandle', { name: 'h1' });
  assert.deepEqual(
    (await stage.problems()).map(({ code }) => code),
    ['HandleMissing'],
  );
});
