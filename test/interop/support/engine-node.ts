// A node of a cluster that makes a BGP plan real with one of the two engines, on a kernel of its own: the native speaker as a
// process, or BIRD 2 as `margay speaker` runs it. Both are changed, killed, ended and started again in one way.
import { chmodSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { BirdEngine, Leftovers } from '../../../src/bgp/bird/mod.ts';
import type { BgpPlan } from '../../../src/bgp/plan/mod.ts';
import { openKernel, type Kernel } from '../../../src/kernel/mod.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { expect } from '../../../src/lib/result.ts';
import { eventually, type Network } from './network.ts';

export interface EngineNode {
  readonly host: string;
  start(plan: BgpPlan): Promise<void>;
  apply(plan: BgpPlan): Promise<void>;
  /** kill -9, and back. */
  kill(): Promise<void>;
  /** An orderly end, as of an update of the program. */
  stop(): Promise<void>;
  close(): Promise<void>;
}

/** What a plan file of a node says beside the plan. */
const ofNode = (plan: BgpPlan): object => ({ ...plan, announceKernel: true, announceConnected: true });

export class NativeNode implements EngineNode {
  readonly host: string;
  readonly #network: Network;
  #plan: BgpPlan | undefined;
  #child: ChildProcess | undefined;

  constructor(network: Network, host: string) {
    this.#network = network;
    this.host = host;
  }

  async start(plan: BgpPlan): Promise<void> {
    this.#plan = plan;
    this.#child = this.#network.speaker(this.host, ofNode(plan));
    await eventually(
      'the speaker answers',
      () => this.#configuredAt(),
      (at) => at !== undefined,
    );
  }

  async apply(plan: BgpPlan): Promise<void> {
    this.#plan = plan;
    const before = await this.#configuredAt();
    this.#network.file(`${this.host}.json`, JSON.stringify(ofNode(plan)));
    this.#child?.kill('SIGHUP');
    await eventually(
      'the plan is taken',
      () => this.#configuredAt(),
      (at) => at !== undefined && at !== before,
    );
  }

  async kill(): Promise<void> {
    if (this.#child !== undefined) await this.#network.kill(this.#child);
    if (this.#plan !== undefined) await this.start(this.#plan);
  }

  async stop(): Promise<void> {
    if (this.#child !== undefined) await this.#network.kill(this.#child, 'SIGTERM');
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #configuredAt(): Promise<string | undefined> {
    return (await this.#network.ask<{ configuredAt: string }>(this.host, { op: 'status' }))?.configuredAt;
  }
}

export class BirdNode implements EngineNode {
  readonly host: string;
  readonly #directory: string;
  readonly #program: string;
  #kernel: Kernel | undefined;
  #engine: BirdEngine | undefined;
  #leftovers: Leftovers | undefined;

  constructor(network: Network, host: string) {
    this.host = host;
    this.#directory = network.subdirectory(`${host}-engine`);
    this.#program = network.file(`${host}-engine/bird`, `#!/bin/sh\nexec ip netns exec ${host} bird "$@"\n`);
    chmodSync(this.#program, 0o755);
  }

  async start(plan: BgpPlan): Promise<void> {
    this.#kernel ??= expect(await openKernel({ netns: `/run/netns/${this.host}` }), 'kernel');
    const engine = new BirdEngine({
      directory: this.#directory,
      socket: `${this.#directory}/bird.ctl`,
      program: this.#program,
      clock: systemClock,
      logger: silentLogger,
      log: 'ignore',
    });
    this.#engine = engine;
    await this.apply(plan);
    this.#leftovers = new Leftovers({
      kernel: this.#kernel,
      ask: (command) => engine.ask(command),
      clock: systemClock,
      logger: silentLogger,
    });
    this.#leftovers.start();
  }

  async apply(plan: BgpPlan): Promise<void> {
    await this.#engine?.apply(plan, new Map());
    if (this.#engine?.plan !== plan) throw new Error(`not taken: ${this.#engine?.facts.problem}`);
  }

  async kill(): Promise<void> {
    const before = this.#engine?.facts;
    if (before?.pid === undefined) throw new Error('BIRD does not run');
    process.kill(before.pid, 'SIGKILL');
    await eventually(
      'BIRD is started again',
      async () =>
        this.#engine?.facts.restarts !== before.restarts && (await this.#engine?.ask('show status'))?.ok,
      (there) => there === true,
    );
  }

  async stop(): Promise<void> {
    await this.#leftovers?.stop();
    await this.#engine?.stop();
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#kernel?.close();
  }
}
