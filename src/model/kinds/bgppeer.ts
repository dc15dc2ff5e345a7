// BGPPeer: which nodes hold a session with whom.
import { peerValidations } from './expressions.ts';
import { familyOf } from '../../lib/ip/mod.ts';
import { defineKind } from '../kind-definition.ts';
import { array, boolean, duration, integer, object, oneOf, optional, string } from '../schema.ts';
import type { Issue } from '../types.ts';
import { bgpPassword } from './bgp-fields.ts';

export const bgppeer = defineKind({
  kind: 'BGPPeer',
  plural: 'bgppeers',
  shortNames: ['bgpp', 'bgpps'],
  description: 'A BGP session, or many: which nodes peer with whom.',
  fields: {
    spec: object(
      {
        node: optional(string({ format: 'name', description: 'The one node that peers.' })),
        nodeSelector: optional(
          string({
            format: 'selector',
            description: 'The nodes that peer; without node and nodeSelector all do.',
          }),
        ),
        peerIP: optional(
          string({
            format: 'peer-address',
            description: 'The peer: address, address:port or [IPv6 address]:port.',
          }),
        ),
        asNumber: optional(integer({ format: 'as-number', description: 'AS of the peer.' })),
        localASNumber: optional(integer({ format: 'as-number', description: 'Our AS in these sessions.' })),
        peerSelector: optional(string({ format: 'selector', description: 'The nodes to peer with.' })),
        keepOriginalNextHop: optional(
          boolean({
            deprecated: true,
            description: 'Next hops are kept towards eBGP peers; see nextHopMode.',
          }),
        ),
        nextHopMode: optional(
          oneOf(['Auto', 'Self', 'Keep'], {
            description: 'Which next hop announced routes carry. Auto when absent.',
          }),
        ),
        password: optional(bgpPassword),
        sourceAddress: optional(
          oneOf(['UseNodeIP', 'None'], { description: 'Whether sessions start from the node’s address.' }),
        ),
        maxRestartTime: optional(duration({ description: 'Graceful restart time.' })),
        keepaliveTime: optional(duration({ description: 'Time between keepalives.' })),
        numAllowedLocalASNumbers: optional(
          integer({ minimum: 0, description: 'How often our own AS may be in a path that we accept.' }),
        ),
        ttlSecurity: optional(
          integer({
            minimum: 0,
            maximum: 255,
            description: 'Most hops to the peer; packets from farther are dropped.',
          }),
        ),
        reachableBy: optional(string({ format: 'ip', description: 'Gateway that leads to the peer.' })),
        filters: optional(array(string({ format: 'name' }), { description: 'BGPFilters, in order.' })),
        localWorkloadSelector: optional(
          string({ format: 'selector', description: 'The workloads on the node that peer with it.' }),
        ),
        reversePeering: optional(
          oneOf(['Auto', 'Manual'], { description: 'Whether the selected peers peer back by themselves.' }),
        ),
      },
      { validations: peerValidations },
    ),
  },
  rules: [peerIssues],
});

type Spec = {
  readonly node?: string;
  readonly nodeSelector?: string;
  readonly peerIP?: string;
  readonly asNumber?: number;
  readonly peerSelector?: string;
  readonly keepOriginalNextHop?: boolean;
  readonly nextHopMode?: string;
  readonly reachableBy?: string;
  readonly localWorkloadSelector?: string;
};

/** Which fields exclude each other, and which need another. */
function peerIssues({ spec }: { readonly spec: Spec }): readonly Issue[] {
  const { reachableBy, peerIP, localWorkloadSelector, peerSelector } = spec;
  const peerFamily = familyOf((peerIP ?? '').replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1'));
  const tests: readonly (readonly [unknown, keyof Spec, string])[] = [
    [spec.node && spec.nodeSelector, 'node', 'cannot be given together with nodeSelector'],
    [peerIP && peerSelector, 'peerIP', 'cannot be given together with peerSelector'],
    [spec.asNumber && peerSelector, 'asNumber', 'cannot be given with peerSelector: each node has its own'],
    [localWorkloadSelector && !spec.asNumber, 'asNumber', 'must be given with localWorkloadSelector'],
    [localWorkloadSelector && peerIP, 'peerIP', 'cannot be given together with localWorkloadSelector'],
    [
      localWorkloadSelector && peerSelector,
      'peerSelector',
      'cannot be given together with localWorkloadSelector',
    ],
    [reachableBy && !peerIP, 'reachableBy', 'needs peerIP'],
    [
      reachableBy && peerIP && familyOf(reachableBy) !== peerFamily,
      'reachableBy',
      'must be of the family of peerIP',
    ],
    [
      spec.keepOriginalNextHop && spec.nextHopMode,
      'keepOriginalNextHop',
      'is replaced by nextHopMode: give only that',
    ],
  ];
  return tests.flatMap(([isBroken, field, reason]) =>
    isBroken ? [{ field: `spec.${field}`, value: spec[field], reason }] : [],
  );
}
