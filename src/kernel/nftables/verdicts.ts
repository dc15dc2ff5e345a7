// Verdicts as text and number.

export type Verdict = {
  readonly code: 'accept' | 'drop' | 'continue' | 'return' | 'jump' | 'goto';
  readonly chain?: string;
};

export const verdictNumbers = { drop: 0, accept: 1, continue: -1, jump: -3, goto: -4, return: -5 } as const;

const chainName = /^[\w.-]+$/;

/** `accept`, `jump x`, …; undefined for anything else. */
export function parseVerdict(text: string): Verdict | undefined {
  // As nearly all are written.
  if (text.startsWith('goto ') && chainName.test(text.slice(5)))
    return { code: 'goto', chain: text.slice(5) };
  const match = /^(accept|drop|continue|return|(?:jump|goto) ([\w.-]+))$/.exec(
    text.trim().replace(/\s+/g, ' '),
  );
  if (match === null) return undefined;
  const code = text.trim().split(/\s/)[0] as Verdict['code'];
  return match[2] === undefined ? { code } : { code, chain: match[2] };
}

export const formatVerdict = (verdict: Verdict): string =>
  verdict.chain === undefined ? verdict.code : `${verdict.code} ${verdict.chain}`;

export function verdictOfNumber(number: number, chain: string | undefined): Verdict | undefined {
  for (const [code, value] of Object.entries(verdictNumbers))
    if (value === number)
      return chain === undefined
        ? { code: code as Verdict['code'] }
        : { code: code as Verdict['code'], chain };
  return undefined;
}
