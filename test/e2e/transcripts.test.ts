// The seeds as transcripts (test/transcripts/): every command a user types, on a lab of its own per file.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { bundled, type Output, run, TestLab, without } from '../support/lab.ts';
import { compareOutput, differenceOf, parseTranscript, type Step } from '../support/transcript.ts';

const skip = without('kubectl', 'ping', 'curl', 'tcpdump', 'nft');
const folder = join(import.meta.dirname, '../transcripts');
const labName = 'seed';

for (const file of readdirSync(folder).filter((name) => name.endsWith('.md') && name !== 'README.md')) {
  const { title, steps } = parseTranscript(readFileSync(join(folder, file), 'utf8'));
  test(`${file}: ${title}`, { skip }, async () => {
    const lab = await TestLab.up(labName, []);
    const commands = mkdtempSync(join(tmpdir(), 'margay-commands-'));
    try {
      writeCommands(commands, await bundled());
      const terminal = new Terminal(lab, commands);
      for (const step of steps) await terminal.play(step, file);
    } finally {
      rmSync(commands, { recursive: true, force: true });
      await lab.down();
    }
  });
}

/** The names a user has on the PATH. `margay lab` means the lab of this test. */
function writeCommands(folder: string, program: string): void {
  const start = `exec ${process.execPath} ${program}`;
  const scripts = {
    margay: `[ "$1" = lab ] && { verb=$2; shift 2; set -- lab "$verb" --name ${labName} "$@"; }\n${start} "$@"`,
    calicoctl: `${start} "$@"`,
    'kubectl-calico': `${start} "$@"`,
  };
  for (const [name, script] of Object.entries(scripts)) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, name), 0o755);
  }
}

/** Runs steps, and remembers the variables they set. */
class Terminal {
  readonly #lab: TestLab;
  readonly #variables = new Map<string, string>();
  readonly #env: NodeJS.ProcessEnv;

  constructor(lab: TestLab, commands: string) {
    this.#lab = lab;
    this.#env = {
      ...process.env,
      KUBECONFIG: lab.kubeconfig,
      PATH: `${commands}:${process.env['PATH']}:/usr/sbin:/sbin`,
    };
  }

  async play(step: Step, file: string): Promise<void> {
    const place = `${file}:${step.line}: ${step.place ?? ''}$ ${step.command}`;
    const [, variable, source] = /^([A-Z_]+)=\$\(([\s\S]*)\)$/.exec(step.command) ?? [];
    if (variable !== undefined) {
      const { code, out, err } = await this.#run({ ...step, command: source ?? '' });
      assert.equal(code, 0, `${place}\n${out}${err}`);
      this.#variables.set(variable, out.trim());
      return;
    }
    const expected = step.output.map((line) => this.#filled(line));
    const textOf = ({ out, err }: Output): string => (step.code === 0 ? out : out + err);
    let last: Output = { code: -1, out: '', err: '' };
    const fits = async (): Promise<true | undefined> => {
      last = await this.#run(step);
      return last.code === step.code && differenceOf(expected, textOf(last)) === undefined ? true : undefined;
    };
    const seen = step.isEventual ? await until(fits, { timeoutMs: 30_000, everyMs: 300 }) : await fits();
    if (seen === true) return;
    assert.equal(last.code, step.code, `${place}\n${last.out}${last.err}`);
    compareOutput(place, expected, textOf(last));
  }

  #run({ place, command }: Step): Promise<Output> {
    const script = this.#filled(command);
    if (place === undefined) return run('sh', ['-c', script], { env: this.#env });
    return this.#lab.exec(this.#filled(place), 'sh', '-c', script);
  }

  #filled(text: string): string {
    return text.replaceAll(/\$([A-Z_]+)/g, (whole, name: string) => this.#variables.get(name) ?? whole);
  }
}
