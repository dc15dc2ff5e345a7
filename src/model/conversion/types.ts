// What all conversions share.
import type { Failure } from '../../lib/result.ts';

/** An object that cannot be seen as one of the other kind. */
export type ConversionError = Failure<'CannotConvert'>;
export type Annotations = Readonly<Record<string, string>>;

/** Labels that Calico adds (RS-009). */
export const calicoLabels = {
  namespace: 'projectcalico.org/namespace',
  orchestrator: 'projectcalico.org/orchestrator',
  serviceAccount: 'projectcalico.org/serviceaccount',
  tier: 'projectcalico.org/tier',
  namespaceName: 'pcns.projectcalico.org/name',
  serviceAccountName: 'pcsa.projectcalico.org/name',
} as const;

/** Annotations of pods that say what the network gave them (RS-191). */
export const podAnnotations = {
  podIP: 'cni.projectcalico.org/podIP',
  podIPs: 'cni.projectcalico.org/podIPs',
  containerID: 'cni.projectcalico.org/containerID',
  floatingIPs: 'cni.projectcalico.org/floatingIPs',
  allowedSourcePrefixes: 'cni.projectcalico.org/allowedSourcePrefixes',
  awsPodIPs: 'vpc.amazonaws.com/pod-ips',
  networkStatus: 'k8s.v1.cni.cncf.io/network-status',
} as const;
