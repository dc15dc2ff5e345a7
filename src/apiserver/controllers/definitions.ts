// Definitions of kinds: what they define is served as soon as they are stored; when they are deleted their objects go first.
import { ok } from '../../lib/result.ts';
import type { Api } from '../api.ts';
import { classicDefinitions } from '../kinds/classic.ts';
import {
  definedKinds,
  definedResource,
  definitionFinalizer,
  definitionResource,
  isOwnDefinition,
} from '../kinds/defined.ts';
import type { Change, Transaction } from '../store/types.ts';
import type { ApiObject } from '../types.ts';
import { deleteIn } from '../verbs/delete.ts';
import { createIn, replaceIn } from '../verbs/write.ts';

const waits = ({ metadata }: ApiObject): boolean =>
  metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(definitionFinalizer);

export class DefinitionController {
  readonly #api: Api;
  /** Resources of deleted definitions, with the names of those. */
  readonly #ending = new Map<string, string>();
  #running: Promise<void> | undefined;
  #again = false;

  constructor(api: Api) {
    this.#api = api;
    this.#refresh();
    // In the same turn as the commit: the answer to the writer comes when the kind is served.
    api.store.onChanges((changes) => this.#notice(changes));
  }

  /** Lists the classic definitions, and takes up what a stop interrupted. */
  async start(): Promise<void> {
    const { store, registry } = this.#api;
    const kind = registry.byKey(definitionResource);
    if (kind === undefined) return;
    const missing = classicDefinitions().filter(
      ({ metadata }) =>
        store.get({ resource: definitionResource, namespace: '', name: metadata.name }) === undefined,
    );
    if (missing.length > 0) {
      await store.write((tx) => {
        for (const definition of missing) createIn(tx, kind, '', definition);
        return ok(undefined);
      });
    }
    this.#run();
  }

  async idle(): Promise<void> {
    await this.#running;
  }

  #refresh(): void {
    const definitions = this.#api.store
      .list(definitionResource)
      .map((stored) => stored.object)
      .filter((object) => !isOwnDefinition(object) && !this.#api.registry.isOwn(definedResource(object)));
    this.#ending.clear();
    for (const one of definitions) if (waits(one)) this.#ending.set(definedResource(one), one.metadata.name);
    this.#api.registry.setDefined(definitions.flatMap(definedKinds));
  }

  #notice(changes: readonly Change[]): void {
    const own = changes.some(({ current }) => current.resource === definitionResource);
    if (own) this.#refresh();
    if (own || changes.some(({ type, current }) => type === 'DELETED' && this.#ending.has(current.resource)))
      this.#run();
  }

  #run(): void {
    if (this.#ending.size === 0 || this.#api.stopping.aborted) return;
    this.#again = true;
    this.#running ??= this.#work();
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#api.stopping.aborted) {
      this.#again = false;
      const ending = [...this.#ending];
      try {
        await this.#api.store.write((tx) => {
          for (const [resource, name] of ending) this.#end(tx, resource, name);
          return ok(undefined);
        });
      } catch (cause) {
        this.#api.logger.error('Deleting the objects of a kind failed', {
          error: cause instanceof Error ? cause.message : String(cause),
        });
      }
    }
    // In the same step as the last look: what comes later begins anew.
    this.#running = undefined;
  }

  #end(tx: Transaction, resource: string, name: string): void {
    const { registry, store } = this.#api;
    const definitions = registry.byKey(definitionResource);
    const definition = tx.get({ resource: definitionResource, namespace: '', name });
    const kind = registry.byKey(resource);
    if (definitions === undefined || definition === undefined || !waits(definition.object)) return;
    for (const stored of store.list(resource)) {
      const current = tx.get(stored);
      if (current === undefined || current.object.metadata.deletionTimestamp !== undefined) continue;
      if (kind === undefined) tx.remove(stored);
      else deleteIn(tx, kind, current, { propagation: 'Background', dryRun: false });
    }
    for (const _ of tx.objects(resource)) return;
    const { finalizers = [], ...metadata } = definition.object.metadata;
    const left = finalizers.filter((one) => one !== definitionFinalizer);
    const freed = { ...metadata, ...(left.length > 0 ? { finalizers: left } : {}) };
    replaceIn(tx, definitions, definition, { ...definition.object, metadata: freed }, 'server');
  }
}
