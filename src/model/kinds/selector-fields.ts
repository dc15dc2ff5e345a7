// Selectors as fields of resources.
import { parseSelector, usesGlobal } from '../../selector/mod.ts';
import { string } from '../schema.ts';

/** Longest selector of a policy or rule. */
const maxLength = 1024;

export const policySelector = (description: string) => string({ format: 'selector', maxLength, description });

/** Whether the text is a selector that uses global(). */
export function hasGlobal(text: string | undefined): boolean {
  const parsed = parseSelector(text ?? '');
  return parsed.ok && usesGlobal(parsed.value);
}

/** Whether the text is global() and nothing else. */
export function isGlobal(text: string | undefined): boolean {
  const parsed = parseSelector(text ?? '');
  return parsed.ok && parsed.value.root.kind === 'global';
}
