// What `-f` names: a file, a directory (with -R all below it), or `-` for standard input; as text.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { err, failure, ok, type Failure, type Result } from '../../../lib/result.ts';

export type InputFile = { readonly source: string; readonly text: string };
export type FileError = Failure<'BadFile'>;

/** A file of resources is never near this size; more is refused before it is read. */
const maxBytes = 64 * 1024 * 1024;
const wanted = new Set(['.yaml', '.yml', '.json']);

/** Reads all of it, in the order of names. A directory is not looked into below its first level unless `recursive`. */
export async function readInputs(
  name: string,
  options: { readonly recursive: boolean },
): Promise<Result<readonly InputFile[], FileError>> {
  if (name === '-') {
    const bytes = await readStandardInput();
    return bytes.ok ? listOf(decode('stdin', bytes.value)) : bytes;
  }
  let paths: readonly string[];
  try {
    paths = statSync(name).isDirectory() ? filesIn(name, options.recursive) : [name];
  } catch (error) {
    return bad(`${name} cannot be read: ${reasonOf(error)}.`);
  }
  const files: InputFile[] = [];
  for (const path of paths) {
    const file = readOne(path);
    if (!file.ok) return file;
    files.push(file.value);
  }
  return ok(files);
}

function filesIn(directory: string, recursive: boolean): readonly string[] {
  const entries = readdirSync(directory, { withFileTypes: true }).toSorted((a, b) =>
    a.name < b.name ? -1 : 1,
  );
  return entries.flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return recursive ? filesIn(path, true) : [];
    return wanted.has(extname(entry.name).toLowerCase()) ? [path] : [];
  });
}

function readOne(path: string): Result<InputFile, FileError> {
  try {
    if (statSync(path).size > maxBytes) return tooLarge(path);
    return decode(path, readFileSync(path));
  } catch (error) {
    return bad(`${path} cannot be read: ${reasonOf(error)}.`);
  }
}

async function readStandardInput(): Promise<Result<Uint8Array, FileError>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin) {
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > maxBytes) return tooLarge('stdin');
    chunks.push(bytes);
  }
  return ok(Buffer.concat(chunks));
}

function decode(source: string, bytes: Uint8Array): Result<InputFile, FileError> {
  try {
    return ok({ source, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) });
  } catch {
    const { line, column } = firstBadByte(bytes);
    return bad(`${source}:${line}:${column}: the text is not UTF-8.`);
  }
}

/** The longest prefix that is valid ends at the bad byte. */
function firstBadByte(bytes: Uint8Array): { readonly line: number; readonly column: number } {
  let from = 0;
  let to = bytes.length;
  while (from < to) {
    const middle = (from + to + 1) >> 1;
    if (isPrefix(bytes.subarray(0, middle))) from = middle;
    else to = middle - 1;
  }
  const before = new TextDecoder().decode(bytes.subarray(0, from)).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

function isPrefix(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}

const listOf = (file: Result<InputFile, FileError>): Result<readonly InputFile[], FileError> =>
  file.ok ? ok([file.value]) : file;
const tooLarge = (source: string) => bad(`${source} has more than ${maxBytes / 1024 / 1024} MiB.`);
const reasonOf = (error: unknown): string => {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' ? 'no such file or directory' : code === 'EACCES' ? 'permission denied' : message;
};
const bad = (message: string): { readonly ok: false; readonly error: FileError } =>
  err(failure('BadFile', message));
