// What of the agent itself follows the configuration while it runs: the log, the pages for health, metrics and debugging, and
// what people are told of parameters that are wrong or have no effect. One change after the other.
import type { LogLevel } from '../../lib/log.ts';
import type { Logger } from '../../lib/log.ts';
import type { ConfigSource, FelixConfig, IgnoredParameter } from '../calc/mod.ts';
import { ignoredParameters } from '../calc/mod.ts';
import { type HttpEndpoint, type HttpPages, serveHttp } from '../../lib/http-pages.ts';
import type { NodeEvent } from './resources.ts';
import type { AgentLog } from './types.ts';

export type ServicesOptions = {
  readonly logger: Logger;
  readonly log: AgentLog | undefined;
  readonly tell: (event: NodeEvent) => void;
  readonly pages: {
    readonly health: HttpPages;
    readonly metrics: HttpPages;
    readonly debugging: HttpPages;
  };
};

/** A page of the agent, and the parameters that say whether and where it is. */
type Service = {
  readonly name: keyof ServicesOptions['pages'];
  readonly parameters: readonly string[];
  readonly place: (config: FelixConfig) => { readonly host: string; readonly port: number } | undefined;
};

const services: readonly Service[] = [
  {
    name: 'health',
    parameters: ['HealthEnabled', 'HealthHost', 'HealthPort'],
    place: (config) =>
      config.boolean('HealthEnabled')
        ? { host: config.text('HealthHost'), port: config.number('HealthPort') }
        : undefined,
  },
  {
    name: 'metrics',
    parameters: ['PrometheusMetricsEnabled', 'PrometheusMetricsHost', 'PrometheusMetricsPort'],
    place: (config) =>
      config.boolean('PrometheusMetricsEnabled')
        ? { host: config.text('PrometheusMetricsHost'), port: config.number('PrometheusMetricsPort') }
        : undefined,
  },
  {
    name: 'debugging',
    parameters: ['DebugHost', 'DebugPort'],
    place: (config) =>
      config.value('DebugPort') === null
        ? undefined
        : { host: config.text('DebugHost'), port: config.number('DebugPort') },
  },
];

export class AgentServices {
  readonly #options: ServicesOptions;
  readonly #running = new Map<Service, HttpEndpoint>();
  #config: FelixConfig | undefined;
  #serving: Promise<void> = Promise.resolve();
  #ignored: readonly IgnoredParameter[] = [];
  #told = '';
  readonly #unreadable = new Map<string, string>();
  #stopped = false;

  constructor(options: ServicesOptions) {
    this.#options = options;
  }

  /** Parameters that are set and have no effect. */
  get ignored(): readonly IgnoredParameter[] {
    return this.#ignored;
  }

  take(config: FelixConfig): void {
    const before = this.#config;
    this.#config = config;
    this.#setLog(config);
    this.#explain(config);
    this.#serving = this.#serving.then(() => this.#serve(before, config));
  }

  /** Objects that cannot be read, by name: each problem is told once. */
  takeUnreadable(objects: ReadonlyMap<string, string>): void {
    for (const name of this.#unreadable.keys()) if (!objects.has(name)) this.#unreadable.delete(name);
    for (const [name, problem] of objects) {
      if (this.#unreadable.get(name) === problem) continue;
      this.#unreadable.set(name, problem);
      this.#options.logger.warn('An object cannot be read and counts as absent', { object: name, problem });
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#serving;
    await Promise.all([...this.#running.values()].map((endpoint) => endpoint.close()));
  }

  #setLog(config: FelixConfig): void {
    const { log } = this.#options;
    log?.setLevel(logLevelOf(config.text('LogSeverityScreen'), 'fatal'));
    // Calico's own image sets the default aside as well: a container's log is its standard error.
    const source: ConfigSource = config.source('LogFilePath');
    const path = source === 'default' ? '' : config.text('LogFilePath');
    const severity = config.text('LogSeverityFile');
    log?.setFile(path === '' || severity === '' ? undefined : path, logLevelOf(severity, 'fatal'));
  }

  /** Bad values and such without effect: each time the list changes, in the log and in an event of the node. */
  #explain(config: FelixConfig): void {
    this.#ignored = ignoredParameters(config);
    const problems = [
      ...config.problems.map(({ message }) => message),
      ...this.#ignored.map(
        ({ parameter, source, why }) => `${parameter} is set by ${source} and has no effect: ${why}.`,
      ),
    ];
    const text = problems.join(' ');
    if (text === this.#told) return;
    this.#told = text;
    for (const problem of problems) this.#options.logger.warn('Parameter', { problem });
    if (text !== '') this.#options.tell({ type: 'Warning', reason: 'Configuration', message: text });
  }

  async #serve(before: FelixConfig | undefined, config: FelixConfig): Promise<void> {
    for (const service of services) {
      if (this.#stopped) return;
      const isSame = (name: string): boolean => before?.value(name) === config.value(name);
      if (before !== undefined && service.parameters.every(isSame)) continue;
      await this.#running.get(service)?.close();
      this.#running.delete(service);
      const place = service.place(config);
      if (place === undefined) continue;
      const served = await serveHttp(place.host, place.port, this.#options.pages[service.name]);
      if (served.ok) this.#running.set(service, served.value);
      else this.#options.logger.warn('Cannot serve HTTP', { error: served.error });
    }
  }
}

/** Calico's word for it; an empty one says that nothing is to be written. */
const logLevelOf = (severity: string, none: LogLevel): LogLevel =>
  severity === '' ? none : (logLevels[severity.toLowerCase()] ?? 'info');
const logLevels: Readonly<Record<string, LogLevel>> = {
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  error: 'error',
  fatal: 'fatal',
};
