// An in-memory machine with network namespaces, whose kernels follow the rules of the real one (docs/kernel.md lists what
// is left out). Faults can be scripted, events lost, connections placed.
import type { Address } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { errno, kernelError } from './errors.ts';
import { fakeKernelOf } from './fake/kernel.ts';
import type { FakeWorld } from './fake/links.ts';
import { FakeNamespace, type Fault } from './fake/namespace.ts';
import { namedNamespacePath } from './named.ts';
import type { Connection, Kernel, KernelError, OpenKernelOptions, Outcome } from './types.ts';

/** `routes.apply`, `links.create`, …: a face and its method. The subject is a name, address or prefix. */
export type FakeFault = {
  readonly operation: string;
  /** Exactly this subject; every one when absent. */
  readonly subject?: string;
  readonly errno: number;
  readonly text?: string;
  /** How often it strikes; 1 when absent. */
  readonly times?: number;
};

const ownPath = '/proc/thread-self/ns/net';

export class FakeHost {
  readonly #namespaces = new Map<string, FakeNamespace>();
  readonly #faults: { fault: FakeFault; left: number }[] = [];
  readonly #rootPath: string | undefined;
  readonly #unsupportedKinds = new Set<string>();

  /** `root`: the own namespace is the machine's root one, in which writing needs allowRootNamespace. */
  constructor(options: { readonly root?: boolean } = {}) {
    this.#namespaces.set(ownPath, new FakeNamespace(ownPath, true));
    this.#rootPath = options.root === true ? ownPath : undefined;
  }

  /** As `createNamedNamespace`. */
  async createNamedNamespace(name: string): Promise<Result<string, KernelError>> {
    const path = namedNamespacePath(name);
    if (this.#namespaces.has(path)) return err(kernelError(`create network namespace ${name}`, errno.EEXIST));
    this.#namespaces.set(path, new FakeNamespace(path, false));
    return ok(path);
  }

  /** As `deleteNamedNamespace`; virtual links go with their namespace, and so do their other ends. */
  async deleteNamedNamespace(name: string): Promise<Outcome> {
    const path = namedNamespacePath(name);
    const namespace = this.#namespaces.get(path);
    this.#namespaces.delete(path);
    for (const link of namespace?.links.values() ?? [])
      if (link.kind !== 'loopback') namespace?.removeLink(link);
    return ok(undefined);
  }

  /** As `openKernel`. */
  async openKernel(options: OpenKernelOptions = {}): Promise<Result<Kernel, KernelError>> {
    const namespace = this.#find(options.netns);
    if (namespace === undefined)
      return err(kernelError(`open network namespace ${options.netns ?? ''}`, errno.ENOENT));
    const refused = namespace.path === this.#rootPath && options.allowRootNamespace !== true;
    return ok(fakeKernelOf(this.#world, namespace, refused));
  }

  /** The kernel of a namespace that is known to exist; the own one when no path is given. */
  kernel(netns?: string): Kernel {
    const namespace = this.#find(netns);
    if (namespace === undefined) throw new Error(`there is no namespace ${netns}`);
    return fakeKernelOf(this.#world, namespace, namespace.path === this.#rootPath);
  }

  /** Makes the next matching operation fail as the kernel would. */
  fail(fault: FakeFault): void {
    this.#faults.push({ fault, left: fault.times ?? 1 });
  }

  /** Drops the events that wait for delivery; subscribers hear `lost`. */
  loseEvents(netns?: string): void {
    this.#find(netns)?.loseEvents();
  }

  /** Places a connection tracking entry with these addresses in either direction. */
  addConnection(addresses: readonly Address[], netns?: string, connection?: Connection): void {
    this.#find(netns)?.connections.push({ addresses, ...(connection === undefined ? {} : { connection }) });
  }

  /** From now on larger packets to the address are lost without a word; 0: all are. */
  setPathMtu(address: Address, bytes: number, netns?: string): void {
    this.#find(netns)?.pathMtus.set(address, bytes);
  }

  /** What was sent past the stack, in order. */
  sentFrames(netns?: string): readonly { readonly linkIndex: number; readonly frame: Uint8Array }[] {
    return this.#find(netns)?.frames ?? [];
  }

  /** From now on links of the kind cannot be created: a kernel built without it. */
  withoutKind(kind: string): this {
    this.#unsupportedKinds.add(kind);
    return this;
  }

  #find(netns: string | undefined): FakeNamespace | undefined {
    return this.#namespaces.get(netns === undefined ? ownPath : netns.replace(/^\/var\/run\//, '/run/'));
  }

  get #world(): FakeWorld {
    return {
      namespaceAt: (path) => this.#find(path),
      scripted: (operation, subject) => this.#scripted(operation, subject),
      unsupportedKinds: this.#unsupportedKinds,
    };
  }

  #scripted(operation: string, subject: string): Fault {
    for (const entry of this.#faults) {
      const { fault } = entry;
      const hits =
        fault.operation === operation && (fault.subject === undefined || fault.subject === subject);
      if (!hits || entry.left === 0) continue;
      entry.left--;
      return fault.text === undefined ? { errno: fault.errno } : { errno: fault.errno, text: fault.text };
    }
    return undefined;
  }
}
