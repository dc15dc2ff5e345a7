// Frames sent past the network stack, by a packet socket.
//
//   sockaddr_ll   family u16 · protocol u16 (network order) · index s32 · hardware type u16 · packet type u8 · length u8 · address
import { err, ok } from '../../lib/result.ts';
import { invalid, kernelError, rootNamespaceRefused } from '../errors.ts';
import { ffi } from '../ffi.ts';
import { withNamespace } from '../namespace.ts';
import { AF_PACKET, MSG_DONTWAIT, SOCK_RAW_CLOEXEC } from '../netlink/constants.ts';
import type { Frames } from '../types.ts';
import type { KernelSession } from './session.ts';

const ethernetHeaderBytes = 14;
const socketAddressBytes = 20;

export function realFrames(session: KernelSession): Frames {
  return {
    send: async (linkIndex, frame) => {
      if (session.writesRefused) return err(rootNamespaceRefused());
      if (frame.length < ethernetHeaderBytes) return invalid(`${frame.length} bytes are no frame.`);
      const what = `send a frame by link ${linkIndex}`;
      const system = ffi();
      // Protocol 0: nothing is received by it.
      const fd = withNamespace(session.namespace.fd, () => system.socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0));
      if (fd < 0) return err(kernelError(what, system.errno()));
      try {
        const address = new Uint8Array(socketAddressBytes);
        const view = new DataView(address.buffer);
        view.setUint16(0, AF_PACKET, true);
        view.setInt32(4, linkIndex, true);
        const failed = system.bind(fd, address) < 0 || system.send(fd, frame, frame.length, MSG_DONTWAIT) < 0;
        return failed ? err(kernelError(what, system.errno())) : ok(undefined);
      } finally {
        system.close(fd);
      }
    },
  };
}
