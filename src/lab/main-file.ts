import { isAbsolute, resolve } from 'node:path';

/** The file this process was started with: every process of the lab runs the same program. */
export function mainFile(): string {
  const named = process.env['MARGAY_MAIN'];
  if (named === undefined || named === '') return resolve(process.argv[1] ?? '');
  if (isAbsolute(named)) return named;
  // Processes that this one starts inherit the name, and may stand in another directory.
  const path = resolve(named);
  process.env['MARGAY_MAIN'] = path;
  return path;
}
