// Bundles what ships into dist/: one program with its chunks. koffi stays outside, as it brings prebuilt machine code, and so
// do packages that are loaded on demand and seldom. Chunks are named by content and older ones stay, so that processes that
// run from an earlier build can still load theirs; `--clean` starts from nothing.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
if (process.argv.includes('--clean')) rmSync(`${root}dist`, { recursive: true, force: true });
/** Of a checkout; `version` says it. */
const commit = spawnSync('git', ['rev-parse', '--short=12', 'HEAD'], {
  cwd: root,
  encoding: 'utf8',
}).stdout?.trim();
await build({
  absWorkingDir: root,
  entryPoints: { margay: 'src/main.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  external: ['koffi', '@kubernetes/client-node', 'yaml'],
  banner: {
    js: "#!/usr/bin/env node\nimport { createRequire as createRequireForBundle } from 'node:module';\nconst require = createRequireForBundle(import.meta.url);",
  },
  ...(commit ? { define: { 'process.env.MARGAY_COMMIT': JSON.stringify(commit) } } : {}),
  logLevel: 'warning',
});
