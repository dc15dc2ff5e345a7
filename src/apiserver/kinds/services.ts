// Services: defaults, checks, and the cluster address and node ports the server gives out.
import { randomInt } from 'node:crypto';
import { at, isObject, listAt, numberAt, objectAt, textAt, withAt } from '../json.ts';
import type { ApiObject, Issue, World } from '../types.ts';

/** Cluster addresses come from 10.96.0.0/12, the range of kubeadm; node ports from 30000 to 32767. */
const firstAddress = 0x0a600000;
const addressCount = 2 ** 20;
const nodePorts = { from: 30_000, to: 32_767 };
const attempts = 200;

export function defaultedService(object: ApiObject): ApiObject {
  const given = objectAt(object, 'spec');
  const ports = listAt(given, 'ports').map((one) =>
    isObject(one) ? { protocol: 'TCP', targetPort: one['port'], ...one } : one,
  );
  const type = textAt(given, 'type') ?? 'ClusterIP';
  const spec = {
    type,
    sessionAffinity: 'None',
    ...(type === 'ExternalName' ? {} : { internalTrafficPolicy: 'Cluster', ipFamilyPolicy: 'SingleStack' }),
    ...(type === 'NodePort' || type === 'LoadBalancer' ? { externalTrafficPolicy: 'Cluster' } : {}),
    ...given,
    ...(ports.length > 0 ? { ports } : {}),
  };
  return { ...object, spec };
}

export function serviceIssues(object: ApiObject, previous: ApiObject | undefined): readonly Issue[] {
  const issues: Issue[] = [];
  const type = textAt(object, 'spec', 'type') ?? '';
  if (!['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'].includes(type)) {
    const reason =
      'Unsupported value: supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"';
    issues.push({ field: 'spec.type', value: type, reason });
  }
  const ports = listAt(object, 'spec', 'ports');
  const address = textAt(object, 'spec', 'clusterIP');
  if (ports.length === 0 && type !== 'ExternalName' && address !== 'None')
    issues.push({ field: 'spec.ports', reason: 'Required value' });
  ports.forEach((one, i) => {
    const port = numberAt(one, 'port') ?? 0;
    if (port < 1 || port > 65535)
      issues.push({
        field: `spec.ports[${i}].port`,
        value: port,
        reason: 'must be between 1 and 65535, inclusive',
      });
    if (ports.length > 1 && textAt(one, 'name') === undefined)
      issues.push({ field: `spec.ports[${i}].name`, reason: 'Required value' });
  });
  const before = previous === undefined ? undefined : textAt(previous, 'spec', 'clusterIP');
  if (type !== 'ExternalName' && before !== undefined && before !== '' && address !== before) {
    issues.push({ field: 'spec.clusterIP', value: address, reason: 'field is immutable' });
  }
  return issues;
}

function freeAddress(world: World): string | undefined {
  const taken = new Set<unknown>();
  for (const other of world.objects('services')) taken.add(at(other, 'spec', 'clusterIP'));
  for (let i = 0; i < attempts; i++) {
    // The first addresses are left for services with a well-known address (.1 the API, .10 DNS).
    const number = firstAddress + randomInt(256, addressCount - 1);
    const address = [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
    if (!taken.has(address)) return address;
  }
  return undefined;
}

function withNodePorts(object: ApiObject, world: World): ApiObject {
  const taken = new Set<unknown>();
  for (const other of world.objects('services')) {
    if (other.metadata.uid !== object.metadata.uid)
      for (const port of listAt(other, 'spec', 'ports')) taken.add(at(port, 'nodePort'));
  }
  const free = (): number | undefined => {
    for (let i = 0; i < attempts; i++) {
      const port = randomInt(nodePorts.from, nodePorts.to + 1);
      if (!taken.has(port)) {
        taken.add(port);
        return port;
      }
    }
    return undefined;
  };
  const ports = listAt(object, 'spec', 'ports').map((one) =>
    isObject(one) && (numberAt(one, 'nodePort') ?? 0) === 0 ? { ...one, nodePort: free() } : one,
  );
  return withAt(object, ['spec', 'ports'], ports);
}

export function preparedService(object: ApiObject, previous: ApiObject | undefined, world: World): ApiObject {
  let service: ApiObject = previous === undefined ? { ...object, status: { loadBalancer: {} } } : object;
  const type = textAt(service, 'spec', 'type');
  if (type === 'ExternalName') return service;
  // A PUT that leaves the address out keeps it.
  const kept = previous === undefined ? undefined : textAt(previous, 'spec', 'clusterIP');
  const address = textAt(service, 'spec', 'clusterIP') || kept || freeAddress(world);
  if (address !== undefined) {
    const family = address.includes(':') ? 'IPv6' : 'IPv4';
    service = {
      ...service,
      spec: { clusterIPs: [address], ipFamilies: [family], ...objectAt(service, 'spec'), clusterIP: address },
    };
  }
  return type === 'NodePort' || type === 'LoadBalancer' ? withNodePorts(service, world) : service;
}
