// WireGuard devices as data: what one is set to, what it tells, and the one face over the kernel's own devices, those of the
// program wireguard-go, and the fake.
import type { Address, Prefix } from '../../lib/ip/mod.ts';
import type { Result } from '../../lib/result.ts';
import type { KernelError, Outcome } from '../types.ts';

/** 32 bytes in base64, as `wg` writes them. */
export type WireGuardKey = string;

/** `kernel`: a link of the kind wireguard. `userspace`: a TUN device that wireguard-go serves. */
export type WireGuardDriver = 'kernel' | 'userspace';

export type WireGuardEndpoint = { readonly address: Address; readonly port: number };

export type WireGuardPeer = {
  readonly publicKey: WireGuardKey;
  readonly endpoint?: WireGuardEndpoint;
  /** 0: none. */
  readonly keepaliveSeconds: number;
  /** What may come from the peer, and goes to it. One prefix belongs to one peer: the last that was given it. Sorted. */
  readonly allowed: readonly Prefix[];
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** Seconds since 1970; 0: never. */
  readonly lastHandshake: number;
};

export type WireGuardDevice = {
  readonly name: string;
  readonly driver: WireGuardDriver;
  /** Absent while it has none. */
  readonly privateKey?: WireGuardKey;
  readonly port: number;
  /** Of the packets it sends; 0: none. */
  readonly mark: number;
  readonly peers: readonly WireGuardPeer[];
};

export type WireGuardPeerChange =
  | { readonly op: 'remove'; readonly publicKey: WireGuardKey }
  /** `allowed` replaces what the peer had. */
  | {
      readonly op: 'put';
      readonly publicKey: WireGuardKey;
      readonly endpoint?: WireGuardEndpoint;
      readonly keepaliveSeconds?: number;
      readonly allowed?: readonly Prefix[];
    };

/** What is absent stays as it is. */
export type WireGuardChange = {
  readonly privateKey?: WireGuardKey;
  readonly port?: number;
  readonly mark?: number;
  readonly peers?: readonly WireGuardPeerChange[];
};

export interface WireGuards {
  /** Which driver a new device would have here; NotSupported, with what is missing, where there is none. */
  driver(): Promise<Result<WireGuardDriver, KernelError>>;
  /** Makes a device without key and peers, down. Deleting its link ends it, whichever driver it has. */
  create(name: string, mtu: number): Promise<Result<WireGuardDriver, KernelError>>;
  /** undefined: no such device, or one that answers to nobody. */
  read(name: string): Promise<Result<WireGuardDevice | undefined, KernelError>>;
  configure(name: string, change: WireGuardChange): Promise<Outcome>;
}
