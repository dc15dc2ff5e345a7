import { resolve } from 'node:path';

/** The file this process was started with: every process of the lab runs the same program. */
export const mainFile = (): string => process.env['MARGAY_MAIN'] ?? resolve(process.argv[1] ?? '');
