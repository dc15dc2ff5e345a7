// How a lab stands when a test on it has failed, in few lines: what a reader of the failure needs and cannot ask any more.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { labStatus } from '../../src/lab/mod.ts';
import { run } from './lab.ts';

const patienceMs = 20_000;
const most = { processes: 6, nodes: 8, pods: 12, warnings: 12, lines: 10, width: 240 } as const;

/** Fewer than 60 lines. What cannot be asked is said to be so. */
export const reportLab = (name: string): Promise<string> =>
  report(name).catch((error: unknown) => `lab ${name} cannot be asked: ${String(error)}`);

async function report(name: string): Promise<string> {
  const status = await labStatus(name);
  if (!status.ok) return `lab ${name}: ${status.error.message}`;
  const { lab, paths } = status.value;
  const bad = lab.processes.filter(({ running, restarts }) => !running || restarts > 0);
  const processes = bad.map(
    ({ machine, name: process, running, restarts, lastEnd }) =>
      `${process} of ${machine} ${running ? 'runs' : 'does not run'}, started again ${restarts} times (${lastEnd ?? ''})`,
  );
  const list = async (...what: readonly string[]): Promise<readonly string[]> => {
    const env = { ...process.env, KUBECONFIG: paths.kubeconfig };
    const argv = ['get', ...what, '--no-headers', '-o', 'wide'];
    const { out, err } = await run('kubectl', argv, { env, timeoutMs: patienceMs });
    return (out === '' ? err : out).trim().split('\n');
  };
  const [nodes, pods] = await Promise.all([list('nodes'), list('pods', '-A')]);
  // Those in good order last.
  const isFine = (pod: string): number => Number(/ (\d+)\/\1 +Running/.test(pod));
  return [
    `── lab ${name} when the test had failed ──`,
    ...part('processes that ended', processes, most.processes),
    ...part('nodes', nodes, most.nodes),
    ...part(
      'pods',
      pods.toSorted((a, b) => isFine(a) - isFine(b)),
      most.pods,
    ),
    ...part('logs', lastLines(paths.logs), most.warnings + most.lines),
  ].join('\n');
}

const part = (title: string, lines: readonly string[], count: number): readonly string[] => {
  if (lines.length === 0) return [];
  const more = lines.length - count;
  const shown = lines.slice(0, count).map((line) => `  ${line.slice(0, most.width)}`);
  return [`${title}:`, ...shown, ...(more > 0 ? [`  and ${more} more`] : [])];
};

type Line = { readonly time: string; readonly level: number; readonly text: string };

/** The last warnings and the last lines of all logs, by time. */
function lastLines(folder: string): readonly string[] {
  const all = readdirSync(folder)
    .flatMap((file) => linesOf(join(folder, file), file.replace(/\.log$/, '')))
    .sort((a, b) => (a.time < b.time ? -1 : 1));
  const shown = new Set([
    ...all.filter(({ level }) => level >= 40).slice(-most.warnings),
    ...all.slice(-most.lines),
  ]);
  return all.filter((line) => shown.has(line)).map(({ text }) => text);
}

function linesOf(path: string, who: string): readonly Line[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(-500)
    .flatMap((line) => {
      try {
        const { time, level, msg, component: _, ...fields } = JSON.parse(line) as Record<string, unknown>;
        const said = `${String(time).slice(11, 23)} ${who} ${String(msg)} ${JSON.stringify(fields)}`;
        return [
          { time: String(time), level: Number(level), text: `${Number(level) >= 40 ? '! ' : '  '}${said}` },
        ];
      } catch {
        return [];
      }
    });
}
