// From the name of an interface to its endpoint's chain, as a shallow tree: where several names go on with the same character
// after what all have in common, a chain of their own holds them (FX-031). A packet meets some dozen comparisons on a node of
// a hundred endpoints, not a hundred.
import type { Row } from './types.ts';
import { line } from './rules.ts';

export type NamedChain = Pick<Extract<Row, { readonly kind: 'chain' }>, 'name' | 'rules'>;

export type Dispatch = {
  readonly root: string;
  /** Which interface of the packet is asked for. */
  readonly by: 'in' | 'out';
  readonly interfaces: readonly string[];
  readonly target: (interfaceName: string) => string;
  /** What meets packets of interfaces that are not named. */
  readonly end: readonly string[];
};

export function dispatchTree({ root, by, interfaces, target, end }: Dispatch): readonly NamedChain[] {
  const names = interfaces.toSorted();
  const common = commonPrefix(names);
  const match = (name: string): string => `--${by}-interface ${name}`;
  const goTo = (name: string): string => line(match(name), '--goto', target(name));
  const children: NamedChain[] = [];
  const lines: string[] = [];
  for (const [next, group] of Map.groupBy(names, (name) => name.charAt(common.length))) {
    const [only, another] = group;
    if (next === '' || another === undefined) {
      lines.push(goTo(only ?? ''));
      continue;
    }
    const name = `${root}-${next}`;
    children.push({ name, rules: [...group.map(goTo), ...end] });
    lines.push(line(match(`${common}${next}+`), '--goto', name));
  }
  return [...children, { name: root, rules: [...lines, ...end] }];
}

function commonPrefix([first = '', ...rest]: readonly string[]): string {
  let length = first.length;
  for (const name of rest) while (!name.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}
