// nft expression text into tokens. A word holds whatever nft writes without spaces (addresses, prefixes, ranges, names);
// the dot of a concatenation and the colon of a map stand alone, as nft itself prints them.

export type Token = {
  readonly kind: 'word' | 'string' | 'set' | 'symbol' | 'end';
  readonly text: string;
};

/** What cannot be understood, by name; caught at the module's edge and told as InvalidArgument. */
export class NftSyntaxError extends Error {}

const symbols = ['==', '!=', '<=', '>=', '{', '}', '(', ')', ',', '<', '>', '&', '|', '^', '=', ';', '/'];

export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at);
    const space = /^\s+/.exec(rest);
    if (space !== null) {
      at += space[0].length;
      continue;
    }
    const quoted = /^"([^"]*)"/.exec(rest);
    if (quoted !== null) {
      tokens.push({ kind: 'string', text: quoted[1] ?? '' });
      at += quoted[0].length;
      continue;
    }
    const set = /^@([A-Za-z_][\w./-]*)/.exec(rest);
    if (set !== null) {
      tokens.push({ kind: 'set', text: set[1] ?? '' });
      at += set[0].length;
      continue;
    }
    const symbol = symbols.find((candidate) => rest.startsWith(candidate));
    if (symbol !== undefined) {
      tokens.push({ kind: 'symbol', text: symbol });
      at += symbol.length;
      continue;
    }
    const word = /^[A-Za-z0-9_.:*\-/[\]]+/.exec(rest)?.[0];
    if (word === undefined) throw new NftSyntaxError(`"${rest[0]}" is not understood`);
    pushWord(tokens, word);
    at += word.length;
  }
  tokens.push({ kind: 'end', text: 'the end of the rule' });
  return tokens;
}

/** `53:` is a key and its colon; `fd00::` is an address. */
function pushWord(tokens: Token[], word: string): void {
  if (word === '.' || word === ':') tokens.push({ kind: 'symbol', text: word });
  else if (word.endsWith(':') && !word.endsWith('::')) {
    tokens.push({ kind: 'word', text: word.slice(0, -1) }, { kind: 'symbol', text: ':' });
  } else tokens.push({ kind: 'word', text: word });
}
