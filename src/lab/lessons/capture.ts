// `margay lab capture`: runs inside of the lab and listens to all devices of several machines and pods at once, until its
// standard input ends; then prints what it saw as one line of JSON.
import { openKernel } from '../../kernel/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import { openPacketSocket, type Frame, type PacketSocket } from './packet-sockets.ts';
import type { RawFrame } from './types.ts';

export type CapturePlace = {
  readonly machine: string;
  /** The file of the network namespace, as process 1 of the lab sees it. */
  readonly namespace: string;
};

const pollMs = 2;
const frameLimit = 20_000;

export async function runCapture(places: readonly CapturePlace[]): Promise<Result<void, Failure>> {
  const open: { readonly place: CapturePlace; readonly socket: PacketSocket; readonly frames: Frame[] }[] =
    [];
  for (const place of places) {
    const socket = await openPacketSocket(place.namespace);
    if (!socket.ok) return socket;
    open.push({ place, socket: socket.value, frames: [] });
  }
  const drain = (): void => {
    for (const { socket, frames } of open)
      for (let f = socket.next(); f !== undefined; f = socket.next())
        if (frames.length < frameLimit) frames.push(f);
  };
  const timer = setInterval(drain, pollMs);
  process.stdout.write('ready\n');
  await new Promise<void>((resolve) => process.stdin.on('end', resolve).resume());
  clearInterval(timer);
  drain();
  const found: RawFrame[] = [];
  for (const { place, socket, frames } of open) {
    socket.close();
    const names = await linkNames(place.namespace);
    if (!names.ok) return names;
    for (const frame of frames)
      found.push({
        machine: place.machine,
        device: names.value.get(frame.linkIndex) ?? `link ${frame.linkIndex}`,
        direction: frame.direction,
        at: String(frame.at),
        ethernet: frame.ethernet,
        bytes: Buffer.from(frame.bytes).toString('hex'),
      });
  }
  process.stdout.write(`${JSON.stringify(found)}\n`);
  return ok(undefined);
}

async function linkNames(namespace: string): Promise<Result<ReadonlyMap<number, string>, Failure>> {
  const kernel = await openKernel({ netns: namespace });
  if (!kernel.ok) return err(failure('NoKernel', kernel.error.message));
  const links = await kernel.value.links.list();
  await kernel.value.close();
  return links.ok ? ok(new Map(links.value.map((l) => [l.index, l.name]))) : err(links.error);
}
