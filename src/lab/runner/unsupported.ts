// What a container asks for that runners of a lab do not give it. It runs without, and its pod's events say so.
import type { Pod } from '../../model/mod.ts';

type Container = Pod['spec']['containers'][number];
type Asked = {
  readonly volumeMounts?: readonly { readonly name?: string; readonly mountPath?: string }[];
  readonly volumeDevices?: readonly { readonly devicePath?: string }[];
  readonly envFrom?: readonly unknown[];
  readonly workingDir?: string;
};
const fieldsOfPods =
  /^(metadata\.(name|namespace|uid)|spec\.(nodeName|serviceAccountName)|status\.(podIPs?|hostIP))$/;

/** A sentence, or undefined when it asks for nothing else. */
export function unsupportedIn(container: Container): string | undefined {
  const asked = container as Asked;
  const missing = [
    ...(asked.volumeMounts ?? []).map(({ name, mountPath }) => `volume ${name ?? ''} at ${mountPath ?? ''}`),
    ...(asked.volumeDevices ?? []).map(({ devicePath }) => `device ${devicePath ?? ''}`),
    ...((asked.envFrom ?? []).length > 0 ? ['variables of envFrom'] : []),
    ...(container.env ?? [])
      .filter(({ value, valueFrom }) => value === undefined && valueFrom != null && !isKnown(valueFrom))
      .map(({ name }) => `variable ${name}`),
    ...(asked.workingDir === undefined ? [] : [`working directory ${asked.workingDir}`]),
  ];
  return missing.length === 0
    ? undefined
    : `Runs without what the lab's nodes do not provide: ${missing.join(', ')}`;
}

function isKnown(valueFrom: unknown): boolean {
  const { fieldRef } = valueFrom as { readonly fieldRef?: { readonly fieldPath?: string } };
  return fieldsOfPods.test(fieldRef?.fieldPath ?? '');
}
