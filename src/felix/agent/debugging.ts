// Pages for whoever looks into a running agent (FX-141), on DebugHost:DebugPort when a port is set: profiles as Calico serves
// them, in Node's formats, and what the agent was told and what became of it.
import type { HttpAnswer, HttpPages } from '../../lib/http-pages.ts';
import { cpuProfile, heapProfile } from './profiles.ts';
import type { AgentStatus } from './types.ts';

const longestSeconds = 120;

export const debugPages = (status: () => AgentStatus): HttpPages => ({
  '/debug/pprof/profile': async (query) => json(await cpuProfile(durationMs(query, 30))),
  '/debug/pprof/heap': async (query) => json(await heapProfile(durationMs(query, 10))),
  '/debug/config': () => Promise.resolve(json(JSON.stringify(configuration(status())))),
  '/debug/status': () => Promise.resolve(json(JSON.stringify(summary(status())))),
});

const json = (body: string): HttpAnswer => ({ status: 200, type: 'application/json', body: `${body}\n` });

function durationMs(query: URLSearchParams, seconds: number): number {
  const asked = Number(query.get('seconds') ?? seconds);
  return 1000 * (asked > 0 ? Math.min(asked, longestSeconds) : seconds);
}

/** Every parameter that something sets, with where that is; what is wrong with them, and which have no effect. */
function configuration({ config, ignored }: AgentStatus): object {
  const set = [...config.entries()].filter(([name]) => config.source(name) !== 'default');
  return {
    parameters: Object.fromEntries(
      set.map(([name, value]) => [name, { value, source: config.source(name) }]),
    ),
    problems: config.problems,
    ignored,
  };
}

function summary({ config: _config, ignored: _ignored, unreadable, work, ...rest }: AgentStatus): object {
  return {
    ...rest,
    unreadable: Object.fromEntries(unreadable),
    work: { ...work, told: Object.fromEntries(work.told), programs: Object.fromEntries(work.programs) },
  };
}
