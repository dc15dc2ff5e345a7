// An extra router in a lab: a network namespace on the nodes' switch, with a routing daemon of Debian in it. It lives in the
// namespaces of the machine `switch` and ends with the lab at the latest.
import { until } from '../../src/lib/wait.ts';
import type { TestLab } from './lab.ts';

export type Peer = {
  readonly name: string;
  readonly address: string;
  readonly as?: number;
  readonly state: string;
  readonly since: string;
  readonly reasonText?: string;
};

export class LabRouter {
  readonly lab: TestLab;
  readonly name: string;
  /** On the segment of the nodes. */
  readonly address: string;
  readonly directory: string;
  readonly #pids = new Map<string, number>();

  private constructor(lab: TestLab, name: string, address: string) {
    this.lab = lab;
    this.name = name;
    this.address = address;
    this.directory = `/run/${name}`;
  }

  /** A namespace with one cable to the switch; `loopback` is what lies behind the router. */
  static async plug(
    lab: TestLab,
    name: string,
    options: { readonly address: string; readonly loopback: string },
  ): Promise<LabRouter> {
    const router = new LabRouter(lab, name, options.address);
    await lab.sh(
      'switch',
      `set -e; export PATH=$PATH:/usr/sbin:/sbin
      mkdir -p -m 777 ${router.directory}
      ip netns add ${name}
      ip link add ${name} type veth peer name eth0 netns ${name}
      ip link set ${name} master lan up
      ip -n ${name} link set lo up
      ip -n ${name} addr add ${options.address}/24 dev eth0
      ip -n ${name} addr add ${options.loopback}/32 dev lo
      ip -n ${name} link set eth0 up
      ip netns exec ${name} sysctl -qw net.ipv4.ip_forward=1`,
    );
    return router;
  }

  /** A shell command in the router's namespace; throws when it fails. */
  sh(script: string): Promise<string> {
    const quoted = `'${script.replaceAll("'", `'\\''`)}'`;
    return this.lab.sh(
      'switch',
      `PATH=$PATH:/usr/sbin:/sbin exec ip netns exec ${this.name} sh -c ${quoted}`,
    );
  }

  /** Writes a file of the router's directory and gives its path. */
  async file(name: string, content: string): Promise<string> {
    const path = `${this.directory}/${name}`;
    await this.lab.sh('switch', `cat > ${path} <<'END-OF-FILE'\n${content}\nEND-OF-FILE`);
    return path;
  }

  /** A daemon in the background; what it says goes to a file. */
  async start(name: string, command: string): Promise<void> {
    const pid = await this.sh(`setsid ${command} >${this.directory}/${name}.log 2>&1 </dev/null & echo $!`);
    this.#pids.set(name, Number(pid));
  }

  log(name: string): Promise<string> {
    return this.sh(`cat ${this.directory}/${name}.log`);
  }

  /** SIGTERM, and gone. */
  async end(name: string): Promise<void> {
    const pid = this.#pids.get(name);
    if (pid === undefined) return;
    this.#pids.delete(name);
    await this.sh(
      `kill ${pid}; for i in $(seq 600); do kill -0 ${pid} 2>/dev/null || exit 0; sleep 0.05; done; exit 1`,
    );
  }

  /** Ends the daemons and pulls the cable. */
  async unplug(): Promise<void> {
    for (const name of this.#pids.keys()) await this.end(name);
    await this.lab.sh('switch', `PATH=$PATH:/usr/sbin:/sbin ip netns delete ${this.name}`);
  }
}

/** What a node's speaker says of its peers. */
export async function peersOf(lab: TestLab, node: string): Promise<readonly Peer[]> {
  const { out } = await lab.exec(
    node,
    'sh',
    '-c',
    `echo '{"op":"peers"}' | nc -U -N -w 20 /run/calico/bgp.sock`,
  );
  try {
    return (JSON.parse(out) as { readonly result?: readonly Peer[] }).result ?? [];
  } catch {
    return [];
  }
}

/** Asks until the answer is right; the error shows the last one. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T>,
  isRight: (value: T) => boolean,
  timeoutMs = 120_000,
): Promise<T> {
  let last: unknown;
  const found = await until(
    async () => {
      try {
        const value = await probe();
        last = value;
        return isRight(value) ? { value } : undefined;
      } catch (error) {
        last = (error as Error).message;
        return undefined;
      }
    },
    { timeoutMs, everyMs: 100 },
  );
  if (found !== undefined) return found.value;
  throw new Error(`${what} did not happen; last: ${typeof last === 'string' ? last : JSON.stringify(last)}`);
}
