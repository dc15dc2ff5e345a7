// The terminal that transcripts are played in: the names a user has on the PATH, the variables that steps set, and the way back
// to a lab as `lab up` leaves it.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../src/lib/wait.ts';
import { type Output, run, type TestLab } from './lab.ts';
import { compareOutput, differenceOf, type Step } from './transcript.ts';

/** Objects that every lab has. A transcript may edit them; they are put back as they were. */
const edited = [
  'ippools.projectcalico.org/default-ipv4-ippool',
  'bgpconfigurations.projectcalico.org/default',
  'felixconfigurations.projectcalico.org/default',
  'ipamconfigurations.projectcalico.org/default',
];
const workloads = 'deployments,statefulsets,daemonsets,jobs,pods';
const policies = [
  'networkpolicies.networking.k8s.io',
  'networkpolicies.projectcalico.org',
  'globalnetworkpolicies.projectcalico.org',
  'stagednetworkpolicies.projectcalico.org',
  'stagedglobalnetworkpolicies.projectcalico.org',
  'hostendpoints.projectcalico.org',
  'networksets.projectcalico.org',
  'globalnetworksets.projectcalico.org',
  'ipreservations.projectcalico.org',
].join(',');
type Stored = { readonly metadata: Readonly<Record<string, unknown>>; readonly spec: unknown };

/** Runs steps, and remembers the variables they set. */
export class Terminal {
  readonly #lab: TestLab;
  readonly #commands: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #variables = new Map<string, string>();
  readonly #kept = new Map<string, Stored>();

  /** `program` is the bundle. `margay lab` means this lab. */
  constructor(lab: TestLab, program: string) {
    this.#lab = lab;
    this.#commands = mkdtempSync(join(tmpdir(), 'margay-commands-'));
    const links = join(this.#commands, 'links');
    const start = (name: string): string => `exec ${process.execPath} ${links}-${name}.js "$@"`;
    for (const name of ['margay', 'calicoctl', 'kubectl-calico']) {
      // The program goes by the name it is called by.
      symlinkSync(program, `${links}-${name}.js`);
      const lab = `[ "$1" = lab ] && { verb=$2; shift 2; set -- lab "$verb" --name ${this.#lab.name} "$@"; }\n`;
      writeFileSync(join(this.#commands, name), `#!/bin/sh\n${name === 'margay' ? lab : ''}${start(name)}\n`);
      chmodSync(join(this.#commands, name), 0o755);
    }
    this.#env = {
      ...process.env,
      KUBECONFIG: lab.kubeconfig,
      PATH: `${this.#commands}:${process.env['PATH']}:/usr/sbin:/sbin`,
    };
  }

  close(): void {
    rmSync(this.#commands, { recursive: true, force: true });
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
    const seen = step.isEventual ? await until(fits, { timeoutMs: 60_000, everyMs: 300 }) : await fits();
    if (seen === true) return;
    assert.equal(last.code, step.code, `${place}\n${last.out}${last.err}`);
    compareOutput(place, expected, textOf(last));
  }

  /** Keeps the objects that transcripts may edit, as they are now. */
  async keep(): Promise<void> {
    for (const name of edited) this.#kept.set(name, await this.#stored(name));
  }

  /** The lab as it was kept: without workloads, policies and pools of others, without variables. */
  async reset(hasDesign: boolean): Promise<void> {
    this.#variables.clear();
    const others = (kind: string, own: string): string =>
      `kubectl get ${kind} -o name | grep -Ev '/(${own})$' | xargs -r kubectl delete --wait=false`;
    const atOnce = [
      `kubectl delete ${workloads} --all --wait=false`,
      `kubectl delete ${policies} --all -A --wait=false`,
      'kubectl delete services --field-selector metadata.name!=kubernetes --wait=false',
      others('namespaces', 'default|kube-.*'),
      others('tiers.projectcalico.org', 'default|kube-.*'),
      ...(hasDesign ? ['margay lab design mesh'] : []),
    ].map((command) => `{ ${command}; } >/dev/null 2>&1 &`);
    const script = `${atOnce.join('\n')}
      wait
      kubectl wait --for=delete pods --all --timeout=60s >/dev/null 2>&1
      ${others('ippools.projectcalico.org', 'default-ipv4-ippool')} >/dev/null 2>&1`;
    await run('sh', ['-c', script], { env: this.#env });
    for (const [name, kept] of this.#kept) {
      const now = await this.#stored(name);
      if (JSON.stringify(now.spec) === JSON.stringify(kept.spec)) continue;
      const { resourceVersion: _version, ...metadata } = kept.metadata;
      const input = JSON.stringify({ ...kept, metadata });
      const { code, err } = await run('kubectl', ['replace', '-f', '-'], { env: this.#env, input });
      assert.equal(code, 0, `${name} is put back: ${err}`);
    }
  }

  async #stored(name: string): Promise<Stored> {
    const { code, out, err } = await run('kubectl', ['get', name, '-o', 'json'], { env: this.#env });
    assert.equal(code, 0, `${name}: ${err}`);
    return JSON.parse(out) as Stored;
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
