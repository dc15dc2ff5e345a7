// Roles that the server keeps: the ones every cluster has, made or completed at start, and those that gather the rules of
// others by label (aggregationRule).
import { ok } from '../../lib/result.ts';
import { type Api, keyOf } from '../api.ts';
import { bootstrapBindings, type BootstrapRole, bootstrapRoles } from '../auth/bootstrap-roles.ts';
import { clusterRoleBindingResource, clusterRoleResource, rulesOf } from '../auth/rbac.ts';
import { notCovered } from '../auth/rules.ts';
import { listAt, sameJson } from '../json.ts';
import { selectorText } from '../kinds/workloads.ts';
import { parseSelection, type Selection } from '../selectors.ts';
import type { Change, Transaction } from '../store/types.ts';
import type { ApiObject, ServedKind } from '../types.ts';
import { createIn, replaceIn } from '../verbs/write.ts';

const apiVersion = 'rbac.authorization.k8s.io/v1';
const prefix = 'rbac.authorization.k8s.io';
const bootstrapping = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
const autoupdate = `rbac.authorization.kubernetes.io/autoupdate`;
/** Roles that gather each other come to rest after as many rounds as they are deep. */
const mostRounds = 10;

const roleObject = ({ name, rules, aggregates, partOf }: BootstrapRole): ApiObject => ({
  apiVersion,
  kind: 'ClusterRole',
  metadata: {
    name,
    labels: { ...bootstrapping, ...(partOf === undefined ? {} : { [`${prefix}/${partOf}`]: 'true' }) },
    annotations: { [autoupdate]: 'true' },
  },
  ...(aggregates === undefined
    ? {}
    : {
        aggregationRule: {
          clusterRoleSelectors: [{ matchLabels: { [`${prefix}/${aggregates}`]: 'true' } }],
        },
      }),
  rules,
});

/** Makes what is missing; rights that a newer server needs are added to roles that are there. */
function bootstrap(tx: Transaction, roles: ServedKind, bindings: ServedKind): void {
  for (const role of bootstrapRoles) {
    const found = tx.get(keyOf(roles, '', role.name));
    if (found === undefined) createIn(tx, roles, '', roleObject(role));
    else if (role.aggregates === undefined && found.object.metadata.annotations?.[autoupdate] !== 'false') {
      const missing = notCovered(role.rules, rulesOf(found.object));
      if (missing.length === 0) continue;
      const rules = [...listAt(found.object, 'rules'), ...missing];
      replaceIn(tx, roles, found, { ...found.object, rules }, 'server');
    }
  }
  for (const { name, role, subjects } of bootstrapBindings) {
    if (tx.get(keyOf(bindings, '', name)) !== undefined) continue;
    createIn(tx, bindings, '', {
      apiVersion,
      kind: 'ClusterRoleBinding',
      metadata: { name, labels: bootstrapping, annotations: { [autoupdate]: 'true' } },
      roleRef: { apiGroup: prefix, kind: 'ClusterRole', name: role },
      subjects: subjects.map((one) => (one.kind === 'ServiceAccount' ? one : { apiGroup: prefix, ...one })),
    });
  }
}

/** The account of the node agents, as in Calico's manifest. */
function bootstrapAccount(tx: Transaction, accounts: ServedKind): void {
  if (tx.get(keyOf(accounts, 'kube-system', 'calico-node')) === undefined)
    createIn(tx, accounts, 'kube-system', {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'calico-node' },
    });
}

/** Brings every role that gathers others up to date. */
function gather(tx: Transaction, roles: ServedKind): void {
  for (let round = 0; round < mostRounds; round++) {
    let changed = false;
    const all = [...tx.objects(clusterRoleResource)];
    for (const role of all) {
      const selectors = listAt(role, 'aggregationRule', 'clusterRoleSelectors').flatMap(
        (selector): readonly Selection[] => {
          const parsed = parseSelection(selectorText(selector) ?? '', '');
          return parsed.ok ? [parsed.value] : [];
        },
      );
      if (selectors.length === 0) continue;
      const parts = all
        .filter((one) => one !== role && selectors.some((selector) => selector.matches(one)))
        .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
      const rules: unknown[] = [];
      for (const rule of parts.flatMap((part) => listAt(part, 'rules')))
        if (!rules.some((known) => sameJson(known, rule))) rules.push(rule);
      const stored = tx.get(keyOf(roles, '', role.metadata.name));
      if (stored === undefined || sameJson(listAt(stored.object, 'rules'), rules)) continue;
      replaceIn(tx, roles, stored, { ...stored.object, rules }, 'server');
      changed = true;
    }
    if (!changed) return;
  }
}

export class RoleController {
  readonly #api: Api;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(api: Api) {
    this.#api = api;
    api.store.onChanges((changes) => this.#notice(changes));
  }

  async start(): Promise<void> {
    const { store, registry } = this.#api;
    const roles = registry.byKey(clusterRoleResource);
    const bindings = registry.byKey(clusterRoleBindingResource);
    const accounts = registry.byKey('serviceaccounts');
    if (roles === undefined || bindings === undefined || accounts === undefined) return;
    await store.write((tx) => {
      bootstrap(tx, roles, bindings);
      bootstrapAccount(tx, accounts);
      gather(tx, roles);
      return ok(undefined);
    });
  }

  async idle(): Promise<void> {
    await this.#running;
  }

  #notice(changes: readonly Change[]): void {
    if (!changes.some(({ current }) => current.resource === clusterRoleResource)) return;
    this.#again = true;
    this.#run();
  }

  #run(): void {
    if (this.#running !== undefined || this.#api.stopping.aborted) return;
    this.#running = this.#work()
      .catch((cause: unknown) => this.#api.logger.error('Gathering roles failed', { error: String(cause) }))
      .finally(() => {
        this.#running = undefined;
        if (this.#again) this.#run();
      });
  }

  async #work(): Promise<void> {
    const { store, registry } = this.#api;
    const roles = registry.byKey(clusterRoleResource);
    if (roles === undefined) return;
    while (this.#again && !this.#api.stopping.aborted) {
      this.#again = false;
      await store.write((tx) => {
        gather(tx, roles);
        return ok(undefined);
      });
    }
  }
}
