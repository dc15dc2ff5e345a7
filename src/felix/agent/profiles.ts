// What the process does with its time and its memory (FX-141), in the formats that the developer tools of browsers and editors
// open. On SIGUSR1 a snapshot of the heap goes to DebugMemoryProfilePath, on SIGUSR2 a profile of the CPU, ten seconds long, to
// DebugCPUProfilePath; `<timestamp>` in a path stands for the time. While one is being made, asking for another does nothing.
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { writeHeapSnapshot } from 'node:v8';
import type { Logger } from '../../lib/log.ts';
import type { FelixConfig } from '../calc/mod.ts';

/** What the CPU did for so long, as JSON. */
export async function cpuProfile(forMs: number): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await delay(forMs);
    const { profile } = await session.post('Profiler.stop');
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}

/** Who allocates what stays in use, as JSON: of samples of what is allocated for so long. */
export async function heapProfile(forMs: number): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post('HeapProfiler.enable');
    await session.post('HeapProfiler.startSampling', { samplingInterval: 32_768 });
    await delay(forMs);
    const { profile } = await session.post('HeapProfiler.stopSampling');
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}

const cpuProfileMs = 10_000;

export type ProfileSignalOptions = {
  readonly config: () => FelixConfig;
  readonly logger: Logger;
  readonly cpuProfileMs?: number;
};

/** Begins to listen; the result ends it. With a listener of its own SIGUSR1 does not start Node's inspector. */
export function onProfileSignals({ config, logger, ...options }: ProfileSignalOptions): () => void {
  let isBusy = false;
  const write = async (parameter: string, make: (path: string) => Promise<void>): Promise<void> => {
    const path = config().text(parameter).replace('<timestamp>', new Date().toISOString());
    if (path === '') return logger.warn(`No profile is written: ${parameter} names no file`);
    if (isBusy) return logger.warn('No profile is written: another one is being made', { path });
    isBusy = true;
    try {
      mkdirSync(dirname(path), { recursive: true });
      logger.info('A profile is being made', { path });
      await make(path);
      logger.info('A profile was written', { path });
    } catch (error) {
      logger.error('Cannot write the profile', { path, error: String(error) });
    } finally {
      isBusy = false;
    }
  };
  const memory = (): void => {
    void write('DebugMemoryProfilePath', (path) => Promise.resolve(void writeHeapSnapshot(path)));
  };
  const cpu = (): void => {
    const forMs = options.cpuProfileMs ?? cpuProfileMs;
    void write('DebugCPUProfilePath', async (path) => writeFileSync(path, await cpuProfile(forMs)));
  };
  process.on('SIGUSR1', memory).on('SIGUSR2', cpu);
  return () => void process.off('SIGUSR1', memory).off('SIGUSR2', cpu);
}
