// For tests: an API server of its own, and the kubectl of this machine that speaks to it. MARGAY_KUBECTL names another one.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { startApiServer } from '../../src/apiserver/mod.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';

const run = promisify(execFile);
export const program = process.env['MARGAY_KUBECTL'] ?? 'kubectl';
const asked = spawnSync(program, ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
export const missing = asked.error !== undefined;
/** The minor version of kubectl: 32. */
export const minor = Number(/"minor": "(\d+)/.exec(asked.stdout ?? '')?.[1] ?? 0);

export type Kubectl = {
  /** Standard output; fails the test when kubectl fails. */
  (...args: readonly string[]): Promise<string>;
  /** What kubectl says when it refuses. */
  refused(...args: readonly string[]): Promise<string>;
  apply(manifest: string, ...args: readonly string[]): Promise<string>;
  /** With this program as the editor. */
  withEditor(editor: string, ...args: readonly string[]): Promise<string>;
  readonly home: string;
  readonly url: string;
};

export async function cluster(t: TestContext): Promise<Kubectl> {
  const server = expect(
    await startApiServer({ listen: ['127.0.0.1:0'], data: ':memory:', logger: silentLogger }),
    'API server',
  );
  const home = mkdtempSync(join(tmpdir(), 'margay-kubectl-'));
  t.after(async () => {
    rmSync(home, { recursive: true, force: true });
    await server.stop();
  });
  const url = server.addresses[0] ?? '';
  const options = { env: { PATH: process.env['PATH'] ?? '', HOME: home }, timeout: 30_000 };
  const call = async (...args: readonly string[]): Promise<string> =>
    (await run(program, ['--server', url, ...args], options)).stdout;
  return Object.assign(call, {
    home,
    url,
    withEditor: async (editor: string, ...args: readonly string[]) => {
      const env = { ...options.env, KUBE_EDITOR: editor };
      return (await run(program, ['--server', url, ...args], { ...options, env })).stdout;
    },
    refused: async (...args: readonly string[]) => {
      try {
        await run(program, ['--server', url, ...args], options);
      } catch (cause) {
        return (cause as { stderr: string }).stderr;
      }
      return assert.fail(`kubectl ${args.join(' ')} was not refused`);
    },
    apply: (manifest: string, ...args: readonly string[]) => {
      const file = join(home, 'manifest.yaml');
      writeFileSync(file, manifest);
      return call('apply', '-f', file, ...args);
    },
  });
}

/** A table's rows as lists of words. */
export const rows = (text: string): readonly (readonly string[])[] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s{2,}/));

/** What kubectl says when an apply is refused. */
export function refusedApply(
  kubectl: Kubectl,
  manifest: string,
  ...args: readonly string[]
): Promise<string> {
  const file = join(kubectl.home, 'refused.yaml');
  writeFileSync(file, manifest);
  return kubectl.refused('apply', '-f', file, ...args);
}
