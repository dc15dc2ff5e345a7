// Reading request bodies within bounds: size, encoding, nesting. Nothing of a refused body is kept.
import type { IncomingMessage } from 'node:http';
import { parseJson } from '../../lib/json.ts';
import { ok, type Result } from '../../lib/result.ts';
import { nestsDeeperThan } from '../json.ts';
import { refuse, type StatusError } from '../status.ts';
import type { Limits } from '../types.ts';

const protobufType = 'application/vnd.kubernetes.protobuf';
const utf8 = new TextDecoder('utf-8', { fatal: true });

async function readBytes(request: IncomingMessage, limit: number): Promise<Result<Buffer, StatusError>> {
  const tooLarge = (): Result<Buffer, StatusError> =>
    refuse('RequestEntityTooLarge', `Request entity too large: limit is ${limit}`);
  if (Number(request.headers['content-length'] ?? 0) > limit) return tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit) return tooLarge();
      chunks.push(chunk);
    }
  } catch {
    return refuse('BadRequest', 'the request ended before its body was complete');
  }
  return ok(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks));
}

export const mediaTypeOf = (request: IncomingMessage): string =>
  (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** The body as data; undefined when there is none. `accepted` are media types beside JSON (`+json` ones too). */
export async function readBody(
  request: IncomingMessage,
  limits: Limits,
  accepted: readonly string[] = [],
): Promise<Result<unknown, StatusError>> {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity')
    return refuse(
      'UnsupportedMediaType',
      `the content encoding ${encoding} is not supported; send the body as it is`,
    );
  const bytes = await readBytes(request, limits.bodyBytes);
  if (!bytes.ok) return bytes;
  if (bytes.value.length === 0) return ok(undefined);
  const type = mediaTypeOf(request);
  if (!['', 'application/json', 'application/yaml', protobufType, ...accepted].includes(type)) {
    return refuse(
      'UnsupportedMediaType',
      `the body of the request was in an unknown format - accepted media types include: ${['application/json', 'application/yaml', protobufType, ...accepted].join(', ')}`,
    );
  }
  if (type === protobufType) return parseProtobuf(bytes.value);
  let text: string;
  try {
    text = utf8.decode(bytes.value);
  } catch {
    return refuse('BadRequest', 'the body of the request is not valid UTF-8');
  }
  return type.endsWith('yaml') ? parseYaml(text, limits) : parse(text, limits);
}

function parse(text: string, limits: Limits): Result<unknown, StatusError> {
  if (nestsDeeperThan(text, limits.jsonDepth))
    return refuse('BadRequest', `the body of the request nests deeper than ${limits.jsonDepth} levels`);
  if (text.includes('"__proto__"'))
    return refuse('BadRequest', 'the body of the request has a field named __proto__');
  try {
    return ok(parseJson(text));
  } catch (cause) {
    return refuse(
      'BadRequest',
      `couldn't parse the body as JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
    );
  }
}

/** Most of what calls itself YAML is JSON: kubectl's applied configurations. */
async function parseYaml(text: string, limits: Limits): Promise<Result<unknown, StatusError>> {
  if (text.trimStart().startsWith('{')) {
    const read = parse(text, limits);
    if (read.ok) return read;
  }
  const { yamlToJson } = await import('./yaml.ts');
  const json = await yamlToJson(text);
  return json.ok
    ? parse(json.value, limits)
    : refuse('BadRequest', `couldn't parse the body as YAML: ${json.error}`);
}

/** The decoder and its tables are loaded when the first such body comes. */
async function parseProtobuf(bytes: Buffer): Promise<Result<unknown, StatusError>> {
  const { decodeProtobuf } = await import('../protobuf/decode.ts');
  const decoded = decodeProtobuf(bytes);
  return decoded.ok ? decoded : refuse('BadRequest', `couldn't read the body as protobuf: ${decoded.error}`);
}
