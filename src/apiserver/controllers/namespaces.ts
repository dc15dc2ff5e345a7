// Namespaces: the ones every cluster has, the service account and the cluster's authority that each one gets, and the removal
// of what a deleted one holds.
import type { Api } from '../api.ts';
import { keyOf } from '../api.ts';
import { ok, type Result } from '../../lib/result.ts';
import { at, listAt, sameJson } from '../json.ts';
import type { StatusError } from '../status.ts';
import type { ApiObject } from '../types.ts';
import { deleteIn } from '../verbs/delete.ts';
import { createIn, replaceIn } from '../verbs/write.ts';
import type { Change, Transaction } from '../store/types.ts';

/** Where pods find who signs the server's certificate; a server without TLS has none to tell of. */
const authorityName = 'kube-root-ca.crt';

const initial = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

const newNamespace = (name: string): ApiObject => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name },
});

export class NamespaceController {
  readonly #api: Api;
  readonly #pending = new Set<string>();
  #running: Promise<void> | undefined;

  constructor(api: Api) {
    this.#api = api;
    api.store.onChanges((changes) => this.#notice(changes));
  }

  /** Creates what is missing and takes up what a stop interrupted. */
  async start(): Promise<void> {
    const { store, registry } = this.#api;
    const kind = registry.byKey('namespaces');
    if (kind === undefined) return;
    const missing = initial.filter((name) => store.get(keyOf(kind, '', name)) === undefined);
    if (missing.length > 0) {
      await store.write((tx) => {
        for (const name of missing) createIn(tx, kind, '', newNamespace(name));
        return ok(undefined);
      });
    }
    for (const { name } of store.list('namespaces')) this.#pending.add(name);
    this.#run();
    await this.idle();
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  #notice(changes: readonly Change[]): void {
    for (const { type, current } of changes) {
      if (current.resource === 'namespaces') {
        if (
          type === 'ADDED' ||
          (type === 'MODIFIED' && current.object.metadata.deletionTimestamp !== undefined)
        )
          this.#pending.add(current.name);
      } else if (isKept(current) && type !== 'ADDED') {
        this.#pending.add(current.namespace);
      } else if (type === 'DELETED' && current.namespace !== '') {
        const namespace = this.#api.store.get({
          resource: 'namespaces',
          namespace: '',
          name: current.namespace,
        });
        if (namespace?.object.metadata.deletionTimestamp !== undefined) this.#pending.add(current.namespace);
      }
    }
    this.#run();
  }

  #run(): void {
    if (this.#pending.size === 0 || this.#running !== undefined || this.#api.stopping.aborted) return;
    this.#running = this.#work().finally(() => {
      this.#running = undefined;
      this.#run();
    });
  }

  async #work(): Promise<void> {
    const names = [...this.#pending];
    this.#pending.clear();
    for (const name of names) {
      try {
        await this.#settle(name);
      } catch (cause) {
        this.#api.logger.error('Settling a namespace failed', {
          namespace: name,
          error: cause instanceof Error ? cause.message : String(cause),
        });
      }
    }
  }

  #publishAuthority(tx: Transaction, namespace: string): Result<unknown, StatusError> {
    const kind = this.#api.registry.byKey('configmaps');
    const authority = this.#api.nodeClient?.ca;
    if (kind === undefined || authority === undefined) return ok(undefined);
    const data = { 'ca.crt': authority };
    const there = tx.get(keyOf(kind, namespace, authorityName));
    if (there !== undefined)
      return sameJson(there.object['data'], data)
        ? ok(undefined)
        : replaceIn(tx, kind, there, { ...there.object, data }, 'server');
    const description =
      'Holds who signs the certificate of this API server, as it shows it to clients inside of the cluster.';
    const metadata = { name: authorityName, annotations: { 'kubernetes.io/description': description } };
    return createIn(tx, kind, namespace, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
  }

  async #settle(name: string): Promise<void> {
    const { store, registry } = this.#api;
    const namespaces = registry.byKey('namespaces');
    const accounts = registry.byKey('serviceaccounts');
    if (namespaces === undefined || accounts === undefined) return;
    await store.write((tx) => {
      const found = tx.get(keyOf(namespaces, '', name));
      if (found === undefined) return ok(undefined);
      if (found.object.metadata.deletionTimestamp === undefined) {
        const account: ApiObject = {
          apiVersion: 'v1',
          kind: 'ServiceAccount',
          metadata: { name: 'default' },
        };
        if (tx.get(keyOf(accounts, name, 'default')) === undefined) {
          const created = createIn(tx, accounts, name, account);
          if (!created.ok) return created;
        }
        return this.#publishAuthority(tx, name);
      }
      for (const stored of store.contentOf(name)) {
        const kind = registry.byKey(stored.resource);
        const current = tx.get(stored);
        if (current === undefined || current.object.metadata.deletionTimestamp !== undefined) continue;
        // Objects of kinds that are no longer served would keep the namespace for ever.
        if (kind === undefined) tx.remove(stored);
        else deleteIn(tx, kind, current, { propagation: 'Background', dryRun: false });
      }
      if (tx.namespaceInUse(name)) return ok(undefined);
      const finalizers = listAt(found.object, 'spec', 'finalizers').filter((one) => one !== 'kubernetes');
      return replaceIn(
        tx,
        namespaces,
        found,
        { ...found.object, spec: { ...objectSpec(found.object), finalizers } },
        'server',
      );
    });
  }
}

/** Objects that come back when they are deleted or changed. */
const isKept = ({ resource, name }: Change['current']): boolean =>
  (resource === 'configmaps' && name === authorityName) ||
  (resource === 'serviceaccounts' && name === 'default');

const objectSpec = (object: ApiObject): Readonly<Record<string, unknown>> =>
  (at(object, 'spec') as Readonly<Record<string, unknown>> | undefined) ?? {};
