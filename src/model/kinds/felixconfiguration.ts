// FelixConfiguration: parameters of the node agent, for all nodes (`default`), one (`node.<name>`) or some (any other
// name, with nodeSelector). The parameters themselves are data in felix-parameters.ts.
import { defineKind } from '../kind-definition.ts';
import { object } from '../schema.ts';
import { felixParameters } from './felix-parameters.ts';

export const felixconfiguration = defineKind({
  kind: 'FelixConfiguration',
  plural: 'felixconfigurations',
  shortNames: ['felixconfig', 'felixconfigs'],
  description:
    'Parameters of the node agent for all nodes (`default`), for one (`node.<name>`) or for selected ones.',
  fields: { spec: object(felixParameters) },
});
