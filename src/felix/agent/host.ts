// What start-up asks of the host: its interfaces with their addresses, and the source address towards a host name.
import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseAddress, type Address, type Family, type Prefix } from '../../lib/ip/mod.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { Logger } from '../../lib/log.ts';
import type { TunnelMemory } from '../dataplane/mod.ts';
import { mainTable, routeProtocols, type Kernel } from '../../kernel/mod.ts';
import type { DetectedInterface } from './startup/detection.ts';
import type { AgentError } from './types.ts';

/** Interfaces that are up, in the kernel's order. */
export async function readInterfaces(kernel: Kernel): Promise<Result<DetectedInterface[], AgentError>> {
  const links = await kernel.links.list();
  const addresses = await kernel.addresses.list();
  if (!links.ok || !addresses.ok) {
    const error = !links.ok ? links.error : !addresses.ok ? addresses.error : undefined;
    return err(failure('KernelFailed', `Reading the node's interfaces: ${error?.message ?? ''}`));
  }
  const found = links.value
    .filter((link) => link.up)
    .toSorted((a, b) => a.index - b.index)
    .map(({ index, name, mac }) => ({
      name,
      ...(mac === undefined ? {} : { mac }),
      addresses: addresses.value
        .filter((a) => a.linkIndex === index)
        .map(({ address, length }) => ({ address, length })),
    }));
  return ok(found);
}

export const sourceTowards =
  (kernel: Kernel) =>
  async (host: string, family: Family): Promise<Address | undefined> => {
    const parsed = parseAddress(host);
    const target = parsed.ok ? parsed.value : await resolveName(host, family);
    const route = target === undefined ? undefined : await kernel.routes.lookup(target);
    return route?.ok === true ? route.value.source : undefined;
  };

async function resolveName(host: string, family: Family): Promise<Address | undefined> {
  try {
    const { address } = await lookup(host, { family });
    const parsed = parseAddress(address);
    return parsed.ok ? parsed.value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a host is at an address: it answers a TCP connection, if only to refuse it. */
export function isHostAt(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: bgpPort, timeout: hostAnswerMs });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => end(true));
    // An answer that came while this process had no time counts.
    socket.on('timeout', () => setImmediate(() => end(false)));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      end(error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET'),
    );
  });
}
const bgpPort = 179;
const hostAnswerMs = 3_000;

/** An agent changes routes, rules and settings of its whole namespace: never by accident those of the machine. Asks the
 *  kernel for a write that changes nothing: the removal of a route of a documentation prefix that nobody has. */
export async function mayWrite(kernel: Kernel): Promise<Result<void, AgentError>> {
  const key = { dst: '192.0.2.1/32' as Prefix, table: mainTable, priority: 4_294_967_295 };
  const [outcome] = await kernel.routes.apply([{ op: 'delete', key, protocol: routeProtocols.felix }]);
  if (outcome === undefined || outcome.ok) return ok(undefined);
  if (outcome.error.code === 'RootNamespaceRefused') {
    return err(
      failure(
        'RootNamespaceRefused',
        'This is the root network namespace of the machine, whose routes and rules would be changed.',
        'On a real node start it with --allow-root-namespace; to try things out use `margay lab up`.',
      ),
    );
  }
  return err(
    failure('KernelFailed', `The kernel refuses changes: ${outcome.error.message}`, outcome.error.hint),
  );
}

/** Readers never see half a file. */
export function writeNodeFile(path: string, text: string, mode = 0o644): Result<void, AgentError> {
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.new`, text, { mode });
    renameSync(`${path}.new`, path);
    return ok(undefined);
  } catch (error) {
    return err(
      failure(
        'BadEnvironment',
        `Cannot write ${path}: ${error instanceof Error ? error.message : String(error)}.`,
      ),
    );
  }
}

/** A secret of the node, in a file for root alone. */
export const secretFile = (path: string, logger: Logger): TunnelMemory => ({
  read: () => readNodeFile(path),
  write: (text) => {
    if (text === undefined) return rmSync(path, { force: true });
    const written = writeNodeFile(path, text, 0o600);
    if (!written.ok)
      logger.warn('The keys of WireGuard end with the node', { reason: written.error.message });
  },
});

/** undefined when there is no such file. */
export function readNodeFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
