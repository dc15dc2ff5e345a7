// The environment of Calico's manifests: TYPHA_… for the server, FELIX_TYPHA… (the agent) and CONFD_TYPHA… (the speaker) for
// clients. Seconds, as there.
import { readFileSync } from 'node:fs';
import { err, failure, ok, type Result } from '../lib/result.ts';
import { defaultTimers, type ServerTimers, type TlsSettings, type TyphaError } from './types.ts';

export type Endpoint = { readonly host: string; readonly port: number };

export type ServerSettings = {
  /** Undefined: any address. */
  readonly host: string | undefined;
  readonly port: number;
  readonly maxConnections: number;
  readonly timers: ServerTimers;
  readonly tls: TlsSettings | undefined;
  readonly logLevel: string | undefined;
  readonly health: Endpoint | undefined;
  readonly metrics: Endpoint | undefined;
  /** Names that mean nothing here. */
  readonly ignored: readonly string[];
};

export type ClientSettings = {
  /** `host:port`, which counts before the service. */
  readonly address: string;
  readonly service: { readonly name: string; readonly namespace: string };
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly tls: TlsSettings | undefined;
};

type Environment = Readonly<Record<string, string | undefined>>;
/** Ports and numbers of NM-017 where nothing is set. */
const defaults = { port: 5473, health: 9098, metrics: 9093, maxConnections: 10_000 };

export function serverSettings(environment: Environment): Result<ServerSettings, TyphaError> {
  const read = new Reader((name) => environment[`TYPHA_${name}`], 'TYPHA_');
  const settings = {
    host: read.text('SERVERHOST') || undefined,
    port: read.number('SERVERPORT', defaults.port, 65_535) || defaults.port,
    maxConnections: read.number('MAXCONNECTIONSUPPERLIMIT', defaults.maxConnections),
    timers: {
      pingMs: read.seconds('SERVERPINGINTERVALSECS', defaultTimers.pingMs),
      pongMs: read.seconds('SERVERPONGTIMEOUTSECS', defaultTimers.pongMs),
      handshakeMs: read.seconds('SERVERHANDSHAKETIMEOUTSECS', defaultTimers.handshakeMs),
      fallBehindMs: read.seconds('SERVERMAXFALLBEHINDSECS', defaultTimers.fallBehindMs),
      graceMs: read.seconds('SERVERNEWCLIENTFALLBEHINDGRACEPERIOD', defaultTimers.graceMs),
      drainMs: read.seconds('SHUTDOWNTIMEOUTSECS', defaultTimers.drainMs),
    },
    tls: read.tls({
      key: 'SERVERKEYFILE',
      cert: 'SERVERCERTFILE',
      ca: 'CAFILE',
      name: 'CLIENTCN',
      uri: 'CLIENTURISAN',
    }),
    logLevel: read.text('LOGSEVERITYSCREEN') || undefined,
    health: read.endpoint('HEALTH', 'HEALTHENABLED', 'localhost', defaults.health),
    metrics: read.endpoint('PROMETHEUSMETRICS', 'PROMETHEUSMETRICSENABLED', '', defaults.metrics),
  };
  if (read.problem !== undefined) return err(read.problem);
  const ignored = Object.keys(environment).filter(
    (name) => name.startsWith('TYPHA_') && !read.asked.has(name.slice('TYPHA_'.length)),
  );
  return ok({ ...settings, ignored });
}

/** `lookup` gives a setting by its name as Felix has it: TyphaAddr. Undefined where no server is named. */
export function clientSettings(
  lookup: (name: string) => string | undefined,
): Result<ClientSettings | undefined, TyphaError> {
  const read = new Reader(lookup);
  const settings = {
    address: read.text('TyphaAddr'),
    service: {
      name: read.text('TyphaK8sServiceName'),
      namespace: read.text('TyphaK8sNamespace') || 'kube-system',
    },
    readTimeoutMs: read.seconds('TyphaReadTimeout', 30_000),
    writeTimeoutMs: read.seconds('TyphaWriteTimeout', 10_000),
    tls: read.tls({
      key: 'TyphaKeyFile',
      cert: 'TyphaCertFile',
      ca: 'TyphaCAFile',
      name: 'TyphaCN',
      uri: 'TyphaURISAN',
    }),
  };
  if (settings.address === '' && settings.service.name === '') return ok(undefined);
  if (settings.address !== '' && !/^.+:\d+$/.test(settings.address))
    read.refuse('TyphaAddr', settings.address, 'It takes HOST:PORT.');
  return read.problem === undefined ? ok(settings) : err(read.problem);
}

/** Keeps the first problem and gives defaults after it. */
class Reader {
  readonly #lookup: (name: string) => string | undefined;
  /** What stands before the names where users write them. */
  readonly #prefix: string;
  readonly asked = new Set<string>();
  problem: TyphaError | undefined;

  constructor(lookup: (name: string) => string | undefined, prefix = '') {
    this.#lookup = lookup;
    this.#prefix = prefix;
  }

  text(name: string): string {
    this.asked.add(name);
    return this.#lookup(name)?.trim() ?? '';
  }

  number(name: string, absent: number, most = Number.MAX_SAFE_INTEGER): number {
    const text = this.text(name);
    if (text === '') return absent;
    const value = Number(text);
    if (/^\d+$/.test(text) && value <= most) return value;
    this.refuse(name, text, `It takes a whole number${most < 1e6 ? ` up to ${most}` : ''}.`);
    return absent;
  }

  /** Milliseconds of a number of seconds. */
  seconds(name: string, absentMs: number): number {
    const text = this.text(name).replace(/s$/, '');
    if (text === '') return absentMs;
    if (/^\d+(\.\d+)?$/.test(text) && Number(text) > 0) return Number(text) * 1000;
    this.refuse(name, text, 'It takes a number of seconds above 0.');
    return absentMs;
  }

  endpoint(prefix: string, enabled: string, host: string, port: number): Endpoint | undefined {
    const text = this.text(enabled).toLowerCase();
    const at = { host: this.text(`${prefix}HOST`) || host, port: this.number(`${prefix}PORT`, port, 65_535) };
    if (!['', 'true', 'false', '1', '0'].includes(text))
      this.refuse(enabled, text, 'It takes true or false.');
    return text === 'true' || text === '1' ? at : undefined;
  }

  /** All of it or nothing: a connection that is to be safe must not quietly be clear. */
  tls(names: Readonly<Record<'key' | 'cert' | 'ca' | 'name' | 'uri', string>>): TlsSettings | undefined {
    const [key, cert, ca] = [this.text(names.key), this.text(names.cert), this.text(names.ca)];
    const [peerCommonName, peerUri] = [this.text(names.name), this.text(names.uri)];
    const given = [key, cert, ca, peerCommonName + peerUri].filter((text) => text !== '').length;
    if (given === 0) return undefined;
    if (given < 4) {
      const called = (part: keyof typeof names): string => this.#prefix + names[part];
      this.problem ??= failure(
        'BadConfig',
        `TLS needs ${called('key')}, ${called('cert')}, ${called('ca')}, and ${called('name')} or ${called('uri')}; only some of them are set.`,
        'Set all, or none for connections in clear.',
      );
      return undefined;
    }
    return {
      key: this.#file(names.key, key),
      cert: this.#file(names.cert, cert),
      ca: this.#file(names.ca, ca),
      peerCommonName,
      peerUri,
    };
  }

  refuse(name: string, value: string, hint: string): void {
    this.problem ??= failure('BadConfig', `${this.#prefix}${name} cannot be "${value}".`, hint);
  }

  #file(name: string, path: string): string {
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      this.refuse(
        name,
        path,
        `The file cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
      );
      return '';
    }
  }
}
