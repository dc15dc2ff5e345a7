// Looking into a lab from outside without starting anything there: files and Unix sockets of a machine are reached
// through the root directories of the processes that hold its namespaces.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { askLine } from '../lib/json-line.ts';
import type { SandboxRecord } from './runner/types.ts';
import type { LabRecord, MachineStatus } from './types.ts';

/** A path of a machine as seen from outside of the lab, or from one of its shells. It must hold no absolute symbolic link (/var/run is one). */
export const pathInside = (record: LabRecord, machine: MachineStatus, path: string): string =>
  process.env['MARGAY_LAB'] === record.options.name
    ? `/proc/${machine.holderPid}/root${path}`
    : `/proc/${record.init.pid}/root/proc/${machine.holderPid}/root${path}`;

/** The pods that run on a node, as its runner recorded them. */
export function sandboxesOf(record: LabRecord, machine: MachineStatus): readonly SandboxRecord[] {
  const folder = pathInside(record, machine, '/var/lib/margay/pods');
  try {
    return readdirSync(folder)
      .filter((file) => file.endsWith('.json'))
      .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as SandboxRecord);
  } catch {
    return [];
  }
}

/** Asks a service of a machine over its socket: one JSON line each way. undefined: no answer. */
export async function askInside<T>(
  record: LabRecord,
  machine: MachineStatus,
  socketPath: string,
  question: unknown,
  timeoutMs = 3000,
): Promise<T | undefined> {
  const answer = await askLine<T>(pathInside(record, machine, socketPath), question, timeoutMs);
  return answer.ok ? answer.value : undefined;
}
