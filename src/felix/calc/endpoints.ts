// Which endpoints are local, from two views: the datastore's, and what this node knows first by itself. CNI ADD tells of
// an endpoint before the watch does, and DEL of its end; such news overlay the watched state until the watch agrees.
import type { WorkloadEndpoint } from '../../model/mod.ts';

export type EndpointKey = string;
export const endpointKey = (name: { readonly name: string; readonly namespace?: string }): EndpointKey =>
  `${name.namespace ?? ''}/${name.name}`;

type Overlay = { readonly present: boolean; readonly endpoint: WorkloadEndpoint };

/** The same incarnation of an endpoint: same container, or same addresses where the container is not known. */
export function sameInstance(a: WorkloadEndpoint, b: WorkloadEndpoint): boolean {
  if (a.spec.interfaceName !== b.spec.interfaceName) return false;
  const one = a.spec.containerID;
  const other = b.spec.containerID;
  if (one !== undefined && other !== undefined && one !== other) return false;
  return addressesOf(a) === addressesOf(b);
}
const addressesOf = (endpoint: WorkloadEndpoint): string =>
  (endpoint.spec.ipNetworks ?? []).toSorted(byText).join(' ');
const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export class LocalEndpoints {
  readonly #watched = new Map<EndpointKey, WorkloadEndpoint>();
  readonly #overlay = new Map<EndpointKey, Overlay>();

  /** Keys of everything known, by either view. */
  keys(): Set<EndpointKey> {
    return new Set([...this.#watched.keys(), ...this.#overlay.keys()]);
  }

  /** The watch's news; undefined: not (or no longer) an endpoint of this node. */
  watched(key: EndpointKey, endpoint: WorkloadEndpoint | undefined): void {
    if (endpoint === undefined) this.#watched.delete(key);
    else this.#watched.set(key, endpoint);
    const overlay = this.#overlay.get(key);
    if (overlay === undefined) return;
    const agreed = overlay.present
      ? endpoint !== undefined && sameInstance(endpoint, overlay.endpoint)
      : endpoint === undefined || !sameInstance(endpoint, overlay.endpoint);
    if (agreed) this.#overlay.delete(key);
  }

  /** The node's own news: the endpoint is there. */
  announce(key: EndpointKey, endpoint: WorkloadEndpoint): void {
    const watched = this.#watched.get(key);
    if (watched !== undefined && sameInstance(watched, endpoint)) this.#overlay.delete(key);
    else this.#overlay.set(key, { present: true, endpoint });
  }

  /** The node's own news: this incarnation is gone. A newer one under the key stays. */
  withdraw(key: EndpointKey, endpoint: WorkloadEndpoint): void {
    const effective = this.get(key);
    if (effective === undefined || !sameInstance(effective, endpoint)) return;
    const watched = this.#watched.get(key);
    if (watched !== undefined && sameInstance(watched, endpoint))
      this.#overlay.set(key, { present: false, endpoint });
    else this.#overlay.delete(key);
  }

  get(key: EndpointKey): WorkloadEndpoint | undefined {
    const overlay = this.#overlay.get(key);
    if (overlay !== undefined) return overlay.present ? overlay.endpoint : undefined;
    return this.#watched.get(key);
  }

  isOverlaid(key: EndpointKey): boolean {
    return this.#overlay.has(key);
  }
}
