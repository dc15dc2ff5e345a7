// Kinds served as the model defines them, Calico's in projectcalico.org/v3: names, columns, checks, defaults.
import {
  allKinds,
  type CrdGroup,
  customResourceDefinition,
  kindDefinition,
  type KindName,
} from '../../model/mod.ts';
import { at, isObject, type JsonObject, listAt, objectAt } from '../json.ts';
import { ageColumn, nameColumn } from '../table/columns.ts';
import { ageOf } from '../table/duration.ts';
import type { Column, ServedKind } from '../types.ts';
import { admissionOf } from './calico-admission.ts';
import { modelChecks } from './model-checks.ts';

type Step = (values: readonly unknown[]) => readonly unknown[];

/** The subset of JSONPath that printer columns use: fields, `[*]`, `[0]`, `[?(@.type=="x")]`. */
export function readPath(path: string): (object: unknown) => unknown {
  const steps: Step[] = [];
  const grammar =
    /\.([A-Za-z0-9_-]+)|\['([^']+)'\]|\[(\d+)\]|(\[\*\])|\[\?\(@\.([A-Za-z0-9_-]+)\s*==\s*["']([^"']*)["']\)\]/g;
  for (const [, field, quoted, position, every, key, wanted] of path.matchAll(grammar)) {
    const name = field ?? quoted;
    if (name !== undefined)
      steps.push((values) => values.map((value) => at(value, name)).filter((value) => value !== undefined));
    else if (position !== undefined)
      steps.push((values) =>
        values.flatMap((value) =>
          Array.isArray(value) ? value.slice(Number(position), Number(position) + 1) : [],
        ),
      );
    else if (every !== undefined)
      steps.push((values) =>
        values.flatMap((value) =>
          Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [],
        ),
      );
    else if (key !== undefined)
      steps.push((values) =>
        values.flatMap((value) =>
          Array.isArray(value) ? value.filter((item) => at(item, key) === wanted) : [],
        ),
      );
  }
  return (object) => steps.reduce<readonly unknown[]>((values, step) => step(values), [object])[0];
}

function cell(value: unknown): string | number | boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value);
}

/** Cells of absent values are empty, as for custom resources in Kubernetes. */
export function servedColumn(column: {
  readonly name: string;
  readonly type: Column['type'];
  readonly path: string;
  readonly description?: string;
  readonly priority?: number;
}): Column {
  if (column.path === '.metadata.creationTimestamp') return ageColumn;
  const read = readPath(column.path);
  return {
    name: column.name,
    type: column.type === 'date' ? 'string' : column.type,
    ...(column.description === undefined ? {} : { description: column.description }),
    ...(column.priority === undefined ? {} : { priority: column.priority }),
    value: (object, nowMs) => {
      const found = cell(read(object));
      return column.type === 'date' && typeof found === 'string' ? ageOf(found, nowMs) : (found ?? '');
    },
  };
}

export const structuralSchema = (name: KindName, group: CrdGroup = 'projectcalico.org'): JsonObject => {
  const [version] = listAt(customResourceDefinition(name, group), 'spec', 'versions');
  return objectAt(version, 'schema', 'openAPIV3Schema');
};

/** Calico's own kinds, and Kubernetes' policy of clusters, which elsewhere is a custom resource too (RS-135). */
const isFromModel = (name: KindName): boolean =>
  kindDefinition(name).family === 'calico' || name === 'ClusterNetworkPolicy';

export function calicoKinds(): readonly ServedKind[] {
  const kinds: ServedKind[] = [];
  for (const name of allKinds) {
    const definition = kindDefinition(name);
    if (!isFromModel(name) || definition.storedAs !== 'itself') continue;
    const columns = definition.columns.map(servedColumn);
    kinds.push({
      group: definition.group,
      version: definition.version,
      kind: definition.kind,
      plural: definition.plural,
      singular: definition.singular,
      shortNames: definition.shortNames,
      categories: [],
      namespaced: definition.namespaced,
      nature: 'custom',
      columns:
        columns.length === 0
          ? [nameColumn, ageColumn]
          : [nameColumn, ...columns.filter((one) => one.name.toLowerCase() !== 'name')],
      hasStatus: definition.hasStatus,
      hasScale: false,
      countsGenerations: true,
      schema: undefined,
      structural: () => structuralSchema(name),
      names: 'path',
      ...modelChecks(name),
      ...admissionOf(name),
    });
  }
  return kinds;
}
