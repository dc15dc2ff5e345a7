// Finding the definition of a kind: by its name here, or by what a user or a request calls it.
import type { KindDefinition } from './kind-definition.ts';
import { definitions, type KindName } from './kinds/mod.ts';

export const allKinds: readonly KindName[] = Object.keys(definitions) as KindName[];

export const kindDefinition = <K extends KindName>(kind: K): KindDefinition<K> =>
  definitions[kind] as unknown as KindDefinition<K>;

/** `word` is a kind, plural, singular or short name in any case; without apiVersion the first kind that fits. */
export function kindByResource(
  apiVersion: string | undefined,
  word: string,
): KindDefinition<KindName> | undefined {
  const wanted = word.toLowerCase();
  for (const name of allKinds) {
    const definition = kindDefinition(name);
    if (apiVersion !== undefined && definition.apiVersion !== apiVersion) continue;
    if (
      definition.plural === wanted ||
      definition.singular === wanted ||
      definition.shortNames.includes(wanted)
    )
      return definition;
  }
  return undefined;
}
