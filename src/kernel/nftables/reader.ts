// A position in the tokens of a rule, with the ways to go on from there.
import { NftSyntaxError, type Token } from './lexer.ts';

/** A position in the tokens of a rule. */
export class RuleReader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)] as Token;
  }

  atEnd(): boolean {
    return this.peek().kind === 'end';
  }

  next(): Token {
    const token = this.peek();
    this.#at++;
    return token;
  }

  /** Takes the token when it is this word or symbol. */
  take(text: string): boolean {
    const token = this.peek();
    if ((token.kind !== 'word' && token.kind !== 'symbol') || token.text !== text) return false;
    this.#at++;
    return true;
  }

  need(text: string): void {
    if (!this.take(text)) throw new NftSyntaxError(`"${text}" is expected before "${this.peek().text}"`);
  }

  word(): string {
    const token = this.next();
    if (token.kind !== 'word' && token.kind !== 'string') this.refuse(token);
    return token.text;
  }

  number(): number {
    const token = this.next();
    if (token.kind !== 'word' || !/^(0x[0-9a-f]{1,8}|[0-9]{1,10})$/i.test(token.text)) this.refuse(token);
    return Number(token.text);
  }

  refuse(token: Token = this.peek()): never {
    throw new NftSyntaxError(`"${token.text}" is not understood here`);
  }
}
