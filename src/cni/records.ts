// The endpoints this node has plumbed, one JSON file each on the node's /run: written before ADD answers, read by DEL,
// CHECK and GC and by a restarted agent. /run is emptied by a reboot, and so are the interfaces they describe.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EndpointRecord } from './types.ts';

const keyOf = (r: { containerId: string; ifName: string }): string => `${r.containerId}@${r.ifName}`;

export class EndpointRecords {
  readonly #directory: string;
  readonly #records = new Map<string, EndpointRecord>();

  /** Reads what an earlier agent wrote; a file that does not parse is one whose ADD never answered, and goes. */
  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const file of readdirSync(directory)) {
      const path = join(directory, file);
      try {
        const record = JSON.parse(readFileSync(path, 'utf8')) as EndpointRecord;
        this.#records.set(keyOf(record), record);
      } catch {
        rmSync(path, { force: true });
      }
    }
  }

  get(containerId: string, ifName: string): EndpointRecord | undefined {
    return this.#records.get(keyOf({ containerId, ifName }));
  }

  all(): readonly EndpointRecord[] {
    return [...this.#records.values()];
  }

  put(record: EndpointRecord): void {
    const path = this.#path(record);
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#records.set(keyOf(record), record);
  }

  remove(record: { containerId: string; ifName: string }): void {
    rmSync(this.#path(record), { force: true });
    this.#records.delete(keyOf(record));
  }

  #path(record: { containerId: string; ifName: string }): string {
    return join(this.#directory, `${keyOf(record)}.json`);
  }
}
