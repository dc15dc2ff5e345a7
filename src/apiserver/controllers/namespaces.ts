// Namespaces: the ones every cluster has, the service account each one gets, and the removal of what a deleted one holds.
import type { Api } from '../api.ts';
import { keyOf } from '../api.ts';
import { ok } from '../../lib/result.ts';
import { at, listAt } from '../json.ts';
import type { ApiObject } from '../types.ts';
import { deleteIn } from '../verbs/delete.ts';
import { createIn, replaceIn } from '../verbs/write.ts';
import type { Change } from '../store/types.ts';

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
        return tx.get(keyOf(accounts, name, 'default')) === undefined
          ? createIn(tx, accounts, name, account)
          : ok(undefined);
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

const objectSpec = (object: ApiObject): Readonly<Record<string, unknown>> =>
  (at(object, 'spec') as Readonly<Record<string, unknown>> | undefined) ?? {};
