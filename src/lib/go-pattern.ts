// Regular expressions of resources and settings are written in Go's syntax (RE2). Here they become JavaScript's. What Go
// refuses is refused, although JavaScript would read it: an unknown escape as the letter itself, a look-ahead, a reference
// back. So a pattern is good or bad here as it is for Calico.

/** Escapes of letters that both know and read alike. */
const shared = new Set('dDsSwWbBfnrtv');
/** Those that only Go knows, outside of brackets. */
const anchors: Readonly<Record<string, string>> = { A: '(?<![^])', z: '(?![^])', a: '\\x07' };

/** The expression, or undefined when Go has no such thing. */
export function goPattern(source: string): RegExp | undefined {
  const flags = /^\(\?([ims]+)\)/.exec(source);
  const translated = translate(source.slice(flags?.[0].length ?? 0));
  if (translated === undefined) return undefined;
  try {
    return new RegExp(translated, flags?.[1]?.replaceAll(/(.)(?=.*\1)/g, '') ?? '');
  } catch {
    return undefined;
  }
}

function translate(source: string): string | undefined {
  let out = '';
  let inBrackets = false;
  for (let at = 0; at < source.length; at++) {
    const sign = source[at] ?? '';
    if (sign === '\\') {
      const escape = escapeAt(source, at + 1, inBrackets);
      if (escape === undefined) return undefined;
      out += escape.text;
      at = escape.end - 1;
    } else if (!inBrackets && source.startsWith('(?', at)) {
      const group = /^\(\?(?:P?<([A-Za-z_]\w*)>|([ims]*(?:-[ims]+)?):)/.exec(source.slice(at));
      if (group === null) return undefined;
      out += group[1] === undefined ? `(?${group[2]}:` : `(?<${group[1]}>`;
      at += group[0].length - 1;
    } else {
      if (sign === '[' && !inBrackets) inBrackets = true;
      else if (sign === ']' && inBrackets && !/\[\^?$/.test(out)) inBrackets = false;
      out += sign === ']' && inBrackets ? '\\]' : sign;
    }
  }
  return out;
}

/** The escape behind a backslash, and where it ends. */
function escapeAt(
  source: string,
  at: number,
  inBrackets: boolean,
): { text: string; end: number } | undefined {
  const sign = source[at];
  if (sign === undefined) return undefined;
  if (!/[A-Za-z0-9]/.test(sign)) return { text: `\\${sign}`, end: at + 1 };
  if (sign === 'x') {
    const hex = /^x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,4})\})/.exec(source.slice(at));
    const digits = hex?.[1] ?? hex?.[2];
    return hex === null || digits === undefined
      ? undefined
      : { text: `\\u${digits.padStart(4, '0')}`, end: at + hex[0].length };
  }
  if (shared.has(sign)) return { text: `\\${sign}`, end: at + 1 };
  const anchor = anchors[sign];
  return anchor === undefined || (inBrackets && sign !== 'a') ? undefined : { text: anchor, end: at + 1 };
}
