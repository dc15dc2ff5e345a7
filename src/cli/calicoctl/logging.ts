// What --log-level info and debug say on standard error (CT-002): where the datastore is, and each question to it.
import type { Datastore, DatastoreConfig } from '../../datastore/mod.ts';
import { warn } from './program.ts';

const say = (level: 'INFO' | 'DEBUG', text: string): void =>
  warn(`${new Date().toISOString()} [${level}] ${text}`);

/** Tokens and keys are not said. */
export function logSettings({ type, kubeconfig, context, endpoint, apiGroup, etcd }: DatastoreConfig): void {
  const inEtcd = etcd?.endpoints ?? etcd?.discoveryDomain;
  const isEtcd =
    type === 'etcdv3' || (type === undefined && kubeconfig === undefined && inEtcd !== undefined);
  if (isEtcd) {
    // A password may be part of an address.
    say('INFO', `datastore etcdv3: ${(inEtcd ?? 'no endpoints').replaceAll(/\/\/[^/@,]*@/g, '//')}`);
    return;
  }
  const where = endpoint?.server ?? kubeconfig ?? 'the service account of this pod';
  say(
    'INFO',
    `datastore ${type ?? 'kubernetes'}: ${where}${context === undefined ? '' : `, context ${context}`}${apiGroup === undefined ? '' : `, group ${apiGroup}`}`,
  );
}

/** The same datastore; each question is told with its answer and how long it took. */
export function logged(store: Datastore): Datastore {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      const method = value.bind(target) as (...given: readonly unknown[]) => unknown;
      if (name === 'watch' || name === 'close') return method;
      return async (kind: string, ...rest: readonly unknown[]) => {
        const started = performance.now();
        const result = (await method(kind, ...rest)) as {
          readonly ok: boolean;
          readonly error?: { readonly code: string };
        };
        const took = Math.round(performance.now() - started);
        say(
          'DEBUG',
          `${String(name)} ${kind} ${nameIn(rest[0])}: ${result.ok ? 'ok' : result.error?.code} in ${took} ms`,
        );
        return result;
      };
    },
  });
}

function nameIn(argument: unknown): string {
  const { name, namespace, metadata } = (argument ?? {}) as {
    readonly name?: string;
    readonly namespace?: string;
    readonly metadata?: { readonly name: string; readonly namespace?: string };
  };
  const is = metadata ?? { name, namespace };
  return [is.namespace, is.name].filter((part) => part !== undefined).join('/') || '(all)';
}
