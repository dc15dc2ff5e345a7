// Public face of the BGP codec: messages between bytes and plain data. Pure: no sockets, no sessions, no tables.
export * from './types.ts';
export { describeNotification, notification, notificationCode, subcode } from './errors.ts';
export {
  decodeNotification,
  decodeRouteRefresh,
  encodeKeepalive,
  encodeNotification,
  encodeRouteRefresh,
  frameLength,
  headerProblem,
  messageTypeAt,
  writeHeader,
} from './header.ts';
export { capabilityCode, decodeOpen, encodeOpen, openAsn } from './open.ts';
export {
  decodeNlri,
  encodeNlri,
  nlriSize,
  prefixFromWords,
  walkNlri,
  wordsOfPrefix,
  writeNlri,
} from './nlri.ts';
export {
  asPathLength,
  decodeAsPath,
  encodeAsPath,
  formatAsPath,
  mergeAs4Path,
  needsAs4Path,
} from './as-path.ts';
export {
  attributeDescriptor,
  attributeName,
  attributeTable,
  type AttributeDescriptor,
  type LengthRule,
} from './attribute-table.ts';
export {
  announcedNlri,
  announcedParts,
  forEachAnnounced,
  forEachWithdrawn,
  forEachWithdrawnRange,
  parseUpdate,
  partFamily,
} from './update.ts';
export { attributeBytes, decodeAttributes, encodeAttributes, splitAttributes } from './attributes.ts';
export { encodeEndOfRib, encodeUpdates, UpdateBuilder, type UpdateContent } from './update-builder.ts';
export {
  describeAttributes,
  describeMessage,
  familyName,
  type AttributesDescription,
  type MessageDescription,
  type RouteDescription,
} from './describe.ts';
