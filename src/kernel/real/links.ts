// Links of the real kernel.
import { openSync } from 'node:fs';
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, invalid, kernelError, rootNamespaceRefused, systemError } from '../errors.ts';
import { ffi } from '../ffi.ts';
import { withNamespace } from '../namespace.ts';
import * as c from '../netlink/constants.ts';
import {
  decodeLink,
  encodeLinkChange,
  encodeLinkCreate,
  encodeLinkDump,
  encodeLinkGet,
  isLinkName,
} from '../netlink/links.ts';
import { macToBytes } from '../netlink/message.ts';
import type { KernelError, Link, LinkChange, Links, LinkSpec, Outcome } from '../types.ts';
import { deleteLinks } from './link-deletion.ts';
import { done, type KernelSession } from './session.ts';

const missingLink = [errno.ENODEV, errno.ENXIO];

export function realLinks(session: KernelSession): Links {
  const get = (name: string): Result<Link | undefined, KernelError> => {
    if (!isLinkName(name)) return ok(undefined);
    let link: Link | undefined;
    const answer = session.request(
      c.RTM_GETLINK,
      0,
      (w) => encodeLinkGet(w, name),
      (view, message) => {
        link ??= decodeLink(view, message);
      },
    );
    if (answer.errno !== 0 && !(missingLink as number[]).includes(answer.errno))
      return err(kernelError(`read link ${name}`, answer.errno, answer.text));
    return ok(link);
  };

  const change = (index: number, wanted: LinkChange): Outcome => {
    if (session.writesRefused) return err(rootNamespaceRefused());
    const bad = problemOf(wanted.name, wanted.mac);
    if (bad !== undefined) return bad;
    return session.withTarget(wanted.netns, (fd) => {
      const answer = session.request(c.RTM_SETLINK, 0, (w) => encodeLinkChange(w, index, wanted, fd));
      return answer.errno === 0 ? done : err(kernelError(`change link ${index}`, answer.errno, answer.text));
    });
  };

  const make = (spec: LinkSpec): Outcome => {
    const peerNamespace = spec.kind === 'veth' ? spec.peer.netns : undefined;
    return session.withTarget(peerNamespace, (fd) => {
      const answer = session.request(c.RTM_NEWLINK, c.NLM_F_CREATE | c.NLM_F_EXCL, (w) =>
        encodeLinkCreate(w, spec, fd),
      );
      return answer.errno === 0
        ? done
        : err(kernelError(`create ${spec.kind} ${spec.name}`, answer.errno, answer.text));
    });
  };

  return {
    list: () =>
      session.dump('list links', c.RTM_GETLINK, encodeLinkDump, (view, message) => decodeLink(view, message)),
    get: async (name) => get(name),
    change: async (index, wanted) => change(index, wanted),
    create: async (spec) => {
      if (session.writesRefused) return err(rootNamespaceRefused());
      const bad =
        problemOf(spec.name, spec.mac) ??
        (spec.kind === 'veth' ? problemOf(spec.peer.name, spec.peer.mac) : undefined);
      if (bad !== undefined) return bad;
      const made = spec.kind === 'tun' ? createTun(session, spec, get, change) : make(spec);
      if (!made.ok) return made;
      const created = get(spec.name);
      if (!created.ok) return created;
      return created.value === undefined
        ? err(kernelError(`find the new link ${spec.name}`, errno.ENODEV))
        : ok(created.value);
    },
    delete: (indexes) => deleteLinks(session, indexes),
  };
}

function problemOf(name: string | undefined, mac: string | undefined) {
  if (name !== undefined && !isLinkName(name))
    return invalid(`"${name}" cannot be the name of a link: 1 to 15 bytes, no slash, colon or space.`);
  if (mac !== undefined && macToBytes(mac) === undefined) return invalid(`"${mac}" is not a MAC address.`);
  return undefined;
}

/** Netlink cannot create TUN devices: they come from /dev/net/tun, opened inside the namespace, and are made to stay. */
function createTun(
  session: KernelSession,
  spec: LinkSpec,
  get: (name: string) => Result<Link | undefined, KernelError>,
  change: (index: number, wanted: LinkChange) => Outcome,
): Outcome {
  const TUNSETIFF = 0x400454ca;
  const TUNSETPERSIST = 0x400454cb;
  const IFF_TUN = 0x0001;
  const IFF_NO_PI = 0x1000;
  const what = `create tun ${spec.name}`;
  // TUNSETIFF would attach to an existing device of that name.
  const present = get(spec.name);
  if (!present.ok) return present;
  if (present.value !== undefined) return err(kernelError(what, errno.EEXIST));
  let fd: number;
  try {
    fd = withNamespace(session.namespace.fd, () => openSync('/dev/net/tun', 'r+'));
  } catch (error) {
    return err(systemError(`${what}: open /dev/net/tun`, error));
  }
  const system = ffi();
  try {
    const ifreq = new Uint8Array(40);
    ifreq.set(new TextEncoder().encode(spec.name));
    new DataView(ifreq.buffer).setUint16(16, IFF_TUN | IFF_NO_PI, true);
    if (system.ioctl(fd, TUNSETIFF, ifreq) < 0 || system.ioctl(fd, TUNSETPERSIST, 1) < 0)
      return err(kernelError(what, system.errno()));
  } finally {
    system.close(fd);
  }
  const created = get(spec.name);
  if (!created.ok) return created;
  if (created.value === undefined) return err(kernelError(what, errno.ENODEV));
  const { mtu, group, up } = spec;
  return change(created.value.index, {
    ...(mtu === undefined ? {} : { mtu }),
    ...(group === undefined ? {} : { group }),
    ...(up === undefined ? {} : { up }),
  });
}
