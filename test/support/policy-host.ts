// A node with pods and a machine outside, in private namespaces, and Felix on it: graph and data plane as the agent runs
// them, without an API server. Pods have no addresses and no stack: what is sent is written to their interfaces, what comes
// is read there, and nobody answers.
import { execFileSync } from 'node:child_process';
import { address, type Address } from '../../src/lib/ip/mod.ts';
import { expect } from '../../src/lib/result.ts';
import { CalculationGraph, type CalcUpdate, type PolicyUpdate } from '../../src/felix/calc/mod.ts';
import { Dataplane, systemRunner } from '../../src/felix/dataplane/mod.ts';
import { createNamedNamespace, deleteNamedNamespace, openKernel, type Kernel } from '../../src/kernel/mod.ts';
import {
  nodeAddresses,
  nodeName,
  objectKey,
  outsideAddresses,
  podAddresses,
  podCount,
  type WorldObject,
} from './policy-generator.ts';
import { probedProtocols, type ProbeEnd } from './policy-probes.ts';
import { hostEnd, wireEnd, type PacketEnd } from './policy-sockets.ts';

const hostMac = '02:00:00:00:00:01';
const outsideMac = '02:00:00:00:00:02';
const podHostMac = 'ee:ee:ee:ee:ee:ee';
const podMac = (pod: number): string => `02:00:00:00:01:0${pod}`;
const podHostInterface = (pod: number): string => `cali${pod}`;

let serial = 0;

export class PolicyHost {
  readonly #name = `pm${process.pid}n${serial++}`;
  readonly #graph: CalculationGraph;
  readonly #ends = new Map<ProbeEnd, PacketEnd>();
  #objects = new Map<string, WorldObject>();
  #isStarted = false;
  #dataplane!: Dataplane;
  kernel!: Kernel;

  private constructor(environment: Readonly<Record<string, string>>) {
    this.#graph = new CalculationGraph({ nodeName, blackholeProtocol: 12, policy: true, environment });
  }

  /** `environment`: Felix's parameters, such as NFTablesMode and IptablesBackend, which choose the back end. */
  static async make(environment: Readonly<Record<string, string>> = {}): Promise<PolicyHost> {
    const host = new PolicyHost(environment);
    const parts = ['node', 'out', ...Array.from({ length: podCount }, (_, pod) => `p${pod}`)];
    for (const part of parts) expect(await createNamedNamespace(host.#namespace(part)), part);
    host.#wire();
    const path = (part: string): string => `/run/netns/${host.#namespace(part)}`;
    host.kernel = expect(await openKernel({ netns: path('node') }), 'open the node');
    host.#dataplane = new Dataplane({
      kernel: host.kernel,
      policy: true,
      commands: systemRunner({ netns: path('node') }),
    });
    for (let pod = 0; pod < podCount; pod++)
      host.#ends.set(pod, await wireEnd(path(`p${pod}`), 'eth0', podMac(pod), podHostMac));
    host.#ends.set('outside', await wireEnd(path('out'), 'eth0', outsideMac, hostMac));
    host.#ends.set('host', await hostEnd(path('node'), probedProtocols));
    return host;
  }

  #namespace(part: string): string {
    return `${this.#name}-${part}`;
  }

  #batch(part: string, lines: readonly string[]): void {
    execFileSync('ip', ['-n', this.#namespace(part), '-batch', '-'], { input: lines.join('\n') });
  }

  /** Runs a program on the node. */
  run(...command: readonly string[]): string {
    const argv = ['netns', 'exec', this.#namespace('node'), ...command];
    return execFileSync('ip', argv, { encoding: 'utf8', maxBuffer: 1 << 26 });
  }

  /** Interfaces, and neighbours that need not be asked for. */
  #wire(): void {
    const pods = Array.from({ length: podCount }, (_, pod) => pod);
    for (const part of ['out', ...pods.map((pod) => `p${pod}`)]) this.#quiet(part);
    this.#batch('node', [
      'link set lo up',
      `link add eth0 address ${hostMac} type veth peer name eth0 address ${outsideMac} netns ${this.#namespace('out')}`,
      'link set eth0 up',
      `addr add ${nodeAddresses[4]}/24 dev eth0`,
      `addr add ${nodeAddresses[6]}/64 dev eth0 nodad`,
      ...outsideAddresses
        .slice(0)
        .filter(isNear)
        .map((one) => `neigh replace ${one} lladdr ${outsideMac} dev eth0 nud permanent`),
      ...pods.flatMap((pod) => [
        `link add ${podHostInterface(pod)} address ${podHostMac} type veth peer name eth0 address ${podMac(pod)} netns ${this.#namespace(`p${pod}`)}`,
        `link set ${podHostInterface(pod)} up`,
      ]),
    ]);
    for (const part of ['out', ...pods.map((pod) => `p${pod}`)]) this.#batch(part, ['link set eth0 up']);
    this.#batch('node', [
      'route add default via 10.0.0.254 dev eth0',
      'route add default via fd00:0:0:1::fe dev eth0',
    ]);
    // The kernel's tracker reckons UDP-Lite's checksum with the protocol number of UDP, and would call every packet invalid.
    this.run('sysctl', '-qw', 'net.netfilter.nf_conntrack_checksum=0');
    // The node's own stack answers nothing: an answer would make a connection of what is meant to be a first packet.
    const rules = `table inet quiet { chain output { type filter hook output priority -400;
      tcp flags & rst == rst drop; sctp chunk abort exists drop;
      icmp type { echo-reply, destination-unreachable, timestamp-reply, redirect, parameter-problem, time-exceeded } drop;
      icmpv6 type { echo-reply, destination-unreachable, parameter-problem, time-exceeded, nd-redirect } drop
      }
    }`;
    execFileSync('ip', ['netns', 'exec', this.#namespace('node'), 'nft', '-f', '-'], { input: rules });
  }

  #quiet(part: string): void {
    const argv = ['netns', 'exec', this.#namespace(part), 'sysctl', '-qw'];
    execFileSync('ip', [...argv, 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1']);
  }

  /** Makes these the objects of the cluster, and waits until the kernel has what they mean. */
  async enforce(objects: readonly WorldObject[]): Promise<void> {
    const wanted = new Map(objects.map((one) => [objectKey(one), one]));
    for (const [key, { kind, object }] of this.#objects)
      if (!wanted.has(key)) {
        const { name, namespace } = object.metadata;
        this.#graph.update({
          type: 'delete',
          kind,
          name: { name, ...(namespace === undefined ? {} : { namespace }) },
        } as PolicyUpdate);
      }
    for (const { kind, object } of wanted.values())
      this.#graph.update({ type: 'set', kind, object } as unknown as CalcUpdate);
    this.#objects = wanted;
    this.#dataplane.apply(this.#graph.flush());
    if (!this.#isStarted) expect(await this.#dataplane.start(), 'start');
    this.#isStarted = true;
    await this.#settled();
    this.#meet();
  }

  /** Pods do not answer who asks for their address. Felix forgets a neighbour with its address, hence again for each world. */
  #meet(): void {
    const pods = Array.from({ length: podCount }, (_, pod) => pod);
    const lines = pods.flatMap((pod) =>
      podAddresses(pod).map(
        (one) => `neigh replace ${one} lladdr ${podMac(pod)} dev ${podHostInterface(pod)} nud permanent`,
      ),
    );
    this.#batch('node', lines);
  }

  async #settled(): Promise<void> {
    for (let turn = 0; ; turn++) {
      await this.#dataplane.idle();
      const stuck = Object.entries(this.#dataplane.status()).flatMap(
        ([name, { synced, unfinished, dumpError }]) =>
          synced && unfinished.length === 0
            ? []
            : [`${name}: ${dumpError ?? JSON.stringify(unfinished.slice(0, 3))}`],
      );
      if (stuck.length === 0) return;
      if (turn > 200) throw new Error(`the data plane does not settle: ${stuck.join('; ')}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Forgets all connections. */
  async forgetConnections(): Promise<void> {
    const all: Address[] = [nodeAddresses[4], nodeAddresses[6], ...outsideAddresses].map(address);
    for (let pod = 0; pod < podCount; pod++) all.push(...podAddresses(pod).map(address));
    expect(await this.kernel.conntrack.deleteByAddress(all), 'connections');
  }

  /** Packets that each rule has decided about, by what it says of itself: `default np:red/p1 ingress[0] allow`. */
  counters(program: 'nft' | 'iptables-nft' | 'iptables-legacy'): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    const lines = program === 'nft' ? this.#nftCounters() : this.#iptablesCounters(program);
    for (const [note, packets] of lines)
      if (/gress(\[\d+\])? (allow|deny)$/.test(note)) counts.set(note, (counts.get(note) ?? 0) + packets);
    return counts;
  }

  *#nftCounters(): Generator<readonly [note: string, packets: number]> {
    for (const family of ['ip', 'ip6']) {
      const listing = JSON.parse(this.run('nft', '-j', '-t', 'list', 'table', family, 'calico')) as Listing;
      for (const { rule } of listing.nftables) {
        const counter = rule?.expr.find((one) => one.counter !== undefined)?.counter;
        if (rule === undefined || counter === undefined || !rule.chain.startsWith('rule-')) continue;
        yield [(rule.comment ?? '').replace(/^\S+ /, ''), counter.packets];
      }
    }
  }

  *#iptablesCounters(program: string): Generator<readonly [note: string, packets: number]> {
    for (const family of ['', '6'])
      for (const line of this.run(`${program.replace('ip', `ip${family}`)}-save`, '-c', '-t', 'filter').split(
        '\n',
      )) {
        const packets = /^\[(\d+):/.exec(line)?.[1];
        const [, note] = [...line.matchAll(/--comment "([^"]*)"/g)].map(([, text]) => text ?? '');
        if (packets !== undefined && note !== undefined) yield [note, Number(packets)];
      }
  }

  send(from: ProbeEnd, packet: Uint8Array): void {
    this.#end(from).send(packet);
  }

  /** Numbers of the packets that arrived anywhere, and where; waits until all that are expected are there, or a while. */
  async arrivals(expected: ReadonlySet<number>): Promise<ReadonlyMap<number, ProbeEnd>> {
    const found = new Map<number, ProbeEnd>();
    let missing = expected.size;
    for (let turn = 0; turn < 40; turn++) {
      let news = 0;
      for (const [end, socket] of this.#ends)
        for (const id of socket.arrived()) {
          news++;
          if (!found.has(id) && expected.has(id)) missing--;
          found.set(id, end);
        }
      // What was not expected has had as long as the rest.
      if (missing === 0 && news === 0) break;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return found;
  }

  #end(end: ProbeEnd): PacketEnd {
    const socket = this.#ends.get(end);
    if (socket === undefined) throw new Error(`no end ${end}`);
    return socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dataplane.stop();
    for (const end of this.#ends.values()) end.close();
    await this.kernel.close();
    const parts = ['node', 'out', ...Array.from({ length: podCount }, (_, pod) => `p${pod}`)];
    for (const part of parts) await deleteNamedNamespace(this.#namespace(part));
  }
}

type Listing = {
  readonly nftables: readonly {
    readonly rule?: {
      readonly chain: string;
      readonly comment?: string;
      readonly expr: readonly { readonly counter?: { readonly packets: number } }[];
    };
  }[];
};

const isNear = (text: string): boolean => text.startsWith('10.0.0.') || text.startsWith('fd00:0:0:1:');
