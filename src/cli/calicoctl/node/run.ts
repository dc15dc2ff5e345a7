// `node run`: the programs of a node, as calicoctl's flags want them (CT-041). Calico starts a container; here the agent and the
// BGP speaker run as they are, in the foreground, until they are told to end.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { familyOf, parseAddress } from '../../../lib/ip/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { type CliError, fail, type Flags, isSet, printLine, textFlag, verb, warn } from '../program.ts';
import { datastoreSettings } from '../settings.ts';

export const command = verb(
  {
    name: 'node run',
    summary: 'Make this machine a node: run the agent and the BGP speaker until told to end.',
    flags: [
      { flags: '--name <name>', description: 'the name of the node; the host name when absent' },
      {
        flags: '--as <number>',
        description: 'the AS number of the node; that of the node resource when absent',
      },
      { flags: '--ip <address>', description: 'the IPv4 address of the node, or autodetect' },
      { flags: '--ip6 <address>', description: 'the IPv6 address of the node, or autodetect' },
      {
        flags: '--ip-autodetection-method <method>',
        description:
          'first-found, can-reach=HOST, interface=REGEX, skip-interface=REGEX, cidr=CIDR, kubernetes-internal-ip',
        default: 'first-found',
      },
      {
        flags: '--ip6-autodetection-method <method>',
        description: 'the same for IPv6',
        default: 'first-found',
      },
      { flags: '--backend <backend>', description: 'bird, vxlan, or none: policy only', default: 'bird' },
      { flags: '--no-default-ippools', description: 'make no pool when there is none' },
      { flags: '--felix-config <file>', description: 'settings of the agent, as felix.cfg' },
      { flags: '--log-dir <directory>', description: 'where logs are written; standard error when absent' },
      {
        flags: '--init-system',
        description: 'end when one of the programs ends: an init system starts all again',
      },
      { flags: '--dryrun', description: 'only say what would be run' },
      { flags: '--node-image <image>', description: 'accepted for old habits: there is no container' },
    ],
    examples: ['node run --name=worker1 --ip=10.0.0.21', 'node run --dryrun --backend=none'],
  },
  async ({ flags }) => {
    const planned = await planRun(flags);
    if (!planned.ok) return planned;
    const { env, programs } = planned.value;
    if (textFlag(flags, 'nodeImage') !== undefined)
      warn('--node-image is not used: the programs run as they are, without a container.');
    if (isSet(flags, 'dryrun')) {
      printLine('Use the following commands to run the node:\n');
      const variables = Object.entries(env).map(([name, value]) => `${name}=${quoted(value)}`);
      for (const argv of programs) printLine([...variables, ...argv.map(quoted)].join(' '));
      return ok(undefined);
    }
    if (process.getuid?.() !== 0) return fail('Need super user privileges: Operation not permitted');
    const logs = textFlag(flags, 'logDir');
    if (logs !== undefined) mkdirSync(logs, { recursive: true });
    return keepRunning(programs, {
      env: { ...process.env, ...env },
      hasInitSystem: isSet(flags, 'initSystem'),
      ...(logs === undefined ? {} : { logs }),
    });
  },
);

type Planned = {
  readonly env: Readonly<Record<string, string>>;
  readonly programs: readonly (readonly string[])[];
};
const methods = /^(first-found|kubernetes-internal-ip|(can-reach|interface|skip-interface|cidr)=.+)$/;

export async function planRun(
  flags: Flags,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Result<Planned, CliError>> {
  const settings = await datastoreSettings(textFlag(flags, 'config'), textFlag(flags, 'context'), env);
  if (!settings.ok) return settings;
  const variables: Record<string, string> = { NODENAME: textFlag(flags, 'name') ?? hostname() };
  if (settings.value.kubeconfig !== undefined) variables['KUBECONFIG'] = settings.value.kubeconfig;
  for (const [flag, variable, family] of [
    ['ip', 'IP', 4],
    ['ip6', 'IP6', 6],
  ] as const) {
    const text = textFlag(flags, flag);
    if (text === undefined) continue;
    const address = text === 'autodetect' ? undefined : parseAddress(text.replace(/\/\d+$/, ''));
    if (address !== undefined && !address.ok)
      return fail(`Error executing command: invalid IP address specified: ${text}`);
    if (address?.ok === true && familyOf(address.value) !== family)
      return fail(`Error executing command: --${flag} is wrong IP version`);
    variables[variable] = text;
  }
  const as = textFlag(flags, 'as');
  if (as !== undefined) {
    const number = asNumber(as);
    if (number === undefined) return fail(`Error executing command: invalid AS number specified: ${as}`);
    variables['AS'] = String(number);
  }
  for (const [flag, variable] of [
    ['ipAutodetectionMethod', 'IP_AUTODETECTION_METHOD'],
    ['ip6AutodetectionMethod', 'IP6_AUTODETECTION_METHOD'],
  ] as const) {
    const method = textFlag(flags, flag) ?? 'first-found';
    if (!methods.test(method))
      return fail(`Error executing command: invalid IP autodetection method: ${method}`);
    if (method !== 'first-found') variables[variable] = method;
  }
  const backend = textFlag(flags, 'backend') ?? 'bird';
  if (!['bird', 'vxlan', 'none'].includes(backend))
    return fail(`Error executing command: unknown backend '${backend}'`, 'Use bird, vxlan or none.');
  variables['CALICO_NETWORKING_BACKEND'] = backend;
  if (flags['defaultIppools'] === false) variables['NO_DEFAULT_POOLS'] = 'true';
  const felixConfig = textFlag(flags, 'felixConfig');
  if (felixConfig !== undefined) {
    const { configFromFile } = await import('../../../felix/calc/mod.ts');
    let text: string;
    try {
      text = readFileSync(felixConfig, 'utf8');
    } catch {
      return fail(`Error executing command: ${felixConfig} cannot be read`);
    }
    for (const [name, value] of Object.entries(configFromFile(text)))
      variables[`FELIX_${name.toUpperCase()}`] = value;
  }
  // By its own name the program has all commands, whatever it was called by.
  const main = realpathSync(process.argv[1] ?? '');
  const program = (...argv: readonly string[]): readonly string[] => [process.execPath, main, ...argv];
  return ok({
    env: variables,
    programs: [
      program('agent', '--allow-root-namespace'),
      ...(backend === 'bird' ? [program('speaker', '--allow-root-namespace', '--engine', 'native')] : []),
    ],
  });
}

/** `64512`, or with a dot as `1.10`. */
function asNumber(text: string): number | undefined {
  const [, high = '0', low = ''] = /^(?:(\d{1,5})\.)?(\d{1,10})$/.exec(text) ?? [];
  if (low === '') return undefined;
  const number = Number(high) * 65_536 + Number(low);
  const isValid =
    number <= 0xffff_ffff && (high === '0' || (Number(high) <= 65_535 && Number(low) <= 65_535));
  return isValid ? number : undefined;
}

const quoted = (word: string): string =>
  /^[\w./:=@,+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** Starts again what ends, later and later; with an init system everything ends with the first. */
function keepRunning(
  programs: readonly (readonly string[])[],
  {
    env,
    hasInitSystem,
    logs,
  }: { readonly env: NodeJS.ProcessEnv; readonly hasInitSystem: boolean; readonly logs?: string },
): Promise<Result<void, CliError>> {
  const children = new Map<readonly string[], ChildProcess>();
  return new Promise((resolve) => {
    let ending: Result<void, CliError> | undefined;
    const end = (result: Result<void, CliError>): void => {
      ending ??= result;
      for (const child of children.values()) child.kill('SIGTERM');
      if (children.size === 0) resolve(ending);
    };
    const start = (argv: readonly string[], pauseMs: number): void => {
      if (ending !== undefined) return;
      const [program = '', ...rest] = argv;
      const began = Date.now();
      const log = logs === undefined ? undefined : openSync(join(logs, `${rest[1] ?? 'node'}.log`), 'a');
      const child = spawn(program, rest, { env, stdio: ['ignore', 'inherit', log ?? 'inherit'] });
      if (log !== undefined) closeSync(log);
      children.set(argv, child);
      child.on('close', (code, signal) => {
        children.delete(argv);
        if (ending !== undefined) return children.size === 0 ? resolve(ending) : undefined;
        const why = `${rest[1] ?? program} ended (${signal ?? `exit code ${code}`})`;
        if (hasInitSystem) return end(fail(`${why}.`));
        const nextMs = Date.now() - began > 60_000 ? 1_000 : Math.min(30_000, pauseMs * 2);
        warn(`${why}; it is started again in ${pauseMs / 1000} s.`);
        setTimeout(() => start(argv, nextMs), pauseMs);
      });
    };
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => end(ok(undefined)));
    for (const argv of programs) start(argv, 1_000);
  });
}
