// WireGuard devices of the real kernel, and of wireguard-go where the kernel has none. Either is a link that is deleted as
// others are: the program ends with its device. It is started in the kernel's namespace, lives on when we end, and is found
// again by its socket.
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import { delimiter, join } from 'node:path';
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, invalid, kernelError, rootNamespaceRefused } from '../errors.ts';
import { withNamespace } from '../namespace.ts';
import { NLM_F_CREATE, NLM_F_EXCL, RTM_NEWLINK } from '../netlink/constants.ts';
import { decodeFamily, encodeFamilyLookup, GENL_ID_CTRL, NETLINK_GENERIC } from '../netlink/generic.ts';
import { encodeLinkCreate, isLinkName } from '../netlink/links.ts';
import {
  decodeDevicePart,
  encodeDeviceChange,
  encodeDeviceDump,
  joinDeviceParts,
  wireguardFamily,
} from '../netlink/wireguard.ts';
import type { KernelError, Links, Outcome } from '../types.ts';
import { isNoKey, keyToBytes } from '../wireguard/keys.ts';
import type { WireGuardChange, WireGuardDevice, WireGuardDriver, WireGuards } from '../wireguard/types.ts';
import { parseUapi, uapiErrno, uapiGet, uapiSet } from '../wireguard/uapi.ts';
import { done, type KernelSession } from './session.ts';

/** The program, and where it listens: the folder is built into it. */
const program = 'wireguard-go';
const socketPath = (name: string): string => `/var/run/wireguard/${name}.sock`;
const tunDevice = '/dev/net/tun';
const answerMs = 5_000;
const startMs = 10_000;

export function realWireGuards(session: KernelSession, links: Links): WireGuards {
  let family: number | undefined;

  /** The number of the kernel's family; asking loads its module. */
  const familyNumber = (): number | undefined => {
    if (family !== undefined) return family;
    session.socket(NETLINK_GENERIC).request(
      GENL_ID_CTRL,
      0,
      (w) => encodeFamilyLookup(w, wireguardFamily),
      (view, message) => {
        family ??= decodeFamily(view, message);
      },
    );
    return family;
  };

  const driver = (): Result<WireGuardDriver, KernelError> => {
    if (familyNumber() !== undefined) return ok('kernel');
    const missing = [
      ...(findProgram() === undefined ? [`the program ${program} (Debian: apt-get install ${program})`] : []),
      ...(existsSync(tunDevice) ? [] : [`the device ${tunDevice} (CONFIG_TUN)`]),
    ];
    if (missing.length === 0) return ok('userspace');
    return err({
      code: 'NotSupported',
      message: `There is no WireGuard: the kernel has no module wireguard (CONFIG_WIREGUARD), and in its place ${missing.join(' and ')} would be needed.`,
    });
  };

  const create = async (name: string, mtu: number): Promise<Result<WireGuardDriver, KernelError>> => {
    if (session.writesRefused) return err(rootNamespaceRefused());
    if (!isLinkName(name)) return invalid(`"${name}" cannot be the name of a link.`);
    const kind = driver();
    if (!kind.ok) return kind;
    const made =
      kind.value === 'kernel'
        ? outcomeOf(
            `create wireguard ${name}`,
            session.request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, (w) =>
              encodeLinkCreate(w, { kind: 'wireguard', name, mtu }),
            ),
          )
        : await startProgram(session, links, name, mtu);
    return made.ok ? kind : made;
  };

  const read = async (name: string): Promise<Result<WireGuardDevice | undefined, KernelError>> => {
    const link = await links.get(name);
    if (!link.ok) return link;
    if (link.value?.kind === 'tun') {
      const answer = await ask(name, uapiGet);
      // Nobody serves the device.
      return ok(answer.ok ? parseUapi(name, answer.value) : undefined);
    }
    const type = link.value?.kind === 'wireguard' ? familyNumber() : undefined;
    if (type === undefined) return ok(undefined);
    const parts = await session.dump(
      `read wireguard ${name}`,
      type,
      (w) => encodeDeviceDump(w, name),
      decodeDevicePart,
      { protocol: NETLINK_GENERIC },
    );
    if (!parts.ok) return parts.error.code === 'NoSuchObject' ? ok(undefined) : parts;
    const device = joinDeviceParts(parts.value);
    if (device?.privateKey === undefined || !isNoKey(device.privateKey)) return ok(device);
    const { privateKey: _none, ...rest } = device;
    return ok(rest);
  };

  const configure = async (name: string, change: WireGuardChange): Promise<Outcome> => {
    if (session.writesRefused) return err(rootNamespaceRefused());
    const bad = badKey(change);
    if (bad !== undefined) return invalid(`"${bad}" is not a key: 32 bytes in base64.`);
    const what = `configure wireguard ${name}`;
    const link = await links.get(name);
    if (!link.ok) return link;
    if (link.value?.kind === 'tun') {
      const answer = await ask(name, uapiSet(change));
      if (!answer.ok) return answer;
      const number = uapiErrno(answer.value) ?? errno.EIO;
      return number === 0 ? done : err(kernelError(what, number, `${program} refuses it`));
    }
    const type = link.value?.kind === 'wireguard' ? familyNumber() : undefined;
    if (type === undefined) return err(kernelError(what, errno.ENODEV));
    for (const write of encodeDeviceChange(name, change)) {
      const changed = outcomeOf(what, session.socket(NETLINK_GENERIC).request(type, 0, write));
      if (!changed.ok) return changed;
    }
    return done;
  };

  return { driver: async () => driver(), create, read, configure };
}

const outcomeOf = (what: string, answer: { readonly errno: number; readonly text?: string }): Outcome =>
  answer.errno === 0 ? done : err(kernelError(what, answer.errno, answer.text));

const badKey = ({ privateKey, peers = [] }: WireGuardChange): string | undefined =>
  [...(privateKey === undefined ? [] : [privateKey]), ...peers.map((peer) => peer.publicKey)].find(
    (key) => keyToBytes(key) === undefined,
  );

function findProgram(): string | undefined {
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/bin',
    '/usr/local/bin',
  ];
  return folders
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, program))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** The program puts itself into the background when its device is made; then it answers. */
async function startProgram(
  session: KernelSession,
  links: Links,
  name: string,
  mtu: number,
): Promise<Outcome> {
  const what = `start ${program} ${name}`;
  const path = findProgram();
  if (path === undefined) return err(kernelError(what, errno.ENOENT));
  const started = withNamespace(session.namespace.fd, () =>
    spawn(path, [name], {
      // Its own session: it stays when we are told to end, as routes and rules do.
      detached: true,
      stdio: 'ignore',
      env: { ...process.env, LOG_LEVEL: 'silent' },
    }),
  );
  const code = await new Promise<number>((resolve) => {
    const late = setTimeout(() => started.kill('SIGKILL'), startMs);
    const end = (value: number): void => {
      clearTimeout(late);
      resolve(value);
    };
    started.once('error', () => end(127));
    started.once('exit', (value) => end(value ?? 128));
  });
  if (code !== 0) return err(kernelError(what, errno.EIO, `it ended with ${code}`));
  for (const giveUpAt = performance.now() + startMs; ; ) {
    const answer = await ask(name, uapiGet);
    if (answer.ok) break;
    if (performance.now() > giveUpAt) return answer;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const link = await links.get(name);
  if (!link.ok) return link;
  if (link.value === undefined) return err(kernelError(what, errno.ENODEV));
  return links.change(link.value.index, { mtu });
}

/** One request and its answer. */
function ask(name: string, request: string): Promise<Result<string, KernelError>> {
  return new Promise((resolve) => {
    let text = '';
    const socket = createConnection(socketPath(name), () => socket.write(request));
    const end = (result: Result<string, KernelError>): void => {
      socket.destroy();
      resolve(result);
    };
    const silent = (why: string): void =>
      end(err(kernelError(`ask ${program} for ${name}`, errno.ENODEV, why)));
    socket.setTimeout(answerMs, () => silent('it does not answer'));
    socket.setEncoding('utf8');
    socket.on('error', (error) => silent(error.message));
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.endsWith('\n\n') && uapiErrno(text) !== undefined) end(ok(text));
    });
    socket.on('end', () => silent('it closed the connection'));
  });
}
