// The seeds as transcripts (test/transcripts/): every command a user types. One lab serves them all, one after the other; each
// begins on the lab as `lab up` leaves it.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { bundled, TestLab, without } from '../support/lab.ts';
import { Terminal } from '../support/terminal.ts';
import { parseTranscript } from '../support/transcript.ts';

const skip = without('kubectl', 'ping', 'curl', 'tcpdump', 'nft', 'ethtool');
const folder = join(import.meta.dirname, '../transcripts');
let lab: TestLab;
let terminal: Terminal;
let hasDesign = false;
before(async () => {
  if (skip !== false) return;
  lab = await TestLab.up('seeds', []);
  terminal = new Terminal(lab, await bundled());
  await terminal.keep();
});
afterEach(async () => {
  if (terminal !== undefined) await terminal.reset(hasDesign);
});
after(async () => {
  if (terminal !== undefined) terminal.close();
  if (lab !== undefined) await lab.down();
});

for (const file of readdirSync(folder).filter((name) => name.endsWith('.md') && name !== 'README.md')) {
  const { title, steps } = parseTranscript(readFileSync(join(folder, file), 'utf8'));
  test(`${file}: ${title}`, { skip }, async () => {
    hasDesign = steps.some(({ command }) => /margay lab design|bgppeer/.test(command));
    for (const step of steps) await terminal.play(step, file);
  });
}
