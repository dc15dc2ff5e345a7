// Deleting links. RTM_DELLINK ends with a wait for the kernel's RCU grace period, 17 to 29 ms for each message, inside the
// system call. So it never runs on the main thread (libuv's pool calls `send`), and many links of one call are put into
// a device group and deleted by one message.
import { err, type Result } from '../../lib/result.ts';
import { errno, kernelError, rootNamespaceRefused } from '../errors.ts';
import { ffi } from '../ffi.ts';
import * as c from '../netlink/constants.ts';
import {
  decodeLink,
  encodeGroupDelete,
  encodeLinkChange,
  encodeLinkDelete,
  encodeLinkDump,
} from '../netlink/links.ts';
import { headerLength, messages, MessageWriter, type MessageHeader } from '../netlink/message.ts';
import { NetlinkSocket } from '../netlink/socket.ts';
import type { KernelError, Link, Outcome } from '../types.ts';
import { done, type KernelSession } from './session.ts';

/** From this many on, one group delete is cheaper than single ones. */
const groupFrom = 3;
/** Device groups of our deletes; everything else in the system uses small numbers. */
const firstGroup = 0x6d670000;
let nextGroup = 0;

export async function deleteLinks(session: KernelSession, indexes: readonly number[]): Promise<Outcome[]> {
  if (session.writesRefused) return indexes.map(() => err(rootNamespaceRefused()));
  if (indexes.length >= groupFrom) {
    const grouped = await deleteGrouped(session, indexes);
    if (grouped !== undefined) return grouped;
  }
  const outcomes: Outcome[] = [];
  for (const index of indexes) {
    const number = await sendOffThread(session, (w) => encodeLinkDelete(w, index));
    outcomes.push(
      number === 0 || number === errno.ENODEV ? done : err(kernelError(`delete link ${index}`, number)),
    );
  }
  return outcomes;
}

/** undefined when the kernel would not delete the group as a whole: then each link is deleted on its own. */
async function deleteGrouped(
  session: KernelSession,
  indexes: readonly number[],
): Promise<Outcome[] | undefined> {
  const group = firstGroup + (process.pid & 0xff) * 0x100 + (nextGroup++ & 0xff);
  const listed = await listLinks(session);
  if (!listed.ok || listed.value.some((link) => link.group === group)) return undefined;
  const former = new Map(listed.value.map((link) => [link.index, link.group]));
  const marked = await session.apply(
    indexes,
    (index, w) => {
      encodeLinkChange(w, index, { group });
      return undefined;
    },
    (index) => ({
      type: c.RTM_SETLINK,
      flags: 0,
      forgiven: [errno.ENODEV],
      describe: () => `delete link ${index}`,
    }),
  );
  const number = await sendOffThread(session, (w) => encodeGroupDelete(w, group));
  if (number === 0 || number === errno.ENODEV) return marked;
  await session.apply(
    indexes.filter((index) => former.has(index)),
    (index, w) => {
      encodeLinkChange(w, index, { group: former.get(index) ?? 0 });
      return undefined;
    },
    (index) => ({ type: c.RTM_SETLINK, flags: 0, describe: () => `restore the group of link ${index}` }),
  );
  return undefined;
}

const listLinks = (session: KernelSession): Promise<Result<Link[], KernelError>> =>
  session.dump('list links', c.RTM_GETLINK, encodeLinkDump, (view: DataView, message: MessageHeader) =>
    decodeLink(view, message),
  );

/** One RTM_DELLINK on a socket of its own; gives the errno, 0 for success. */
async function sendOffThread(session: KernelSession, body: (w: MessageWriter) => void): Promise<number> {
  const system = ffi();
  const socket = NetlinkSocket.open(c.NETLINK_ROUTE, session.namespace.fd);
  try {
    const w = new MessageWriter(256).message(c.RTM_DELLINK, c.NLM_F_REQUEST | c.NLM_F_ACK, 1);
    body(w);
    const bytes = w.end().bytes;
    const sent = await system.sendAsync(socket.fd, bytes, bytes.length, 0);
    if (sent.value < 0) return sent.errno;
    const receive = new Uint8Array(4096);
    const length = system.recv(socket.fd, receive, c.MSG_DONTWAIT);
    if (length < 0) return system.errno();
    const view = new DataView(receive.buffer);
    for (const message of messages(view, length))
      if (message.type === c.NLMSG_ERROR && message.end >= message.start + 4 + headerLength)
        return -view.getInt32(message.start, true);
    return errno.EINVAL;
  } finally {
    socket.close();
  }
}
