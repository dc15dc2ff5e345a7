// Which back end holds the node's rules, nftables or iptables, and how one gives way to the other: the new one stands complete
// before the old one goes, so that there is no moment without rules; while both stand a packet has to pass both. What another
// run, another choice or Calico before us left in the other back end goes the same way.
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { ok, type Result } from '../../lib/result.ts';
import { sleep } from '../../lib/wait.ts';
import type { Kernel } from '../../kernel/mod.ts';
import type { CalcDelta, FelixConfig } from '../calc/mod.ts';
import {
  type BackEndChoice,
  chooseBackEnd,
  choiceParameters,
  type CommandRunner,
  type HostInterfaces,
  IptablesBackEnd,
  removeAll,
} from './iptables/mod.ts';
import { NftRules } from './nft-rules.ts';

export type RuleSwitchOptions = {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly policy: boolean;
  /** Without it, and without policy, there is nftables only. */
  readonly commands: CommandRunner | undefined;
  /** All that the deltas so far add up to, for a back end that comes later; without it the first choice stays. */
  readonly everything: (() => CalcDelta) | undefined;
};

/** Between attempts to remove what another back end left. */
const retryMs = 10_000;

const nftablesOnly: BackEndChoice = { backEnd: 'nftables', reason: 'there is no other' };

export class RuleSwitch {
  readonly nft: NftRules;
  readonly #options: RuleSwitchOptions;
  #choice: BackEndChoice | undefined;
  #iptables: IptablesBackEnd | undefined;
  #config: FelixConfig | undefined;
  #interfaces: HostInterfaces = new Map();
  /** Deltas from before the choice. */
  #waiting: CalcDelta[] = [];
  #changing: Promise<void> = Promise.resolve();
  #retry: Timer | undefined;
  #stopped = false;

  constructor(options: RuleSwitchOptions) {
    this.#options = options;
    this.nft = new NftRules(options);
    if (options.commands === undefined) this.#choice = nftablesOnly;
  }

  get iptables(): IptablesBackEnd | undefined {
    return this.#iptables;
  }

  get choice(): BackEndChoice | undefined {
    return this.#choice;
  }

  apply(delta: CalcDelta): void {
    const before = this.#config;
    this.#config = delta.config ?? this.#config;
    if (this.#choice === undefined) {
      this.#waiting.push(delta);
      return;
    }
    this.#current().apply(delta);
    const { config } = delta;
    const isOther =
      before !== undefined &&
      config !== undefined &&
      choiceParameters.some((name) => before.value(name) !== config.value(name));
    if (isOther) this.#queue(() => this.#change(config));
  }

  /** Interfaces of the host with their addresses. */
  setInterfaces(interfaces: HostInterfaces): void {
    this.#interfaces = interfaces;
    this.nft.setInterfaces(interfaces);
    this.#iptables?.setInterfaces(interfaces);
  }

  /** Makes the choice and begins to write. With policy it ends when policy stands. */
  async start(): Promise<Result<void>> {
    const chosen = await this.#choose();
    if (!chosen.ok) return chosen;
    this.#take(chosen.value);
    for (const delta of this.#waiting.splice(0)) this.#current().apply(delta);
    this.#current().reconciler.start();
    if (this.#options.policy) await this.#untilItStands();
    this.#queue(() => this.#removeOthers());
    return ok(undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#retry?.cancel();
    await Promise.all([this.nft.reconciler.stop(), this.#iptables?.stop()]);
    await this.#changing;
  }

  /** Resolves when the rows are in the kernel, or, when they are no longer wanted, out of it. */
  whenDone(keys: readonly string[], deadlineMs: number): Promise<Result<void>> {
    return this.#current().table.whenDone(keys, deadlineMs);
  }

  keysOf(endpoint: string): readonly string[] {
    return this.#current().keysOf(endpoint);
  }

  get synced(): boolean {
    return this.#choice !== undefined && this.#current().reconciler.synced;
  }

  async idle(): Promise<void> {
    await this.#changing;
    await Promise.all([this.nft.reconciler.idle(), this.#iptables?.reconciler.idle()]);
  }

  /** One change after the other. */
  #queue(act: () => Promise<void>): void {
    this.#retry?.cancel();
    this.#changing = this.#changing.then(act);
  }

  #current(): NftRules | IptablesBackEnd {
    return this.#iptables ?? this.nft;
  }

  async #choose(): Promise<Result<BackEndChoice>> {
    const { commands, kernel, policy } = this.#options;
    if (!policy || commands === undefined || this.#config === undefined) return ok(nftablesOnly);
    return chooseBackEnd(this.#config, kernel, commands);
  }

  #take(choice: BackEndChoice): void {
    const { commands: runner, clock, logger } = this.#options;
    this.#choice = choice;
    logger.info('Back end of rules', choice);
    if (choice.backEnd === 'nftables' || runner === undefined || this.#config === undefined) {
      this.#iptables = undefined;
      return;
    }
    const { variant } = choice;
    this.#iptables = new IptablesBackEnd({ runner, variant, config: this.#config, clock, logger });
    this.#iptables.setInterfaces(this.#interfaces);
  }

  async #untilItStands(): Promise<void> {
    const { reconciler } = this.#current();
    await reconciler.idle();
    while (!reconciler.synced && !this.#stopped) await sleep(10);
  }

  /** The configuration asks for another back end, perhaps. */
  async #change(config: FelixConfig): Promise<void> {
    const { everything, logger } = this.#options;
    const chosen = await this.#choose();
    if (!chosen.ok) return logger.warn('Cannot choose a back end', { error: chosen.error });
    if (this.#stopped || sameChoice(chosen.value, this.#choice)) return;
    if (everything === undefined)
      return logger.warn('Another back end needs a restart', { choice: chosen.value });
    const old = this.#iptables;
    this.#take(chosen.value);
    if (this.#iptables === undefined) this.nft.clear();
    this.#current().apply({ ...everything(), config });
    this.#current().reconciler.start();
    await this.#untilItStands();
    await old?.stop();
    await this.#removeOthers();
  }

  async #removeOthers(): Promise<void> {
    const { commands, kernel, logger } = this.#options;
    if (commands === undefined || this.#stopped) return;
    if (this.#iptables !== undefined) {
      this.nft.clear();
      this.nft.reconciler.start();
    }
    const kept = this.#choice?.backEnd === 'iptables' ? this.#choice.variant : undefined;
    const removed = await removeAll({ runner: commands, kernel, kept });
    if (!removed.ok) {
      logger.warn('Cannot remove what another back end left, will try again', { error: removed.error });
      this.#retry = this.#options.clock.after(retryMs, () => this.#queue(() => this.#removeOthers()));
    } else if (removed.value > 0)
      logger.info('What another back end left is removed', { count: removed.value });
  }
}

const sameChoice = (a: BackEndChoice, b: BackEndChoice | undefined): boolean =>
  a.backEnd === b?.backEnd &&
  (a.backEnd === 'nftables' || (b.backEnd === 'iptables' && a.variant === b.variant));
