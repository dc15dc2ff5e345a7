// Release. The block comes first and the handle after it: until the handle is cut back it names too much, which a later
// release by the same handle finds and removes.
import { type Address, prefixAddress, type Prefix, prefixOf } from '../lib/ip/mod.ts';
import { containsAddress } from '../lib/ip/mod.ts';
import type { Clock } from '../lib/clock.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { type Block, releaseGiven, releaseHandle, type Rest } from './block.ts';
import { type Claims, ownerOfAffinity, ownerOfBlock } from './claims.ts';
import { contention, maxAttempts } from './errors.ts';
import type { Handles } from './handles.ts';
import { blockName, type Owner, ownerText } from './names.ts';
import { poolOf } from './pools.ts';
import type { Reader } from './read.ts';
import type { BlockSessions } from './session.ts';
import type { IpamError, ReleaseAnswer, ReleaseRequest } from './types.ts';

export type ReleaseContext = {
  readonly sessions: BlockSessions;
  readonly claims: Claims;
  readonly reader: Reader;
  readonly handles: Handles;
  readonly clock: Clock;
  readonly cooldownSeconds: () => number;
  readonly pause: (attempt: number) => Promise<void>;
};

export class Releaser {
  readonly #context: ReleaseContext;

  constructor(context: ReleaseContext) {
    this.#context = context;
  }

  /** Goes by the blocks that the handle names; what it names beyond the truth vanishes with it. */
  async byHandle(handleId: string): Promise<Result<readonly Address[], IpamError>> {
    const { handles, sessions } = this.#context;
    const released: Address[] = [];
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      if (attempt > 1) await this.#context.pause(attempt);
      const handle = await handles.find(handleId, attempt > 0);
      if (!handle.ok) return handle;
      if (handle.value === undefined) return ok(released);
      const blocks = [...handle.value.counts.keys()];
      const results = await Promise.all(
        blocks.map((cidr) =>
          sessions.of(cidr).submit((block) => {
            if (block === undefined) return ok({ block, value: [] as readonly Address[] });
            const step = releaseHandle(block, handleId, this.#rest());
            return ok({ block: step.block, value: step.released });
          }),
        ),
      );
      for (const result of results) {
        if (!result.ok) return result;
        released.push(...result.value);
      }
      const dropped = await handles.dropBlocks(handle.value, blocks);
      if (dropped === 'conflict') continue; // Somebody added to it: what is new is released as well.
      return dropped.ok ? ok(released) : dropped;
    }
    return contention(`Handle ${handleId}`);
  }

  async addresses(requests: readonly ReleaseRequest[]): Promise<Result<ReleaseAnswer, IpamError>> {
    const grouped = await this.#byBlock(requests);
    if (!grouped.ok) return grouped;
    const released: Address[] = [];
    const unallocated: Address[] = [...grouped.value.nowhere];
    let failed: IpamError | undefined;
    const results = await Promise.all(
      [...grouped.value.blocks].map(([cidr, wanted]) => this.#fromBlock(cidr, wanted)),
    );
    for (const result of results) {
      if (!result.ok) failed ??= result.error;
      else {
        released.push(...result.value.released);
        unallocated.push(...result.value.unallocated);
      }
    }
    return failed === undefined ? ok({ released, unallocated }) : err(failed);
  }

  async #fromBlock(
    cidr: Prefix,
    requests: readonly ReleaseRequest[],
  ): Promise<Result<ReleaseAnswer, IpamError>> {
    const done = await this.#context.sessions.of(cidr).submit((block) => {
      const asked = requests.map(({ address }) => address);
      if (block === undefined)
        return ok({
          block,
          value: { released: [], unallocated: asked, byHandle: new Map<string, number>() },
        });
      const step = releaseGiven(block, requests, this.#rest());
      if (!step.ok) return step;
      const { block: next, ...value } = step.value;
      return ok({ block: next, value });
    });
    if (!done.ok) return done;
    for (const [handleId, count] of done.value.byHandle) {
      const cut = await this.#context.handles.subtract(handleId, new Map([[cidr, count]]));
      if (!cut.ok) return cut;
    }
    return ok({ released: done.value.released, unallocated: done.value.unallocated });
  }

  /** Each address with its block: by its pool, or, where no pool is left or blocks are of another size, by looking. */
  async #byBlock(
    requests: readonly ReleaseRequest[],
  ): Promise<
    Result<
      { readonly blocks: ReadonlyMap<Prefix, ReleaseRequest[]>; readonly nowhere: readonly Address[] },
      IpamError
    >
  > {
    const basics = await this.#context.reader.basics();
    if (!basics.ok) return basics;
    const blocks = new Map<Prefix, ReleaseRequest[]>();
    const nowhere: Address[] = [];
    let all: readonly Block[] | undefined;
    for (const request of requests) {
      let cidr = await this.#likelyBlock(request.address, basics.value.pools);
      if (cidr === undefined) {
        const listed = all === undefined ? await this.#context.reader.blocks() : ok(all);
        if (!listed.ok) return listed;
        all = listed.value;
        cidr = all.find((block) => containsAddress(block.cidr, request.address))?.cidr;
      }
      if (cidr === undefined) nowhere.push(request.address);
      else blocks.set(cidr, [...(blocks.get(cidr) ?? []), request]);
    }
    return ok({ blocks, nowhere });
  }

  async #likelyBlock(address: Address, pools: Parameters<typeof poolOf>[0]): Promise<Prefix | undefined> {
    const pool = poolOf(pools, address);
    if (pool === undefined) return undefined;
    const cidr = prefixOf(address, pool.blockLength);
    const state = await this.#context.sessions.of(cidr).current();
    return state.ok && state.value !== undefined ? cidr : undefined;
  }

  /** RS-054: claims of the node, and blocks that name it although no claim does. */
  async host(owner: Owner): Promise<Result<number, IpamError>> {
    return this.#releaseWhere(
      (affinityOwner) => ownerText(affinityOwner) === ownerText(owner),
      () => true,
    );
  }

  /** Every claim on blocks inside the prefix. */
  async pool(cidr: Prefix): Promise<Result<number, IpamError>> {
    return this.#releaseWhere(
      () => true,
      (block) => containsAddress(cidr, prefixAddress(block)),
    );
  }

  async #releaseWhere(
    isOwner: (owner: Owner) => boolean,
    isBlock: (cidr: Prefix) => boolean,
  ): Promise<Result<number, IpamError>> {
    const { reader, claims } = this.#context;
    const [affinities, blocks] = await Promise.all([reader.listAll('BlockAffinity'), reader.blocks()]);
    if (!affinities.ok) return affinities;
    if (!blocks.ok) return blocks;
    const wanted = new Map<string, { owner: Owner; cidr: Prefix }>();
    const add = (owner: Owner | undefined, cidr: Prefix): void => {
      if (owner !== undefined && isOwner(owner) && isBlock(cidr))
        wanted.set(`${ownerText(owner)} ${blockName(cidr)}`, { owner, cidr });
    };
    for (const affinity of affinities.value) add(ownerOfAffinity(affinity), affinity.spec.cidr as Prefix);
    for (const block of blocks.value) add(ownerOfBlock(block), block.cidr);
    for (const { owner, cidr } of wanted.values()) {
      const released = await claims.release(owner, cidr, { requireEmpty: false });
      if (!released.ok) return released;
    }
    return ok(wanted.size);
  }

  #rest(): Rest {
    return { nowMs: this.#context.clock.now(), cooldownSeconds: this.#context.cooldownSeconds() };
  }
}
