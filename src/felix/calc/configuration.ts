// Resolution of Felix's configuration: which of the places a parameter can be set in counts, and what bad values do.
// Pure: the environment and the config file come in as records.
import type { FelixConfiguration } from '../../model/mod.ts';
import { type Failure, failure } from '../../lib/result.ts';
import { formatGoDuration, type ParameterValue, type PortRange } from './parameter-types.ts';
import { findParameter, type Parameter, parameters } from './parameters.ts';

/** From low to high: a later source wins. */
export const configSources = ['default', 'global', 'selector', 'node', 'file', 'environment'] as const;
export type ConfigSource = (typeof configSources)[number];

export type ConfigInputs = {
  /** Texts by parameter name, one record per source. */
  readonly global?: Readonly<Record<string, string>>;
  /** FelixConfigurations whose selector matches the node; sorted by name, a later one wins. */
  readonly selector?: readonly Readonly<Record<string, string>>[];
  readonly node?: Readonly<Record<string, string>>;
  readonly file?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
};

export type ConfigProblem = Failure<'BadParameter'> & {
  readonly parameter: string;
  readonly source: ConfigSource;
  readonly fatal: boolean;
};

/** The effective parameters. Immutable; a change makes a new one. */
export class FelixConfig {
  readonly #values: ReadonlyMap<string, ParameterValue>;
  readonly #sources: ReadonlyMap<string, ConfigSource>;
  readonly problems: readonly ConfigProblem[];

  constructor(
    values: ReadonlyMap<string, ParameterValue>,
    sources: ReadonlyMap<string, ConfigSource>,
    problems: readonly ConfigProblem[],
  ) {
    this.#values = values;
    this.#sources = sources;
    this.problems = problems;
  }

  value(name: string): ParameterValue {
    const value = this.#values.get(name);
    if (value === undefined) throw new Error(`No parameter is called ${name}.`);
    return value;
  }
  boolean(name: string): boolean {
    return this.value(name) === true;
  }
  number(name: string): number {
    const value = this.value(name);
    return typeof value === 'number' ? value : 0;
  }
  text(name: string): string {
    const value = this.value(name);
    return typeof value === 'string' ? value : '';
  }
  /** Where the value comes from. */
  source(name: string): ConfigSource {
    return this.#sources.get(name) ?? 'default';
  }
  /** Every parameter with its value, for introspection and comparison. */
  entries(): IterableIterator<[string, ParameterValue]> {
    return this.#values.entries();
  }
  equals(other: FelixConfig): boolean {
    for (const [name, value] of this.#values) {
      if (JSON.stringify(value) !== JSON.stringify(other.#values.get(name))) return false;
    }
    return true;
  }
}

const isNone = (text: string): boolean => text.toLowerCase() === 'none';

/** Text to value: the default for '', undefined for bad text. Unset parameters are null or '', as their type says. */
function parse(parameter: Parameter, text: string): ParameterValue | undefined {
  if (text === '') return parameter.default === '' ? unset(parameter) : parse(parameter, parameter.default);
  if (isNone(text)) return parameter.mandatory ? undefined : nothing(parameter);
  return parameter.type.parse(text);
}

/** What `none` makes of a parameter: off, 0, the empty text or no value, whatever its default is. */
function nothing(parameter: Parameter): ParameterValue {
  if (parameter.default === '') return unset(parameter);
  if (parameter.type.name === 'bool') return false;
  return numeric.has(parameter.type.name) ? 0 : unset(parameter);
}
const numeric = new Set(['int', 'seconds', 'millis', 'dscp']);

/** Whether the process must not run with the text, instead of with the default. */
const endsProcess = (parameter: Parameter, text: string): boolean =>
  parameter.dieOnFail === true || (parameter.mandatory === true && isNone(text));

const emptyText = new Set([
  'string',
  'file',
  'hostname',
  'host-address',
  'authority',
  'region',
  'iface-param',
  'iface-list',
  'oneof',
  'log-rate',
]);
const unset = (parameter: Parameter): ParameterValue => (emptyText.has(parameter.type.name) ? '' : null);

const defaults = new Map<string, ParameterValue>();
/** The built-in default's value. */
export function defaultOf(parameter: Parameter): ParameterValue {
  const known = defaults.get(parameter.name);
  if (known !== undefined) return known;
  const value = parse(parameter, '');
  if (value === undefined) throw new Error(`The default of ${parameter.name} is bad.`);
  defaults.set(parameter.name, value);
  return value;
}

export function resolveConfig(inputs: ConfigInputs): FelixConfig {
  const values = new Map<string, ParameterValue>(parameters.map((p) => [p.name, defaultOf(p)]));
  const sources = new Map<string, ConfigSource>();
  const problems: ConfigProblem[] = [];
  const layers: readonly (readonly [ConfigSource, Readonly<Record<string, string>> | undefined])[] = [
    ['global', inputs.global],
    ...(inputs.selector ?? []).map((record) => ['selector', record] as const),
    ['node', inputs.node],
    ['file', inputs.file],
    ['environment', inputs.environment],
  ];
  for (const [source, record] of layers) {
    for (const [name, text] of Object.entries(record ?? {})) {
      const parameter = findParameter(name);
      if (parameter === undefined) continue;
      if (parameter.local && source !== 'file' && source !== 'environment') continue;
      const value = parse(parameter, text.trim());
      sources.set(parameter.name, source);
      values.set(parameter.name, value === undefined ? defaultOf(parameter) : value);
      if (value === undefined) {
        problems.push({
          ...failure(
            'BadParameter',
            `${parameter.name} is set to ${JSON.stringify(text)} by ${source}, which is not a ${parameter.type.name}.`,
          ),
          parameter: parameter.name,
          source,
          fatal: endsProcess(parameter, text.trim()),
        });
      }
    }
  }
  return new FelixConfig(values, sources, problems);
}

/** FELIX_* variables as parameter texts. */
export function configFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, text] of Object.entries(env)) {
    const parameter = name.startsWith('FELIX_') ? findParameter(name.slice('FELIX_'.length)) : undefined;
    if (parameter !== undefined && text !== undefined && text !== '') out[parameter.name] = text;
  }
  return out;
}

/** Calico's felix.cfg: `[section]` lines and `Name = value` lines; `#` and `;` start comments. */
export function configFromFile(text: string): Record<string, string> {
  const out: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const match = /^\s*([A-Za-z0-9_]+)\s*[=:]\s*(.*?)\s*$/.exec(line);
    const name = match?.[1];
    if (name !== undefined && findParameter(name) !== undefined) out[name] = match?.[2] ?? '';
  }
  return out;
}

/** The fields of a FelixConfiguration as parameter texts. */
export function configFromResource(resource: FelixConfiguration): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [field, value] of Object.entries(resource.spec as Record<string, unknown>)) {
    const parameter = findParameter(field);
    if (parameter === undefined || value === undefined || value === null) continue;
    out[parameter.name] = fieldText(field, value);
  }
  return out;
}

function fieldText(field: string, value: unknown): string {
  if (Array.isArray(value)) {
    if (value.length === 0 && field.startsWith('failsafe')) return 'none';
    return value
      .map((item: unknown) => (typeof item === 'object' && item !== null ? portText(item) : String(item)))
      .join(',');
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([key, item]) => `${key}=${String(item)}`)
      .join(',');
  }
  return String(value);
}

function portText(item: object): string {
  const { protocol, port, net, min, max } = item as Record<string, string | number | undefined>;
  if (min !== undefined) return `${String(min)}-${String(max)}`;
  const name = typeof protocol === 'string' ? protocol.toLowerCase() : 'tcp';
  if (typeof net !== 'string') return `${name}:${String(port)}`;
  return `${name}:${net.includes(':') ? `[${net}]` : net}:${String(port)}`;
}

/** Rules across parameters; a text per problem. */
export function validateSettings(settings: Readonly<Record<string, string>>): readonly string[] {
  const config = resolveConfig({ environment: settings });
  const issues = config.problems.filter((p) => p.fatal).map((p) => p.message);
  const has = (name: string): boolean => config.text(name) !== '';
  const tls =
    ['TyphaKeyFile', 'TyphaCertFile', 'TyphaCAFile'].filter(has).length +
    (has('TyphaCN') || has('TyphaURISAN') ? 1 : 0);
  if (tls !== 0 && tls !== 4) {
    issues.push(
      'TLS to Typha needs TyphaKeyFile, TyphaCertFile, TyphaCAFile and at least one of TyphaCN and TyphaURISAN.',
    );
  }
  return issues;
}

/** Whether the settings speak of OpenStack, which switches its special rules on. */
export function openstackActive(settings: Readonly<Record<string, string>>): boolean {
  const config = resolveConfig({ environment: settings });
  if (config.text('ClusterType').toLowerCase().includes('openstack')) return true;
  if (
    config.source('MetadataAddr') !== 'default' &&
    !['', 'none', '127.0.0.1'].includes(config.text('MetadataAddr'))
  )
    return true;
  const metadataPort = config.value('MetadataPort');
  if (metadataPort !== null && metadataPort !== 0 && metadataPort !== 8775) return true;
  return config
    .text('InterfacePrefix')
    .split(',')
    .some((prefix) => prefix.trim() === 'tap');
}

const providers = ['AKS', 'EKS', 'GKE', 'RKE2', 'OpenShift', 'DockerEnterprise', 'TKG'] as const;
/** The flavour of Kubernetes named in the cluster type, '' when none. */
export function kubernetesProvider(clusterType: string | null | undefined): string {
  for (const word of (clusterType ?? '').toLowerCase().split(',')) {
    const name = word.trim();
    // The name that older clusters were given by.
    const found = name === 'ecs' ? 'EKS' : providers.find((provider) => provider.toLowerCase() === name);
    if (found !== undefined) return found;
  }
  return '';
}

/** One parameter, as conformance cases ask: durations in Go's text, regular expressions marked, `error` for a bad value
 *  of a parameter that ends the process. */
export function parseFelixParameter(
  name: string,
  text: string,
): { readonly value: unknown; readonly error: boolean; readonly ipip?: boolean; readonly noEncap?: boolean } {
  const parameter = findParameter(name);
  if (parameter === undefined) return { value: null, error: true };
  const parsed = parse(parameter, text.trim());
  const value = parsed === undefined ? defaultOf(parameter) : parsed;
  const error = parsed === undefined && endsProcess(parameter, text.trim());
  const extra = parameter.name === 'ProgramClusterRoutes' ? programmedRoutes(value as string) : {};
  return { value: rendered(parameter, value), error, ...extra };
}

/** Which classes of cluster routes Felix programs; BGP does the rest. */
export const programmedRoutes = (value: string): { readonly ipip: boolean; readonly noEncap: boolean } => ({
  ipip: value === 'Enabled' || value === 'EnabledIPIPOnly',
  noEncap: value === 'Enabled' || value === 'EnabledNoEncapOnly',
});

function rendered(parameter: Parameter, value: ParameterValue): unknown {
  if (value === null) return null;
  switch (parameter.type.name) {
    case 'seconds':
    case 'millis':
      return formatGoDuration(value as number);
    case 'keydurationlist':
      return Object.fromEntries(
        Object.entries(value as Record<string, number>).map(([k, ms]) => [k, formatGoDuration(ms)]),
      );
    case 'regexp':
      return { $regexp: value };
    case 'iface-list-regexp':
      return (value as readonly string[]).map((source) => ({ $regexp: source }));
    case 'portrange':
      return rangeText(value as PortRange);
    case 'portrange-list':
      return (value as readonly PortRange[]).map(rangeText);
    default:
      return value;
  }
}
const rangeText = (range: PortRange): string =>
  range.first === range.last ? String(range.first) : `${range.first}:${range.last}`;
