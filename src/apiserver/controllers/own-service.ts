// The service `kubernetes` in the namespace default: how pods find the API server (10.96.0.1:443). It leads to the address
// on which others can reach the server.
import { ok } from '../../lib/result.ts';
import { type Api, keyOf } from '../api.ts';
import { sameJson } from '../json.ts';
import type { Transaction } from '../store/types.ts';
import type { ApiObject } from '../types.ts';
import { createIn, replaceIn } from '../verbs/write.ts';

const name = 'kubernetes';
const namespace = 'default';
const serviceAddress = '10.96.0.1';
const servicePort = 443;

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host.startsWith('127.') || host === '[::1]';

function objects(address: string, port: number): readonly (readonly [string, ApiObject])[] {
  const addressType = address.includes(':') ? 'IPv6' : 'IPv4';
  const named = { name: 'https', protocol: 'TCP' };
  return [
    [
      'services',
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, labels: { component: 'apiserver', provider: 'kubernetes' } },
        spec: {
          type: 'ClusterIP',
          clusterIP: serviceAddress,
          ports: [{ ...named, port: servicePort, targetPort: port }],
          sessionAffinity: 'None',
        },
      },
    ],
    [
      'endpointslices.discovery.k8s.io',
      {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name, labels: { 'kubernetes.io/service-name': name } },
        addressType,
        endpoints: [{ addresses: [address], conditions: { ready: true } }],
        ports: [{ ...named, port }],
      },
    ],
    [
      'endpoints',
      {
        apiVersion: 'v1',
        kind: 'Endpoints',
        metadata: { name },
        subsets: [{ addresses: [{ ip: address }], ports: [{ ...named, port }] }],
      },
    ],
  ];
}

/** Where it leads: everything but the metadata and what the server fills in. */
const targetsOf = (object: ApiObject): unknown => [object['endpoints'], object['subsets'], object['ports']];

function publish(tx: Transaction, { registry }: Api, address: string, port: number): void {
  for (const [resource, object] of objects(address, port)) {
    const kind = registry.byKey(resource);
    if (kind === undefined) continue;
    const found = tx.get(keyOf(kind, namespace, name));
    if (found === undefined) createIn(tx, kind, namespace, object);
    else if (!sameJson(targetsOf(found.object), targetsOf(object)))
      replaceIn(tx, kind, found, { ...found.object, ...object, metadata: found.object.metadata }, 'server');
  }
}

/** Publishes the first address that is not a loopback one; a server on loopback alone is nobody's service. */
export async function publishService(api: Api, addresses: readonly string[]): Promise<void> {
  const url = addresses.map((one) => new URL(one)).find(({ hostname }) => !isLoopback(hostname));
  if (url === undefined) return;
  const address = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port === '' ? servicePort : url.port);
  await api.store.write((tx) => {
    publish(tx, api, address, port);
    return ok(undefined);
  });
}
