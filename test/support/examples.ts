// The YAML examples under test/examples: their documents, and what of a document a server does not give back as it was said.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type DocumentOptions, parseAllDocuments, type SchemaOptions } from 'yaml';
import { parseDurationMs } from '../../src/model/mod.ts';

export type Value = null | boolean | number | string | readonly Value[] | { readonly [name: string]: Value };
export type Example = {
  /** calico/pool.yaml */
  readonly file: string;
  readonly position: number;
  readonly text: string;
  readonly objects: readonly Value[];
  /** Which of the examples about the same object this is, from 0. */
  readonly round: number;
};

/** As kubectl reads: 0400 is octal, and 1:20 is no number of seconds. */
const reading: DocumentOptions & SchemaOptions = {
  version: '1.1',
  customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || tag.format !== 'TIME'),
};
const root = join(import.meta.dirname, '..', 'examples');

/** `path.of(value)`; undefined when there is no such field. */
export function at(value: Value | undefined, ...path: readonly string[]): Value | undefined {
  return path.reduce<Value | undefined>(
    (inner, name) => (isMap(inner) && Object.hasOwn(inner, name) ? inner[name] : undefined),
    value,
  );
}
const isMap = (value: Value | undefined): value is { readonly [name: string]: Value } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const textOf = (value: Value | undefined): string =>
  typeof value === 'string' ? value : JSON.stringify(value ?? null);

/** Group, kind, namespace and name. */
export const identity = (object: Value): string =>
  [
    textOf(at(object, 'apiVersion')).replace(/\/?[^/]*$/, ''),
    textOf(at(object, 'kind')),
    textOf(at(object, 'metadata', 'namespace') ?? 'default'),
    textOf(at(object, 'metadata', 'name')),
  ].join(' ');

/** All documents of the folders, in the order of their files. */
export function examplesOf(...folders: readonly string[]): readonly Example[] {
  const seen = new Map<string, number>();
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder))
      .toSorted()
      .flatMap((name) => {
        const text = readFileSync(join(root, folder, name), 'utf8');
        return text
          .split(/^---$/m)
          .filter((part) => /^[^#\s]/m.test(part))
          .map((part, position): Example => {
            const value = parseAllDocuments(part, reading)[0]?.toJS() as Value;
            const objects = Array.isArray(value)
              ? value
              : at(value, 'kind') === 'List'
                ? (at(value, 'items') as readonly Value[])
                : [value];
            const key = objects.map(identity).join();
            const round = seen.get(key) ?? 0;
            seen.set(key, round + 1);
            return { file: `${folder}/${name}`, position, text: part, objects, round };
          });
      }),
  );
}

/** Writes the documents as files of a directory, and gives its name back. */
export function writeExamples(directory: string, examples: readonly Example[]): string {
  mkdirSync(directory, { recursive: true });
  for (const { file, position, text } of examples) {
    const folder = basename(dirname(file));
    const name = `${folder}-${basename(file, '.yaml')}-${position}.yaml`;
    // The line that begins a document: without it, kubectl takes the flow style for JSON.
    writeFileSync(join(directory, name), `---\n${text.trimStart()}`);
  }
  return directory;
}

/** Where what was read differs from what was said. What was read may say more, and may say the same in the form that
 *  Kubernetes and Calico give it. */
export function differences(said: Value, read: Value | undefined, path = ''): readonly string[] {
  if (isMap(said) && isMap(read)) {
    return Object.entries(said).flatMap(([name, value]) =>
      name === 'stringData' && isMap(value)
        ? differences(inBase64(value), at(read, 'data'), `${path}.data`)
        : isCollected(said, name)
          ? []
          : differences(value, at(read, name), `${path}.${name}`),
    );
  }
  if (Array.isArray(said) && Array.isArray(read) && isWhole(path, said, read)) {
    return said.flatMap((value: Value, index) =>
      differences(value, read[index] as Value | undefined, `${path}[${index}]`),
    );
  }
  return isDeepStrictEqual(said, read) || isSameScalar(said, read)
    ? []
    : [`${path}: said ${JSON.stringify(said)}, read ${JSON.stringify(read)}`];
}

const inBase64 = (texts: { readonly [name: string]: Value }): Value =>
  Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [name, Buffer.from(textOf(text)).toString('base64')]),
  );

/** The rules of a role that the control plane collects from other roles. */
const isCollected = (said: Value, name: string): boolean =>
  name === 'rules' && at(said, 'aggregationRule') !== undefined;

/** Every pod is given two tolerations more. */
const isWhole = (path: string, said: readonly unknown[], read: readonly unknown[]): boolean =>
  said.length === read.length || (path.endsWith('.tolerations') && said.length < read.length);

/** A number and its text (AS numbers, ports, quantities), and two texts of one length of time. */
const isSameScalar = (said: Value, read: Value | undefined): boolean =>
  typeof read === 'object'
    ? false
    : textOf(said) === textOf(read) ||
      (typeof said === 'string' &&
        typeof read === 'string' &&
        parseDurationMs(said) !== undefined &&
        parseDurationMs(said) === parseDurationMs(read));
