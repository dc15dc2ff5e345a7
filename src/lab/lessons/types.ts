// A lesson as data: what is configured, what to look at, and what a packet met on its way.
import type { ModeName } from '../modes.ts';
import type { DesignName } from '../topology/mod.ts';

export type Encapsulation = 'none' | 'ipip' | 'vxlan' | 'wireguard';

export type Lesson = {
  readonly name: string;
  readonly title: string;
  /** Sentences before the walk. */
  readonly introduction: readonly string[];
  readonly design: DesignName;
  readonly mode: ModeName;
  /** Whether nodes tell the leaves of their blocks. */
  readonly leafPeers: boolean;
  /** WireGuard is switched on. */
  readonly encrypts?: true;
  /** What the walk is expected to show, to a node of the same rack and to one of the other. */
  readonly expect: Readonly<
    Record<Way, { readonly reached: boolean; readonly encapsulation: Encapsulation }>
  >;
  /** What to see in the tables. */
  readonly remarks: readonly string[];
  readonly question: string;
  readonly answer: string;
};

/** The ping to a pod of the same rack, and to one of another rack. */
export type Way = 'near' | 'far';
export const ways: readonly Way[] = ['near', 'far'];

/** A frame as a packet socket gave it. */
export type RawFrame = {
  readonly machine: string;
  readonly device: string;
  readonly direction: 'in' | 'out';
  /** Nanoseconds of the kernel's clock, as text: more than a number holds. */
  readonly at: string;
  /** Whether the frame begins with an Ethernet header; else with the IP header. */
  readonly ethernet: boolean;
  /** The first bytes, as hexadecimal text. */
  readonly bytes: string;
};

export type Macs = { readonly source: string; readonly destination: string };
export type Addresses = { readonly source: string; readonly destination: string; readonly ttl: number };

/** What of a frame is shown. */
export type Sighting = {
  readonly machine: string;
  readonly device: string;
  readonly direction: 'in' | 'out';
  readonly macs?: Macs;
  /** Present when the packet travels inside of another. */
  readonly outer?: Addresses & { readonly how: Exclude<Encapsulation, 'none'>; readonly vni?: number };
  /** MAC addresses inside of VXLAN. */
  readonly innerMacs?: Macs;
  /** Absent when nobody can see it: it is encrypted. */
  readonly inner?: Addresses;
  readonly kind: 'request' | 'reply' | 'unreachable';
};

/** The entry of a machine's table that a packet matched. */
export type RouteMatch = { readonly machine: string; readonly destination: string; readonly route: string };

export type Walk = {
  readonly way: Way;
  readonly from: { readonly pod: string; readonly node: string; readonly address: string };
  readonly to: { readonly pod: string; readonly node: string; readonly address: string };
  readonly reached: boolean;
  /** What ping said. */
  readonly ping: string;
  /** Of the request, then of the answer, in order of time. */
  readonly sightings: readonly Sighting[];
  readonly routes: readonly RouteMatch[];
};

export type LessonReport = {
  readonly lesson: Lesson;
  /** What was changed, as resources. */
  readonly resources: string;
  readonly sessions: readonly (readonly string[])[];
  readonly walks: readonly Walk[];
  /** Where the walk was not what the lesson says, in sentences. */
  readonly problems: readonly string[];
};
