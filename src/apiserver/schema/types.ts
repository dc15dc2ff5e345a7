// A compact structural schema of the Kubernetes kinds: which fields exist, and how lists merge in a strategic patch.
// It drives unknown-field reports and strategic merge; what a value may be is the business of a kind's validation.

export type Schema =
  | { readonly type: 'string' | 'integer' | 'boolean' | 'any' | 'quantity' | 'intOrString' }
  | {
      readonly type: 'map';
      readonly of: Schema;
      /** Server-side apply treats it as one value. */
      readonly atomic?: boolean;
    }
  | {
      readonly type: 'list';
      readonly of: Schema;
      /** Items are matched by this field in a strategic merge; without it a patch replaces the list. */
      readonly mergeKey?: string;
      /** Fields that tell items apart in server-side apply, when the merge key alone does not. */
      readonly keys?: readonly string[];
      /** Lists of plain values that a strategic merge joins instead of replacing. */
      readonly joins?: boolean;
    }
  | {
      readonly type: 'object';
      readonly fields: Readonly<Record<string, Schema>>;
      /** `retainKeys`: a strategic patch may drop all fields it does not name (deployment strategy, volumes). */
      readonly retainsKeys?: boolean;
      readonly required?: readonly string[];
      /** Name in OpenAPI; objects without one are described where they are used. */
      readonly title?: string;
      readonly atomic?: boolean;
    };
