// BGP over TCP by node:net. One listener per address with a deep backlog: a thousand clients that dial at once must not
// wait for SYN retransmissions.
import { connect, createServer, type Socket } from 'node:net';
import { familyOf } from '../../lib/ip/mod.ts';
import { err, ok } from '../../lib/result.ts';
import { dialSecured, descriptorOf, ListenerSecurity, openListener } from './secured-sockets.ts';
import { passwordProblem, socketOptionsProblem } from './socket-options.ts';
import { dialProblem, isTransient, listenProblem } from './tcp-problems.ts';
import { TcpWire } from './tcp-wire.ts';
import type { Dial, Transport } from './transport.ts';

const backlog = 4096;
export const tcpTransport: Transport = {
  listen: (address, port, onWire, secured = []) =>
    new Promise((resolve) => {
      const sockets = new Set<Socket>();
      const security = new ListenerSecurity(familyOf(address));
      const server = createServer({ noDelay: true }, (socket) => {
        sockets.add(socket);
        socket.once('close', () => sockets.delete(socket));
        const wire = new TcpWire(socket);
        if (security.admits(wire.remoteAddress, socket)) onWire(wire);
        else socket.destroy();
      });
      server.once('error', (error: NodeJS.ErrnoException) => {
        const why = listenProblem(error, address, port);
        resolve(err({ ...why, transient: isTransient(error) }));
      });
      const listening = (): void => {
        security.listener = descriptorOf(server);
        resolve(
          ok({
            close: () => new Promise((closed) => void server.close(() => closed())),
            secure: (peers) => security.secure(peers),
          }),
        );
      };
      if (secured.length === 0 || socketOptionsProblem() !== undefined) {
        server.listen({ host: address, port, backlog, ipv6Only: familyOf(address) === 6 }, listening);
        return;
      }
      // The passwords come first: there is no moment in which a peer gets in without.
      const opened = openListener(address, port, security, secured);
      if (opened.ok) server.listen({ fd: opened.value }, listening);
      else
        resolve(err({ ...listenProblem(opened.error, address, port), transient: isTransient(opened.error) }));
    }),

  dial: (options, onWire, onFailure): Dial => {
    const { remote, port, source, security } = options;
    if (security !== undefined) return dialSecured(options, security, onWire, onFailure);
    const socket = connect({
      host: remote,
      port,
      family: familyOf(remote),
      noDelay: true,
      ...(source === undefined ? {} : { localAddress: source }),
    });
    const failed = (error: NodeJS.ErrnoException): void => onFailure(dialProblem(error, source));
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      onWire(new TcpWire(socket));
    });
    return { cancel: () => void socket.removeAllListeners().on('error', ignore).destroy() };
  },

  refuses: (security) => {
    const why = socketOptionsProblem() ?? passwordProblem(security);
    if (why === undefined) return undefined;
    return `the session asks for ${security.password === undefined ? 'TTL security (GTSM)' : 'a password (TCP MD5)'}, but ${why}`;
  },
};

const ignore = (): void => {};
