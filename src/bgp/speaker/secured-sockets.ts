// Sockets of sessions with a password or a TTL rule: made by hand, because the options must be there before the first
// packet, and then handed to Node.
import { Socket, type Server } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { familyOf, type Address, type Family } from '../../lib/ip/mod.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { DownReason } from '../fsm/mod.ts';
import { closeDescriptor, socketOptions, socketOptionsProblem } from './socket-options.ts';
import { dialProblem } from './tcp-problems.ts';
import { TcpWire } from './tcp-wire.ts';
import type { Dial, DialOptions, SecuredPeer, Wire } from './transport.ts';
import type { SessionSecurity } from './types.ts';

const inProgress = 115;
const noMemory = 12;
const backlog = 4096;
/** Between two looks at a connection that is being made. */
const lookEveryMs = 10;

/** Node keeps the descriptor to itself; there is no other way to reach it. */
export const descriptorOf = (of: Server | Socket): number | undefined =>
  (of as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd;

function systemError(errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(code), { code, errno });
}

export function dialSecured(
  { remote, port, source }: DialOptions,
  security: SessionSecurity,
  onWire: (wire: Wire) => void,
  onFailure: (reason: DownReason) => void,
): Dial {
  const options = socketOptions();
  const family = familyOf(remote);
  const fd = options.open(family);
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const fail = (errno: number): void => {
    isOver = true;
    if (fd >= 0) closeDescriptor(fd);
    onFailure(dialProblem(systemError(errno), source));
  };
  const look = (): void => {
    const progress = options.progress(fd);
    if (progress === 'connecting') timer = setTimeout(look, lookEveryMs);
    else if (progress === 'connected') {
      isOver = true;
      const socket = new Socket({ fd, readable: true, writable: true });
      socket.setNoDelay(true);
      onWire(new TcpWire(socket));
    } else fail(progress.errno);
  };
  // Always later: the caller gets its Dial first.
  timer = setTimeout(() => {
    const { password, ttlHops } = security;
    const errno =
      (fd < 0 ? -fd : 0) ||
      (password === undefined ? 0 : options.setPassword(fd, remote, password)) ||
      (ttlHops === undefined ? 0 : options.setHops(fd, family, ttlHops)) ||
      (source === undefined ? 0 : options.bind(fd, source, 0)) ||
      options.connect(fd, remote, port);
    if (errno === 0 || errno === inProgress) look();
    else fail(errno);
  }, 0);
  return {
    cancel: () => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      if (fd >= 0) closeDescriptor(fd);
    },
  };
}

/** A listening descriptor that knows its peers' passwords from the start. */
export function openListener(
  address: Address,
  port: number,
  security: ListenerSecurity,
  secured: readonly SecuredPeer[],
): Result<number, NodeJS.ErrnoException> {
  const options = socketOptions();
  const family = familyOf(address);
  const fd = options.open(family);
  if (fd < 0) return err(systemError(-fd));
  security.listener = fd;
  security.secure(secured);
  const errno =
    options.setReusable(fd, family) || options.bind(fd, address, port) || options.listen(fd, backlog);
  if (errno === 0) return ok(fd);
  closeDescriptor(fd);
  return err(systemError(errno));
}

/** Passwords and TTL rules of one listening socket. */
export class ListenerSecurity {
  readonly #family: Family;
  #peers = new Map<Address, SessionSecurity>();
  listener: number | undefined;

  constructor(family: Family) {
    this.#family = family;
  }

  /** Sets what differs from before; says what the kernel refuses. */
  secure(peers: readonly SecuredPeer[]): string | undefined {
    const next = new Map(
      peers.filter((p) => familyOf(p.address) === this.#family).map((p) => [p.address, p.security]),
    );
    if (next.size === 0 && this.#peers.size === 0) return undefined;
    const problem = socketOptionsProblem();
    const fd = this.listener;
    if (problem !== undefined || fd === undefined) return problem;
    const options = socketOptions();
    let failed: string | undefined;
    for (const [address, { password }] of this.#peers)
      if (password !== undefined && next.get(address)?.password === undefined)
        options.setPassword(fd, address, undefined);
    for (const [address, { password }] of next) {
      if (password === undefined || this.#peers.get(address)?.password === password) continue;
      const errno = options.setPassword(fd, address, password);
      if (errno !== 0)
        failed ??=
          errno === noMemory
            ? `there is no room for the password of ${address}: raise net.core.optmem_max`
            : `the password of ${address} cannot be set: ${getSystemErrorName(-errno)}`;
    }
    if ([...next.values()].some((s) => s.ttlHops !== undefined)) options.setGreatestTtl(fd, this.#family);
    this.#peers = next;
    return failed;
  }

  /** Puts the TTL rule on a connection that came in; false when that is impossible. */
  admits(remote: Address, socket: Socket): boolean {
    const hops = this.#peers.get(remote)?.ttlHops;
    if (hops === undefined) return true;
    const fd = descriptorOf(socket);
    return fd !== undefined && socketOptions().setHops(fd, this.#family, hops) === 0;
  }
}
