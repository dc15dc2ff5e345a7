// ExaBGP as a router of the matrix. It has no table: it announces what it is told through a pipe and writes down what it
// hears as JSON, from which the table of its peer is put together here.
import { execFileSync } from 'node:child_process';
import { chmodSync, closeSync, constants, existsSync, openSync, readSync, writeSync } from 'node:fs';
import { eventually } from '../network.ts';
import { Daemon } from './daemon.ts';
import {
  familyOfText,
  sorted,
  whole,
  type Router,
  type RouterSetup,
  type RouteText,
  type SessionSetup,
} from './types.ts';

const noTable = 'ExaBGP has no table: it passes nothing on and keeps nothing of a peer that is gone';

type Message = {
  type: string;
  neighbor?: {
    address: { peer: string };
    state?: string;
    message?: {
      update?: {
        attribute?: Record<string, unknown>;
        announce?: Record<string, Record<string, { nlri: string; 'path-information'?: string }[]>>;
        withdraw?: Record<string, { nlri: string; 'path-information'?: string }[]>;
      };
    };
  };
};

export class ExaBgp extends Daemon implements Router {
  readonly name = 'ExaBGP';
  readonly cannot = {
    relays: noTable,
    reflects: noTable,
    kernel: noTable,
    'graceful-restart': noTable,
    'long-lived': noTable,
    'link-local': 'ExaBGP 4.2 announces IPv6 next hops without a link-local one',
    ttl: 'ExaBGP sets a TTL on what it sends and does not look at what it gets',
    'large-table': 'ExaBGP is a script of messages: 1,000 prefixes, not 100,000',
    'hold-zero': noTable,
  };
  #setup: RouterSetup | undefined;
  #routes: readonly RouteText[] = [];
  #commands = -1;
  #heardAt = 0;
  #partial = '';
  readonly #up = new Set<string>();
  readonly #tables = new Map<string, Map<string, RouteText>>();
  /** UPDATE messages with something announced. */
  updates = 0;

  async start(setup: RouterSetup): Promise<void> {
    this.#setup = setup;
    const { network, host } = this.place;
    const directory = network.subdirectory(`${host}-exabgp`);
    const pipe = `${directory}/commands`;
    if (!existsSync(pipe)) execFileSync('mkfifo', ['-m', '666', pipe]);
    // Read and write, so that it never ends.
    if (this.#commands < 0) this.#commands = openSync(pipe, constants.O_RDWR);
    const script = network.file(
      `${host}-exabgp/run`,
      `#!/bin/sh\nexec 3<&0\ncat <&3 >> ${directory}/heard &\nexec cat ${pipe}\n`,
    );
    chmodSync(script, 0o755);
    this.launch(
      'exabgp',
      'env',
      'exabgp.daemon.user=root',
      'exabgp.log.destination=stdout',
      'exabgp.log.packets=false',
      'exabgp.api.cli=false',
      'exabgp.api.ack=false',
      `exabgp.tcp.bind=${[setup.address, setup.address6].filter((a) => a !== undefined).join(' ')}`,
      'exabgp',
      this.#write(),
    );
    for (const route of this.#routes) this.#announce(route);
    await eventually(
      'ExaBGP runs',
      () => existsSync(`${directory}/heard`),
      (there) => there,
    );
  }

  async change(setup: RouterSetup): Promise<void> {
    this.#setup = setup;
    this.#write();
    this.signal('SIGUSR1');
  }

  async announce(routes: readonly RouteText[]): Promise<void> {
    const before = new Map(this.#routes.map((r) => [r.prefix, r]));
    this.#routes = routes;
    if (this.#setup === undefined) return;
    for (const route of routes) {
      if (JSON.stringify(before.get(route.prefix)) !== JSON.stringify(route)) this.#announce(route);
      before.delete(route.prefix);
    }
    for (const route of before.values()) this.#say(`withdraw ${this.#words(route)}`);
  }

  /** A path beside others of the same prefix (ADD-PATH). */
  announcePath(route: RouteText, pathId: string): void {
    this.#say(`announce ${this.#words(route, pathId)}`);
  }

  withdrawPath(route: RouteText, pathId: string): void {
    this.#say(`withdraw ${this.#words(route, pathId)}`);
  }

  protected sessions(): string {
    return `up: ${[...this.#up].join(' ')}`;
  }

  isUp(peer: string): boolean {
    this.#read();
    return this.#up.has(peer);
  }

  heard(peer: string, family: 4 | 6): readonly RouteText[] {
    this.#read();
    return [...(this.#tables.get(peer)?.values() ?? [])].filter((r) => familyOfText(r.prefix) === family);
  }

  count(peer: string, family: 4 | 6): number {
    return this.heard(peer, family).length;
  }

  askAgain(peer: string): void {
    this.#say(`neighbor ${peer} announce route-refresh ipv4 unicast`);
  }

  /** Gives the pipe back. */
  close(): void {
    if (this.#commands >= 0) closeSync(this.#commands);
    this.#commands = -1;
  }

  #say(command: string): void {
    writeSync(this.#commands, `${command}\n`);
  }

  #announce(route: RouteText): void {
    this.#say(`announce ${this.#words(route)}`);
  }

  #words(r: RouteText, pathId?: string): string {
    const own = familyOfText(r.prefix) === 4 ? this.#setup?.address : this.#setup?.address6;
    return [
      `route ${r.prefix}`,
      ...(pathId === undefined ? [] : [`path-information ${pathId}`]),
      `next-hop ${r.nextHop ?? own}`,
      `origin ${r.origin}`,
      // ExaBGP sends a path as it is told, without its own AS.
      `as-path [ ${[...this.#ownAs(), r.asPath].join(' ')} ]`,
      ...(r.med === undefined ? [] : [`med ${r.med}`]),
      ...(r.localPref === undefined ? [] : [`local-preference ${r.localPref}`]),
      ...(r.communities.length === 0 ? [] : [`community [ ${r.communities.join(' ')} ]`]),
      ...(r.large.length === 0 ? [] : [`large-community [ ${r.large.join(' ')} ]`]),
    ].join(' ');
  }

  #ownAs(): string[] {
    const setup = this.#setup;
    return setup === undefined || setup.sessions[0]?.as === setup.as ? [] : [String(setup.as)];
  }

  /** Takes what was written since the last look. */
  #read(): void {
    const path = `${this.place.network.directory}/${this.host}-exabgp/heard`;
    if (!existsSync(path)) return;
    const file = openSync(path, 'r');
    const buffer = Buffer.alloc(1 << 20);
    for (let got = 1; got > 0; ) {
      got = readSync(file, buffer, 0, buffer.length, this.#heardAt);
      this.#heardAt += got;
      this.#partial += buffer.toString('latin1', 0, got);
    }
    closeSync(file);
    const lines = this.#partial.split('\n');
    this.#partial = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('{')) this.#take(JSON.parse(line) as Message);
  }

  #take({ type, neighbor }: Message): void {
    const peer = neighbor?.address.peer;
    if (peer === undefined) return;
    if (type === 'state') {
      if (neighbor?.state === 'up') this.#up.add(peer);
      if (neighbor?.state === 'down') {
        this.#up.delete(peer);
        this.#tables.delete(peer);
      }
      return;
    }
    const update = neighbor?.message?.update;
    if (update === undefined) return;
    let table = this.#tables.get(peer);
    if (table === undefined) this.#tables.set(peer, (table = new Map()));
    if (update.announce !== undefined) this.updates++;
    for (const list of Object.values(update.withdraw ?? {}))
      for (const n of list) table.delete(`${n.nlri} ${n['path-information'] ?? ''}`);
    for (const hops of Object.values(update.announce ?? {}))
      for (const [nextHop, list] of Object.entries(hops))
        for (const n of Array.isArray(list) ? list : [])
          if (n.nlri !== undefined)
            table.set(
              `${n.nlri} ${n['path-information'] ?? ''}`,
              routeOf(n.nlri, nextHop, update.attribute ?? {}),
            );
  }

  #write(): string {
    const setup = this.#setup;
    if (setup === undefined) throw new Error('not started');
    const { network, host } = this.place;
    network.subdirectory(`${host}-exabgp`);
    return network.file(
      `${host}-exabgp/conf`,
      `process talk { run ${network.directory}/${host}-exabgp/run; encoder json; }
${setup.sessions.map((s) => neighbour(setup, s)).join('\n')}
`,
    );
  }
}

function neighbour(setup: RouterSetup, s: SessionSetup): string {
  const own = s.address.includes(':') ? setup.address6 : setup.address;
  const families = s.families.map((f) => `ipv${f} unicast;`).join(' ');
  return `neighbor ${s.address} {
  router-id ${setup.address};
  local-address ${own};
  local-as ${setup.as};
  peer-as ${s.as};
  ${s.passive === true ? 'passive;' : ''}
  ${s.password === undefined ? '' : `md5-password "${s.password}";`}
  ${s.holdTimeS === undefined ? '' : `hold-time ${s.holdTimeS};`}
  capability {
    route-refresh;
    ${s.twoOctetAs === true ? 'asn4 disable;' : ''}
    ${s.addPath === true ? 'add-path send/receive;' : ''}
  }
  family { ${families} }
  ${s.addPath === true ? `add-path { ${families} }` : ''}
  api { processes [ talk ]; neighbor-changes; receive { parsed; update; } }
}`;
}

function routeOf(nlri: string, nextHops: string, a: Record<string, unknown>): RouteText {
  const [nextHop, linkLocal] = nextHops.split(/[ ,]/);
  const path = a['as-path'] as number[] | Record<string, { element: string; value: number[] }> | undefined;
  const set = a['as-set'] as number[] | undefined;
  const med = a['med'] as number | undefined;
  const localPref = a['local-preference'] as number | undefined;
  const lists = (name: string): string[] =>
    ((a[name] ?? []) as number[][]).map((c) => (Array.isArray(c) ? c.join(':') : String(c)));
  const originatorId = a['originator-id'] as string | undefined;
  const clusterList = a['cluster-list'] as string[] | undefined;
  const segments = Array.isArray(path)
    ? [path.join(' ')]
    : Object.values(path ?? {}).map((s) =>
        s.element === 'as-set' ? `{${s.value.join(',')}}` : s.value.join(' '),
      );
  if (set !== undefined && set.length > 0) segments.push(`{${set.join(',')}}`);
  return {
    prefix: whole(nlri),
    ...(nextHop ? { nextHop } : {}),
    ...(linkLocal ? { linkLocal } : {}),
    asPath: segments.join(' '),
    origin: (a['origin'] ?? 'incomplete') as RouteText['origin'],
    ...(med === undefined ? {} : { med }),
    ...(localPref === undefined ? {} : { localPref }),
    communities: sorted(lists('community')),
    large: sorted(lists('large-community')),
    ...(originatorId === undefined ? {} : { originatorId }),
    ...(clusterList === undefined ? {} : { clusterList }),
  };
}
