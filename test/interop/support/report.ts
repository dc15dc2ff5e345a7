// What is needed to understand a failed test afterwards: how our speakers' sessions are, what the daemons say about theirs,
// and the last lines of every log; less than sixty lines.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Network } from './network.ts';

export const reportTitle = '── the network when the test failed ──';
const allLines = 56;
const logLines = 32;
const widthCharacters = 180;

type Peer = {
  readonly name: string;
  readonly state: string;
  readonly since: string;
  readonly reasonText?: string;
  readonly routes: { readonly received: number; readonly announced: number };
};

export async function reportOf(networks: Iterable<Network>): Promise<string> {
  const lines: string[] = [];
  for (const network of networks) {
    for (const host of network.speakers) lines.push(...(await speakerLines(network, host)));
    for (const [name, say] of network.words) lines.push(...lastLines(name, said(say), 8));
    lines.push(...logsOf(network));
  }
  return [reportTitle, ...lines.slice(0, allLines).map((l) => l.slice(0, widthCharacters))].join('\n');
}

async function speakerLines(network: Network, host: string): Promise<string[]> {
  const peers = await network.ask<Peer[]>(host, { op: 'peers' });
  if (peers === undefined) return [`${host}: our speaker does not answer`];
  return peers
    .slice(0, 8)
    .map(
      ({ name, state, since, reasonText = '', routes }) =>
        `${host}: ${name} ${state} since ${since}, ${routes.received} received, ${routes.announced} announced ${reasonText}`,
    );
}

function said(say: () => string): string {
  try {
    return say();
  } catch (error) {
    return (error as Error).message;
  }
}

/** The first lines of a daemon's answer are its heading. */
const lastLines = (name: string, text: string, count: number): string[] =>
  text
    .split('\n')
    .filter((l) => l.trim() !== '')
    .slice(-count)
    .map((l) => `${name}: ${l.trimEnd()}`);

function logsOf({ directory }: Network): string[] {
  const logs = readdirSync(directory).filter((name) => name.endsWith('.log'));
  const count = Math.max(1, Math.floor(logLines / Math.max(1, logs.length)));
  return logs.flatMap((name) => lastLines(name, readFileSync(join(directory, name), 'utf8'), count));
}
