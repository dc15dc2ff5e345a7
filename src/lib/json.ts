// JSON whose integers survive. Calico stores 64-bit numbers (an IPAMBlock's sequenceNumber is nanoseconds since the
// epoch), which JSON.parse rounds to a multiple of 256. Whatever reads or writes resources as text uses these two:
// integers beyond 2^53 are bigints in memory and plain JSON numbers on the wire; everything else is as JSON has it.

type RawJson = { rawJSON(text: string): unknown };
type ReviverContext = { readonly source?: string };

const longNumber = /\d{16}/;
const integer = /^-?\d+$/;

/** As JSON.parse (it throws SyntaxError), except that integers a double cannot hold become bigints. */
export function parseJson(text: string): unknown {
  // The reviver costs several times the parse itself: it runs only where a long number may be.
  return longNumber.test(text) ? JSON.parse(text, exactInteger) : JSON.parse(text);
}

/** As JSON.stringify, except that bigints are written as JSON numbers instead of throwing. */
export function stringifyJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return JSON.stringify(value, (_key, part: unknown) =>
      typeof part === 'bigint' ? (JSON as unknown as RawJson).rawJSON(part.toString()) : part,
    );
  }
}

function exactInteger(_key: string, value: unknown, context?: ReviverContext): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  const source = context?.source;
  return source !== undefined && integer.test(source) ? BigInt(source) : value;
}
