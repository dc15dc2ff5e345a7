// Rules about HTTP requests (RS-098). Paths are compared as servers understand them, so that no spelling of a path leads
// past a rule: one percent-decoding, backslashes as slashes, path parameters removed, `.` and `..` resolved.
import type { HttpMatch, HttpRequest, PathMatch } from './types.ts';

/** Whether the request is one that the rule is about. An empty list asks for nothing. */
export const matchesHttp = (match: HttpMatch, request: HttpRequest): boolean =>
  matchesMethods(match.methods ?? [], request.method) && matchesPaths(match.paths ?? [], request.path);

/** Methods are compared letter by letter; `*` is any. */
export const matchesMethods = (methods: readonly string[], method: string): boolean =>
  methods.length === 0 || methods.includes('*') || methods.includes(method);

/** Whether one of the paths is that of the request. A path that cannot be made out matches nothing. */
export function matchesPaths(paths: readonly PathMatch[], requestPath: string): boolean {
  if (paths.length === 0) return true;
  const path = normalisePath(requestPath);
  return (
    path !== undefined &&
    paths.some((match) => ('exact' in match ? path === cleaned(match.exact) : isBelow(path, match.prefix)))
  );
}

/** A prefix ends where a segment ends: /pub is above /pub/x and not above /public. */
function isBelow(path: string, prefix: string): boolean {
  const top = cleaned(prefix);
  return top !== undefined && (top === '/' || path === top || path.startsWith(`${top}/`));
}

/** Paths of rules come in every spelling too. */
const cleaned = (path: string): string | undefined => normalisePath(path);

const encodedAgain = /%[0-9a-f]{2}/i;

/** The one spelling of a request's path; undefined for what has none: relative, empty, encoded twice, with a NUL. */
export function normalisePath(requestPath: string): string | undefined {
  const [raw = ''] = requestPath.split(/[?#]/, 1);
  const decoded = decodeOnce(raw);
  // A path starts with a slash as it is sent, not only when it is decoded.
  if (decoded === undefined || !raw.startsWith('/')) return undefined;
  // What still holds an escape, one server would decode again and another would not.
  if (encodedAgain.test(decoded) || decoded.includes('\0')) return undefined;
  const segments: string[] = [];
  for (const part of decoded.replaceAll('\\', '/').split('/')) {
    const segment = part.split(';', 1)[0] ?? '';
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  return `/${segments.join('/')}`;
}

function decodeOnce(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
