// Faults on demand: a plan sees every call of one client and may let it fail or let the client die there. `before` means
// the store never saw the request, `after` that it carried the request out but the answer was lost.
import type { KindName } from '../../model/mod.ts';
import { storeError } from '../errors.ts';
import type { StoreError } from '../types.ts';

export type StoreVerb = 'get' | 'list' | 'create' | 'update' | 'updateStatus' | 'patch' | 'delete' | 'watch';
export type StoreCall = {
  /** 0 for the client's first call. */
  readonly index: number;
  readonly verb: StoreVerb;
  readonly kind: KindName;
  readonly name?: string;
};
export type Fault =
  | { readonly do: 'fail'; readonly when: 'before' | 'after'; readonly error?: StoreError }
  /** The client's process dies: the call never returns normally, every later one throws as well. */
  | { readonly do: 'crash'; readonly when: 'before' | 'after' };
export type FaultPlan = (call: StoreCall) => Fault | undefined;

/** Thrown where a simulated process dies. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

const writes = new Set<StoreVerb>(['create', 'update', 'updateStatus', 'patch', 'delete']);
export const isWrite = (call: StoreCall): boolean => writes.has(call.verb);

/** The n-th call (from 0), reads included, meets the fault. */
export const faultAt =
  (n: number, fault: Fault): FaultPlan =>
  (call) =>
    call.index === n ? fault : undefined;

/** Runs every call of one client through its plan. */
export class FaultGate {
  #calls = 0;
  #crashed = false;
  readonly #plan: FaultPlan | undefined;

  constructor(plan: FaultPlan | undefined) {
    this.#plan = plan;
  }

  /** Number of calls so far: what a test that walks all points needs to know its end. */
  get calls(): number {
    return this.#calls;
  }

  async run<T>(
    verb: StoreVerb,
    kind: KindName,
    name: string | undefined,
    act: () => T | Promise<T>,
    failed: (e: StoreError) => T,
  ): Promise<T> {
    if (this.#crashed) throw new SimulatedCrash('The client has crashed.');
    const call: StoreCall = { index: this.#calls++, verb, kind, ...(name === undefined ? {} : { name }) };
    const fault = this.#plan?.(call);
    if (fault?.when === 'before') return this.#strike(fault, call, failed);
    const result = await act();
    return fault === undefined ? result : this.#strike(fault, call, failed);
  }

  #strike<T>(fault: Fault, call: StoreCall, failed: (e: StoreError) => T): T {
    if (fault.do === 'crash') {
      this.#crashed = true;
      throw new SimulatedCrash(
        `Crashed ${fault.when} call ${call.index}: ${call.verb} ${call.kind} ${call.name ?? ''}.`,
      );
    }
    return failed(fault.error ?? storeError('Unavailable', `Injected fault at call ${call.index}.`));
  }
}
