// CalicoNodeStatus: a question to one node; the node writes the answer into status.
import { defineKind } from '../kind-definition.ts';
import { array, integer, nullable, object, oneOf, optional, string } from '../schema.ts';

const text = () => optional(string());
const daemon = optional(
  object({
    state: optional(oneOf(['Ready', 'NotReady'])),
    version: text(),
    routerID: text(),
    lastBootTime: text(),
    lastReconfigurationTime: text(),
  }),
);
const peers = optional(
  array(
    object({
      peerIP: text(),
      type: optional(oneOf(['NodeMesh', 'NodePeer', 'GlobalPeer'])),
      state: optional(
        oneOf(['Idle', 'Connect', 'Active', 'OpenSent', 'OpenConfirm', 'Established', 'Close']),
      ),
      since: text(),
    }),
  ),
);
const routes = optional(
  array(
    object({
      type: optional(oneOf(['FIB', 'RIB'])),
      destination: text(),
      gateway: text(),
      interface: text(),
      learnedFrom: optional(
        object({
          sourceType: optional(oneOf(['Kernel', 'Static', 'Direct', 'NodeMesh', 'BGPPeer'])),
          peerIP: text(),
        }),
      ),
    }),
  ),
);

export const caliconodestatus = defineKind({
  kind: 'CalicoNodeStatus',
  plural: 'caliconodestatuses',
  shortNames: ['calicostatus'],
  description: 'What the agent, BGP and routes of one node are like; the node itself answers.',
  fields: {
    spec: object({
      node: string({ format: 'name', description: 'The node.' }),
      classes: array(oneOf(['Agent', 'BGP', 'Routes']), {
        minItems: 1,
        maxItems: 3,
        uniqueItems: true,
        description: 'What to report.',
      }),
      updatePeriodSeconds: optional(
        integer({ minimum: 0, maximum: 86400, description: 'Time between reports; 0 for one only.' }),
      ),
    }),
    status: optional(
      object({
        lastUpdated: optional(nullable(string())),
        agent: optional(object({ birdV4: daemon, birdV6: daemon })),
        bgp: optional(
          object({
            numberEstablishedV4: integer(),
            numberNotEstablishedV4: integer(),
            numberEstablishedV6: integer(),
            numberNotEstablishedV6: integer(),
            peersV4: peers,
            peersV6: peers,
          }),
        ),
        routes: optional(object({ routesV4: routes, routesV6: routes })),
      }),
    ),
  },
});
