// The process behind a router of the matrix: started, killed, paused and read from in one way for all daemons.
import type { ChildProcess } from 'node:child_process';
import type { RouterPlace } from './types.ts';

export abstract class Daemon {
  readonly host: string;
  protected readonly place: RouterPlace;
  #child: ChildProcess | undefined;
  #log = '';

  constructor(place: RouterPlace) {
    this.place = place;
    this.host = place.host;
    place.network.words.set(this.host, () => this.sessions());
  }

  /** How its sessions are, in the daemon's own words. */
  protected abstract sessions(): string;

  /** Starts the program on the router's host; its output goes to `<host>-<name>.log`, every run after the one before. */
  protected launch(name: string, ...command: readonly string[]): void {
    this.#log = `${this.host}-${name}`;
    this.#child = this.place.network.start(this.host, this.#log, ...command);
  }

  protected signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async kill(): Promise<void> {
    if (this.#child !== undefined) await this.place.network.kill(this.#child);
  }

  pause(): void {
    this.signal('SIGSTOP');
  }

  resume(): void {
    this.signal('SIGCONT');
  }

  protected log(): string {
    return this.place.network.log(this.#log);
  }
}
