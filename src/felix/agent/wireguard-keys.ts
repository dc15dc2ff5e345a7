// This node's public keys of WireGuard: written to its Node when the devices have them, for all others to encrypt towards it,
// and taken away again when it can not, or shall not any more, take what is encrypted (FX-092). One write at a time; what fails
// is tried again.
import type { Clock } from '../../lib/clock.ts';
import type { Family } from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { Datastore } from '../../datastore/mod.ts';
import type { Node } from '../../model/mod.ts';
import type { WireGuardState, WireGuardStates } from '../dataplane/mod.ts';
import { RetriedWork } from './retried-work.ts';

export type WireGuardKeysOptions = {
  readonly nodeName: string;
  readonly datastore: Datastore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Told to people where they look: why traffic that should be encrypted is not. */
  readonly tell: (message: string) => void;
};

type Status = NonNullable<Node['status']>;
const fields = { 4: 'wireguardPublicKey', 6: 'wireguardPublicKeyV6' } as const;
const families = [4, 6] as const;

export class WireGuardKeys {
  readonly #options: WireGuardKeysOptions;
  #states: WireGuardStates | undefined;
  /** Of each family, why its traffic is clear, as it was told. */
  readonly #told = new Map<Family, string>();
  readonly #work: RetriedWork;

  constructor(options: WireGuardKeysOptions) {
    this.#options = options;
    this.#work = new RetriedWork({
      work: () => this.#write(),
      clock: options.clock,
      logger: options.logger,
      failed: 'The key of WireGuard is not published, trying again',
      firstDelayMs: 100,
    });
  }

  take(states: WireGuardStates): void {
    this.#states = states;
    this.#explain(states);
    this.check();
  }

  /** The Node may have been changed by others. */
  check(): void {
    if (this.#states !== undefined) this.#work.ask();
  }

  async stop(): Promise<void> {
    await this.#work.stop();
  }

  #explain(states: WireGuardStates): void {
    for (const family of families) {
      const { state, reason } = { reason: undefined, ...states[family] };
      if (state !== 'waiting' || reason === undefined) {
        if (state !== 'waiting') this.#told.delete(family);
        continue;
      }
      if (this.#told.get(family) === reason) continue;
      this.#told.set(family, reason);
      this.#options.logger.warn('Traffic goes in clear text', { family, reason });
      this.#options.tell(
        `Traffic of IPv${family} between nodes is not encrypted here, though the configuration asks for it: ${reason}`,
      );
    }
  }

  async #write(): Promise<Result<void, Failure>> {
    const { datastore, nodeName, logger } = this.#options;
    for (let attempt = 0; attempt < 10; attempt++) {
      const node = await datastore.get('Node', { name: nodeName });
      if (!node.ok) return node;
      const status = wanted(node.value.status ?? {}, this.#states);
      if (families.every((family) => status[fields[family]] === node.value.status?.[fields[family]]))
        return ok(undefined);
      const updated = await datastore.updateStatus('Node', { ...node.value, status });
      if (updated.ok) {
        logger.info('The public key of WireGuard', { v4: status[fields[4]], v6: status[fields[6]] });
        return ok(undefined);
      }
      if (updated.error.code !== 'Conflict') return updated;
    }
    return err(failure('Conflict', `Node ${nodeName} was changed by others in ten attempts in a row.`));
  }
}

/** The status with the keys that the states stand for; of one that is under way nothing is known yet. */
function wanted(status: Status, states: WireGuardStates | undefined): Status {
  const next = { ...status };
  for (const family of families) {
    const state: WireGuardState = states?.[family] ?? { state: 'waiting' };
    if (state.state === 'on') next[fields[family]] = state.publicKey;
    else if (state.state === 'off' || state.reason !== undefined) delete next[fields[family]];
  }
  return next;
}
