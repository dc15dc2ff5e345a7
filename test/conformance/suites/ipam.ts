// Suite `ipam`: lists of steps on a store of their own, and the choice of pools.
import { MemoryStore } from '../../../src/datastore/mod.ts';
import { createIpam, poolsOf, selectPools, type Assignments, type Ipam } from '../../../src/ipam/mod.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { address, parseNetwork, prefix, type Address } from '../../../src/lib/ip/mod.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import type { IPPool } from '../../../src/model/mod.ts';

type Pool = {
  readonly cidr: string;
  readonly blockSize?: number;
  readonly disabled?: boolean;
  readonly nodeSelector?: string;
  readonly namespaceSelector?: string;
  readonly allowedUses?: NonNullable<IPPool['spec']['allowedUses']>;
  readonly assignmentMode?: NonNullable<IPPool['spec']['assignmentMode']>;
};
type Step = {
  readonly op: string;
  readonly host?: string;
  readonly pools?: readonly Pool[];
  readonly reset?: boolean;
  readonly num4?: number;
  readonly num6?: number;
  readonly requestedIPv4Pools?: readonly string[];
  readonly intendedUse?: 'Workload' | 'Tunnel' | 'LoadBalancer';
  readonly maxBlocksPerHost?: number;
  readonly strictAffinity?: boolean;
  readonly ip?: string;
  readonly ips?: readonly string[] | string;
  readonly options?: { readonly address: string; readonly handle?: string; readonly sequenceNumber?: number };
  readonly cidr?: string;
  readonly presetEmptyBlock?: { readonly cidr: string; readonly sequenceNumber: number };
};
type PoolQuestion = {
  readonly op: 'determinePools';
  readonly ipVersion: 4 | 6;
  readonly nodeLabels: Record<string, string>;
  readonly namespace?: {
    readonly labels?: Record<string, string>;
    readonly metadata?: { readonly labels?: Record<string, string> };
  };
  readonly pools: readonly Pool[];
  readonly requestedPools: readonly string[];
};

export const answer = (input: { readonly steps: readonly Step[] } | PoolQuestion): unknown =>
  'steps' in input ? runSteps(input.steps) : choosePools(input);

const poolObject = ({ cidr, ...rest }: Pool, i: number): IPPool => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name: `pool-${String(i).padStart(3, '0')}` },
  spec: { cidr, ...rest },
});

function choosePools(input: PoolQuestion): unknown {
  const namespace = input.namespace;
  const chosen = selectPools(poolsOf(input.pools.map(poolObject)), {
    family: input.ipVersion,
    requested: input.requestedPools,
    nodeLabels: input.nodeLabels,
    namespaceLabels: namespace?.labels ?? namespace?.metadata?.labels,
  });
  // Having no pool at all is an answer here; refusing a pool that was asked for is an error.
  if (chosen.ok) return { pools: chosen.value.map((pool) => pool.cidr), error: false };
  return chosen.error.code === 'NoPools' && input.requestedPools.length === 0
    ? { pools: [], error: false }
    : { pools: [], error: true };
}

/** A store with its address management; steps with `reset` start over. */
class Stage {
  store = new MemoryStore();
  ipam: Ipam = this.open();
  last: readonly Address[] = [];

  open(): Ipam {
    return createIpam(this.store.open(), { clock: systemClock, logger: silentLogger });
  }

  reset(): void {
    this.store = new MemoryStore();
    this.ipam = this.open();
  }

  setPools(pools: readonly Pool[]): void {
    this.store.put('IPPool', ...pools.map(poolObject));
  }

  addNode(name: string): void {
    this.store.put('Node', {
      apiVersion: 'projectcalico.org/v3',
      kind: 'Node',
      metadata: { name },
      spec: {},
    });
  }
}

async function runSteps(steps: readonly Step[]): Promise<unknown> {
  const stage = new Stage();
  const answers: unknown[] = [];
  for (const step of steps) {
    if (step.reset || step.op === 'reset') stage.reset();
    if (step.pools !== undefined) stage.setPools(step.pools);
    if (step.host !== undefined) stage.addNode(step.host);
    answers.push(await runStep(stage, step));
  }
  return { steps: answers };
}

function runStep(stage: Stage, step: Step): Promise<unknown> | null {
  switch (step.op) {
    case 'reset':
      if (step.presetEmptyBlock !== undefined) presetBlock(stage, step.presetEmptyBlock);
      return null;
    case 'autoAssign':
      return autoAssign(stage, step);
    case 'assignIP':
      return stage.ipam
        .assignAddress({ address: address(step.ip ?? ''), nodeName: step.host ?? '', attributes: {} })
        .then((result) => ({ error: !result.ok }));
    case 'releaseIP':
      return release(stage, [
        {
          address: address(step.options?.address ?? ''),
          ...(step.options?.handle === undefined ? {} : { handleId: step.options.handle }),
          ...(step.options?.sequenceNumber === undefined
            ? {}
            : { sequenceNumber: BigInt(step.options.sequenceNumber) }),
        },
      ]);
    case 'releaseIPs': {
      const list = Array.isArray(step.ips) ? step.ips.map((ip: string) => address(ip)) : stage.last;
      return release(
        stage,
        list.map((ip) => ({ address: ip })),
      );
    }
    case 'claimAffinity':
      return stage.ipam.claimBlocks(prefix(step.cidr ?? ''), step.host ?? '').then((result) => ({
        claimed: result.ok ? result.value.claimed.length : 0,
        failed: result.ok ? result.value.failed.length : 0,
        error: !result.ok,
      }));
    default:
      throw new Error(`unknown step ${step.op}`);
  }
}

async function release(stage: Stage, requests: Parameters<Ipam['releaseAddresses']>[0]): Promise<unknown> {
  const result = await stage.ipam.releaseAddresses(requests);
  return { unallocated: result.ok ? result.value.unallocated : [], error: !result.ok };
}

async function autoAssign(stage: Stage, step: Step): Promise<unknown> {
  if (step.strictAffinity !== undefined)
    stage.store.put('IPAMConfiguration', {
      apiVersion: 'projectcalico.org/v3',
      kind: 'IPAMConfiguration',
      metadata: { name: 'default' },
      spec: { strictAffinity: step.strictAffinity, autoAllocateBlocks: true },
    });
  const { num4 = 0, num6 = 0 } = step;
  const result = await stage.ipam.autoAssign({
    nodeName: step.host ?? '',
    num4,
    num6,
    handleId: 'case',
    attributes: {},
    intendedUse: step.intendedUse ?? 'Workload',
    allowPartial: true,
    ...(step.requestedIPv4Pools?.length ? { pools4: step.requestedIPv4Pools } : {}),
    ...(step.maxBlocksPerHost ? { maxBlocksPerHost: step.maxBlocksPerHost } : {}),
  });
  const got: Assignments = result.ok ? result.value : (result.error.assigned ?? { v4: [], v6: [] });
  stage.last = [...got.v4, ...got.v6].map((assignment) => assignment.address);
  const count = (list: readonly unknown[], requested: number) =>
    requested === 0 ? null : { count: list.length, requested };
  // Running out of addresses leaves a shorter answer; only other reasons are errors.
  const isError = !result.ok && !['NoAddresses', 'StrictAffinity'].includes(result.error.code);
  return { v4: count(got.v4, num4), v6: count(got.v6, num6), error: isError };
}

function presetBlock(stage: Stage, preset: { readonly cidr: string; readonly sequenceNumber: number }): void {
  const block = parseNetwork(preset.cidr);
  if (!block.ok) throw new Error(block.error.message);
  const size = 2 ** (32 - Number(preset.cidr.split('/')[1]));
  stage.store.put('IPAMBlock', {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPAMBlock',
    metadata: { name: preset.cidr.replaceAll(/[./:]/g, '-') },
    spec: {
      cidr: preset.cidr,
      allocations: Array.from({ length: size }, () => null),
      unallocated: Array.from({ length: size }, (_, i) => i),
      attributes: [],
      sequenceNumber: preset.sequenceNumber,
      sequenceNumberForAllocation: {},
      deleted: false,
      strictAffinity: false,
    },
  });
}
