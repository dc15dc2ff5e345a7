// The ConfigMaps and Secrets that pods of this node name, each followed by a watch of its own while some pod names it, as a
// kubelet does: a node sees only what its pods use.
import { type Datastore, startSyncer, type Syncer } from '../../datastore/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { Logger } from '../../lib/log.ts';
import { until } from '../../lib/wait.ts';
import type { ConfigMap, Secret } from '../../model/mod.ts';
import type { Configuration, ConfigurationReference } from './environment.ts';

type Followed = {
  readonly syncer: Syncer;
  readonly users: Map<string, () => void>;
  object: ConfigMap | Secret | undefined;
};

const answerMs = 10_000;

export class ObjectSources {
  readonly #datastore: Datastore;
  readonly #logger: Logger;
  readonly #followed = new Map<string, Followed>();
  #stopped = false;

  constructor(datastore: Datastore, logger: Logger) {
    this.#datastore = datastore;
    this.#logger = logger;
  }

  /** What the objects say now; `onChange` is called when one says something else, until the user names others. */
  async follow(
    user: string,
    namespace: string,
    references: readonly ConfigurationReference[],
    onChange: () => void,
  ): Promise<Result<Configuration, Failure<'Unavailable'>>> {
    const keys = new Map(references.map((one) => [keyOf(one.kind, namespace, one.name), one]));
    for (const [key, { kind, name }] of keys) {
      const followed = this.#followed.get(key) ?? this.#start(key, kind, namespace, name);
      followed.users.set(user, onChange);
    }
    this.#drop(user, new Set(keys.keys()));
    for (const [key, { kind, name }] of keys) {
      const syncer = this.#followed.get(key)?.syncer;
      const isKnown =
        syncer?.status === 'in-sync' ||
        (await until(() => (this.#stopped || syncer?.status === 'in-sync' ? true : undefined), {
          timeoutMs: answerMs,
        }));
      if (isKnown !== true || this.#stopped)
        return err(failure('Unavailable', `failed to read ${kind.toLowerCase()} "${name}": no answer yet`));
    }
    return ok({
      configMap: (name) => this.#object('ConfigMap', namespace, name) as ConfigMap | undefined,
      secret: (name) => this.#object('Secret', namespace, name) as Secret | undefined,
    });
  }

  forget(user: string): void {
    this.#drop(user, new Set());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#followed.values()].map(({ syncer }) => syncer.stop()));
    this.#followed.clear();
  }

  #object(kind: ConfigurationReference['kind'], namespace: string, name: string) {
    return this.#followed.get(keyOf(kind, namespace, name))?.object;
  }

  #drop(user: string, kept: ReadonlySet<string>): void {
    for (const [key, followed] of this.#followed) {
      if (kept.has(key) || !followed.users.delete(user) || followed.users.size > 0) continue;
      this.#followed.delete(key);
      void followed.syncer.stop();
    }
  }

  #start(key: string, kind: ConfigurationReference['kind'], namespace: string, name: string): Followed {
    const followed: Followed = {
      users: new Map(),
      object: undefined,
      syncer: startSyncer<'ConfigMap' | 'Secret'>(this.#datastore, {
        kinds: [{ kind, namespace, fieldSelector: `metadata.name=${name}` }],
        logger: this.#logger,
        onUpdates: (updates) => {
          for (const update of updates) {
            if (update.type === 'status') continue;
            followed.object = update.type === 'set' ? update.object : undefined;
            for (const onChange of followed.users.values()) onChange();
          }
        },
      }),
    };
    this.#followed.set(key, followed);
    return followed;
  }
}

const keyOf = (kind: string, namespace: string, name: string): string => `${kind}/${namespace}/${name}`;
