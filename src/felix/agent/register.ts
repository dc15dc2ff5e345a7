// This node in the datastore, at every start and whenever its addresses are looked at again: which addresses it has and how
// they were found; that no other node has them, and no other machine the name; and the defaults of a new cluster.
import { err, failure, type Result } from '../../lib/result.ts';
import { isHostAt, readInterfaces, sourceTowards } from './host.ts';
import {
  conflictingNode,
  ensureDefaults,
  ensureNode,
  type NodeEvent,
  otherMachine,
  publishNode,
} from './resources.ts';
import { configureAddresses, type NodeAddresses } from './startup/addresses.ts';
import { choiceText } from './startup/candidates.ts';
import type { DetectedInterface } from './startup/detection.ts';
import type { AgentError, AgentOptions } from './types.ts';

export type RegistrationOptions = Pick<
  AgentOptions,
  'kernel' | 'environment' | 'datastore' | 'nodeName' | 'logger' | 'isHostAt'
>;

export async function registerNode(
  options: RegistrationOptions,
  tell: (event: NodeEvent) => Promise<void>,
): Promise<Result<void, AgentError>> {
  const { kernel, environment, datastore, nodeName, logger } = options;
  const [found, kubernetesNode] = await Promise.all([
    datastore.get('Node', { name: nodeName }),
    datastore.get('KubernetesNode', { name: nodeName }),
  ]);
  // Where nodes are Calico's own (etcd), a new one makes itself known; Kubernetes refuses that.
  const isNew = !found.ok && found.error.code === 'NotFound';
  const made = isNew ? await ensureNode(datastore, nodeName, environment, { dryRun: true }) : found;
  const node = made.ok ? made : found;
  if (!node.ok) return err(failure('DatastoreFailed', `Reading node ${nodeName}: ${node.error.message}`));
  const interfaces = await readInterfaces(kernel);
  if (!interfaces.ok) return interfaces;
  const internal = kubernetesNode.ok ? (kubernetesNode.value.status?.addresses ?? []) : [];
  const configured = await configureAddresses(environment, node.value.spec.bgp ?? {}, {
    interfaces: interfaces.value,
    kubernetesAddresses: internal.filter((a) => a.type === 'InternalIP').map((a) => a.address ?? ''),
    sourceTowards: sourceTowards(kernel),
  });
  if (!configured.ok) return err(failure('NoAddress', configured.error.message, configured.error.hint));
  const { addresses, changed, choices } = configured.value;
  const machine = machineWith(addresses, interfaces.value);
  const elsewhere = await otherMachine(node.value, {
    machine,
    own: new Set(interfaces.value.flatMap((i) => i.addresses.map((a) => a.address))),
    isHostAt: options.isHostAt ?? isHostAt,
  });
  if (elsewhere !== undefined) return err(duplicateName(nodeName, elsewhere));
  if (changed && environment['DISABLE_NODE_IP_CHECK'] !== 'true') {
    const conflict = await conflictingNode(datastore, nodeName, addresses);
    if (!conflict.ok) return conflict;
    if (conflict.value !== undefined) return err(addressConflict(conflict.value));
  }
  if (isNew) {
    const created = await ensureNode(datastore, nodeName, environment);
    if (!created.ok)
      return err(failure('DatastoreFailed', `Making node ${nodeName}: ${created.error.message}`));
  }
  const detection = choices.map(choiceText).join('. ');
  const published = await publishNode(datastore, nodeName, { addresses, detection, machine }, environment);
  if (!published.ok) return published;
  if (changed && detection !== '') {
    logger.info('The address of the node', { detection, candidates: choices });
    await tell({ type: 'Normal', reason: 'NodeAddress', message: detection });
  }
  return ensureDefaults(datastore, environment, interfaces.value, logger);
}

/** The MAC address of the device that has the node's address. */
function machineWith(
  { ipv4Address, ipv6Address }: NodeAddresses,
  interfaces: readonly DetectedInterface[],
): string | undefined {
  const own = [ipv4Address, ipv6Address].map((text) => text?.replace(/\/.*$/, ''));
  return interfaces.find((i) => i.addresses.some((a) => own.includes(a.address)))?.mac;
}

const addressConflict = (other: { readonly node: string; readonly address: string }): AgentError =>
  failure(
    'AddressConflict',
    `Node ${other.node} has the address ${other.address} already.`,
    'Give this node another one in IP.',
  );

const duplicateName = (nodeName: string, address: string): AgentError =>
  failure(
    'DuplicateName',
    `Another machine is the node ${nodeName}, and lives at ${address}.`,
    'Give this one a name of its own in NODENAME; or, when it takes the place of the other, delete the Node first.',
  );
