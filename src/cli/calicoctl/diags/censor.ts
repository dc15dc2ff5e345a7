// Takes passwords, keys and tokens out of text that people will send to each other. Pure. What a secret is called tells that it
// is one; a secret under a name of its own cannot be recognised, so nothing is collected that is made to hold some.
const censored = '<censored>';

/** Names of fields, variables and options whose value is a secret. */
const secretWord =
  '(?:pass(?:word|wd|phrase)|secret|token|private[-_ ]?key|preshared[-_ ]?key|key-data|api[-_]?key)';
/** Names that hold such a word and say only where a secret is, or how long it lasts. */
const aboutSecrets = /(?:name|ref|refs|path|file|seconds|namespace|type|mode)$/i;
const harmless = /^(?:true|false|null|~|none|\d+|\{\}|\[\]|""|''|\||>|&|\*)$/i;

const rules: readonly ((text: string) => string)[] = [
  (text) =>
    text.replaceAll(
      /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)/g,
      censored,
    ),
  // JSON Web Tokens, wherever they stand.
  (text) => text.replaceAll(/\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*/g, censored),
  (text) => text.replaceAll(/\b(Bearer|Basic) +[\w.~+/=-]{6,}/g, `$1 ${censored}`),
  (text) => text.replaceAll(/(\w:\/\/)[^/\s:@]+:[^/\s@]+@/g, `$1${censored}@`),
  // A variable of a container: its name stands in the line before.
  (text) =>
    text.replaceAll(
      new RegExp(`(name: *["']?[\\w.-]*${secretWord}[\\w.-]*["']?[ \\t]*\\n[ \\t]*value: *)\\S.*`, 'gi'),
      `$1${censored}`,
    ),
  // `name: value`, `name=value`, `"name": "value"`, `--name value`, and BIRD's `password "value"`.
  (text) =>
    text.replaceAll(
      new RegExp(
        `((?:--)?[\\w.-]*${secretWord}[\\w.-]*)(["']?[ \\t]*[:=][ \\t]*|[ \\t]+(?=")|(?<=--[\\w.-]*)[ \\t]+)("[^"\\n]*"|'[^'\\n]*'|[^\\s"',;}]+)`,
        'gi',
      ),
      (whole, name: string, between: string, value: string) =>
        aboutSecrets.test(name) || harmless.test(value)
          ? whole
          : `${name}${between}${/^["']/.test(value) ? `${value[0]}${censored}${value[0]}` : censored}`,
    ),
];

export const censor = (text: string): string => rules.reduce((now, rule) => rule(now), text);
