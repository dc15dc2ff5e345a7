// Generic netlink: families have names, and numbers that the kernel gives when their module is loaded. Pure.
//
//   genlmsghdr  command u8 · version u8 · reserved u16, then the attributes
import { attributes, type MessageHeader, type MessageWriter } from './message.ts';

export const NETLINK_GENERIC = 16;
export const genericHeaderLength = 4;
/** The family that tells of the others. */
export const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_CMD_NEWFAMILY = 1;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;

export const genericHeader = (w: MessageWriter, command: number, version: number): MessageWriter =>
  w.u8(command).u8(version).u16(0);

export function encodeFamilyLookup(w: MessageWriter, name: string): void {
  genericHeader(w, CTRL_CMD_GETFAMILY, 1).attributeString(CTRL_ATTR_FAMILY_NAME, name);
}

/** The number of the family, which is the type of its messages. */
export function decodeFamily(view: DataView, message: MessageHeader): number | undefined {
  if (message.type !== GENL_ID_CTRL || view.getUint8(message.start) !== CTRL_CMD_NEWFAMILY) return undefined;
  let id: number | undefined;
  attributes(view, message.start + genericHeaderLength, message.end, (type, offset) => {
    if (type === CTRL_ATTR_FAMILY_ID) id = view.getUint16(offset, true);
  });
  return id;
}
