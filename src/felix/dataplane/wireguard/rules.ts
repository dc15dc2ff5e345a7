// The table of routing rules: what does not have WireGuard's mark looks into the table of its routes first.
import { ok, type Result } from '../../../lib/result.ts';
import type { Kernel, PolicyRule } from '../../../kernel/mod.ts';
import type { Operations } from '../types.ts';

export const ruleKey = ({ family, priority, table, mark, markMask, invert }: PolicyRule): string =>
  `${family} ${priority} ${invert === true ? 'not ' : ''}${mark}/${markMask} ${table}`;

/** Of the form that WireGuard's rules have, wherever they lead. */
export const isMarkRule = ({ invert, mark, markMask, source, destination, inLink }: PolicyRule): boolean =>
  invert === true &&
  mark !== undefined &&
  mark === markMask &&
  source === undefined &&
  destination === undefined &&
  inLink === undefined;

/** `isOwnTable`: tables that are Felix's to use; a rule of this form that leads into one is ours. */
export function ruleOperations(
  kernel: Kernel,
  isOwnTable: (table: number) => boolean,
): Operations<PolicyRule, PolicyRule> {
  const isOurs = (rule: PolicyRule): boolean => isMarkRule(rule) && isOwnTable(rule.table);
  return {
    name: 'rules',
    keyOf: ruleKey,

    async dump() {
      const listed = await kernel.rules.list();
      if (!listed.ok) return listed;
      return ok(new Map(listed.value.filter(isOurs).map((rule) => [ruleKey(rule), rule])));
    },

    equal: () => true,
    orphan: () => 'remove',

    async apply(changes) {
      const outcomes = await kernel.rules.apply(
        changes.map((change) =>
          change.op === 'put'
            ? { op: 'add' as const, rule: change.row }
            : { op: 'delete' as const, rule: change.actual },
        ),
      );
      return changes.map((change, i): Result<PolicyRule | undefined> => {
        const outcome = outcomes[i];
        if (outcome !== undefined && !outcome.ok) return outcome;
        return ok(change.op === 'put' ? change.row : undefined);
      });
    },
  };
}
