// Public face of the kernel module. See docs/kernel.md.
export type * from './types.ts';
export type * from './wireguard/types.ts';
export { newPrivateKey, publicKeyOf } from './wireguard/keys.ts';
export { bucketHandle, mainTable, routeProtocols } from './types.ts';
export {
  Assembler,
  helpers,
  type Comparison,
  type Operand,
  type Register,
  type Width,
} from './bpf/assembler.ts';
export { FakeHost, type FakeFault } from './fake.ts';
export { sameBucket } from './netlink/qdiscs.ts';
export { nftProtocolName } from './nftables/data-types.ts';
export { namedNamespacePath } from './named.ts';
export { openKernel } from './open.ts';
export {
  createNamedNamespace,
  deleteNamedNamespace,
  openNamespace,
  withNamespace,
  type Namespace,
} from './namespace.ts';
