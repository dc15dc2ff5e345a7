// Looking into a lab from outside without starting anything there: files and Unix sockets of a machine are reached
// through the root directories of the processes that hold its namespaces.
import { readdirSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
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
export function askInside<T>(
  record: LabRecord,
  machine: MachineStatus,
  socketPath: string,
  question: unknown,
  timeoutMs = 3000,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const finish = (value: T | undefined): void => {
      socket.destroy();
      resolve(value);
    };
    const socket = createConnection(pathInside(record, machine, socketPath), () =>
      socket.write(`${JSON.stringify(question)}\n`),
    );
    socket.setTimeout(timeoutMs, () => finish(undefined));
    socket.setEncoding('utf8');
    socket.on('error', () => finish(undefined));
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      try {
        finish(JSON.parse(text.slice(0, end)) as T);
      } catch {
        finish(undefined);
      }
    });
    socket.on('end', () => finish(undefined));
  });
}
