// One part of the comparison as a process of its own, in network namespaces of its own: `lane.ts FIRST COUNT` prints what
// came of it as one line of JSON.
import { comparePlans } from './compare.ts';

const [first, count] = process.argv.slice(2).map(Number);
if (first === undefined || count === undefined) throw new Error('lane.ts FIRST COUNT');
process.stdout.write(`${JSON.stringify(await comparePlans(first, count))}\n`);
