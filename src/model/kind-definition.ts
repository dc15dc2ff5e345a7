// What is known of a kind: its names, its schema, its rules and how lists show it. Everything else about resources
// (types, validation, defaults, CRDs, pages) is computed from these definitions.
import type { Static, TObject, TProperties } from 'typebox';
import { object, type DeepReadonly, type SchemaNode, type Validation } from './schema.ts';
import type { Issue, ObjectMeta } from './types.ts';

/** A column of `kubectl get` and `calicoctl get`. */
export type Column = {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  /** Path as in a CRD's additionalPrinterColumns, e.g. `.spec.cidr`. */
  readonly path: string;
  readonly description?: string;
  /** 0 is always shown, 1 only in wide lists. */
  readonly priority?: number;
};

/** Checks that one field alone cannot decide; called only with structurally sound objects. */
export type Rule = (object: AnyObject) => readonly Issue[];
export type AnyObject = Readonly<Record<string, unknown>>;

/** Checks a write that replaces `before`, which is undefined at creation. */
export type ChangeRule = (object: AnyObject, before: AnyObject | undefined) => readonly Issue[];
export type Complete = (object: AnyObject) => AnyObject;

export type KindDefinition<Name extends string = string> = {
  /** Unique in this project (`Kinds`): differs from `kind` where two groups use one word. */
  readonly name: Name;
  readonly kind: string;
  readonly apiVersion: string;
  /** Empty for Kubernetes' core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  /** Kinds of `calico` are checked strictly; of `kubernetes` only as far as they are used. */
  readonly family: 'calico' | 'kubernetes';
  /** Where the datastore keeps it: as an object of its own, or computed from another kind. */
  readonly storedAs: 'itself' | 'view';
  /** Names in the classic storage group crd.projectcalico.org/v1, when they differ or exist there. */
  readonly classic?: { readonly kind: string; readonly plural: string };
  readonly hasStatus: boolean;
  readonly description: string;
  /** Schema of the fields beside apiVersion, kind and metadata. */
  readonly schema: SchemaNode;
  readonly rules: readonly Rule[];
  /** What one version of an object may not change of the one before. */
  readonly changeRules: readonly ChangeRule[];
  /** Rules in CEL that need the name of the object. */
  readonly validations: readonly Validation[];
  /** Defaults that depend on other fields. */
  readonly complete?: Complete;
  readonly columns: readonly Column[];
};

type Typed<Kind extends string, P extends TProperties> = {
  readonly apiVersion: string;
  readonly kind: Kind;
  readonly metadata: ObjectMeta;
} & DeepReadonly<Static<TObject<P>>>;

export type DefinitionWithType<
  Name extends string,
  Kind extends string,
  P extends TProperties,
> = KindDefinition<Name> & {
  /** Only for the compiler. */
  readonly type?: Typed<Kind, P>;
};

type Described<Name extends string, Kind extends string, P extends TProperties> = {
  readonly name?: Name;
  readonly kind: Kind;
  readonly apiVersion?: string;
  readonly plural: string;
  readonly shortNames?: readonly string[];
  readonly namespaced?: boolean;
  readonly storedAs?: 'itself' | 'view';
  readonly classic?: { readonly kind: string; readonly plural: string } | false;
  readonly description: string;
  readonly fields: P;
  readonly rules?: readonly ((object: Typed<Kind, P>) => readonly Issue[])[];
  readonly changeRules?: readonly ((
    object: Typed<Kind, P>,
    before: Typed<Kind, P> | undefined,
  ) => readonly Issue[])[];
  readonly validations?: readonly Validation[];
  readonly complete?: (object: Typed<Kind, P>) => Typed<Kind, P>;
  readonly columns?: readonly Column[];
};

/** Completes what a kind's file says with what follows from it. */
export function defineKind<
  const Kind extends string,
  P extends TProperties,
  const Name extends string = Kind,
>(described: Described<Name, Kind, P>): DefinitionWithType<Name, Kind, P> {
  const apiVersion = described.apiVersion ?? 'projectcalico.org/v3';
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['', apiVersion];
  const isCalico = group === 'projectcalico.org';
  const classic = described.classic ?? (isCalico && { kind: described.kind, plural: described.plural });
  return {
    name: described.name ?? (described.kind as string as Name),
    kind: described.kind,
    apiVersion,
    group: group ?? '',
    version: version ?? '',
    plural: described.plural,
    singular: described.kind.toLowerCase(),
    shortNames: described.shortNames ?? [],
    namespaced: described.namespaced ?? false,
    family: isCalico ? 'calico' : 'kubernetes',
    storedAs: described.storedAs ?? 'itself',
    ...(classic === false ? {} : { classic }),
    hasStatus: 'status' in described.fields,
    description: described.description,
    schema: object(described.fields) as unknown as SchemaNode,
    // The rules are typed by the kind's own fields; whoever calls them has checked the object against the schema first.
    rules: (described.rules ?? []) as unknown as readonly Rule[],
    changeRules: (described.changeRules ?? []) as unknown as readonly ChangeRule[],
    validations: described.validations ?? [],
    ...(described.complete === undefined ? {} : { complete: described.complete as unknown as Complete }),
    columns: described.columns ?? [],
  };
}
