// Namespaces and service accounts as profiles (RS-081, RS-082).
import type { Namespace, Profile, ServiceAccount } from '../kinds/mod.ts';
import { derivedUid, namespaceProfileName, serviceAccountProfileName } from '../names.ts';
import type { ObjectMeta } from '../types.ts';
import { calicoLabels, type Annotations } from './types.ts';

const namespacePrefix = 'pcns.';
const serviceAccountPrefix = 'pcsa.';

/** Allows everything both ways, and gives endpoints the namespace's labels under a prefix. */
export const namespaceToProfile = (namespace: Namespace): Profile => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'Profile',
  metadata: derivedMetadata(namespace.metadata, namespaceProfileName(namespace.metadata.name)),
  spec: {
    ingress: [{ action: 'Allow' }],
    egress: [{ action: 'Allow' }],
    labelsToApply: {
      ...prefixed(namespacePrefix, namespace.metadata.labels),
      [calicoLabels.namespaceName]: namespace.metadata.name,
    },
  },
});

/** Has no rules; gives endpoints the service account's labels under a prefix. */
export const serviceAccountToProfile = (account: ServiceAccount): Profile => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'Profile',
  metadata: derivedMetadata(
    account.metadata,
    serviceAccountProfileName(account.metadata.namespace, account.metadata.name),
  ),
  spec: {
    labelsToApply: {
      ...prefixed(serviceAccountPrefix, account.metadata.labels),
      [calicoLabels.serviceAccountName]: account.metadata.name,
    },
  },
});

const prefixed = (prefix: string, labels: Annotations = {}): Annotations =>
  Object.fromEntries(Object.entries(labels).map(([key, value]) => [prefix + key, value]));

/** Metadata of an object that is made of another: its own name and uid, the other's age and version. */
export function derivedMetadata(source: ObjectMeta, name: string): ObjectMeta {
  const uid = source.uid === undefined ? undefined : derivedUid(source.uid);
  return {
    name,
    ...(uid === undefined ? {} : { uid }),
    ...(source.creationTimestamp ? { creationTimestamp: source.creationTimestamp } : {}),
    ...(source.resourceVersion ? { resourceVersion: source.resourceVersion } : {}),
  };
}
