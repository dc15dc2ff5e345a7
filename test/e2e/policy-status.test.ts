// Policies that were stored past every check, as another hand may do it (a definition without rules of its own, an older
// version, the database itself): `margay controllers` beside an API server says in their status that they deny, and why.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { bundled } from '../support/lab.ts';
import { firstWord } from '../kernel/support/felix-node.ts';

const v3 = '/apis/projectcalico.org/v3/globalnetworkpolicies';
type Json = { readonly [field: string]: Json } & string;

/** Both programs on loopback, with a database that outlives the server. */
class ControlPlane {
  readonly directory = mkdtempSync(join(tmpdir(), 'policy-status-'));
  readonly #program: string;
  #children: ChildProcess[] = [];
  url = '';

  constructor(program: string) {
    this.#program = program;
  }

  async startApiServer(): Promise<void> {
    const child = this.#spawn(['apiserver', '--listen', '127.0.0.1:0', '--data', this.directory]);
    this.url = await firstWord(child);
    const kubeconfig = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server: this.url } }],
      users: [{ name: 'u', user: {} }],
    };
    writeFileSync(join(this.directory, 'kubeconfig'), JSON.stringify(kubeconfig));
  }

  startControllers(env: NodeJS.ProcessEnv = {}): ChildProcess {
    return this.#spawn(['controllers', '--kubeconfig', join(this.directory, 'kubeconfig')], env);
  }

  #spawn(argv: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn(process.execPath, [this.#program, ...argv], {
      env: { ...process.env, MARGAY_LOG: 'error', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#children.push(child);
    return child;
  }

  async request(method: string, path: string, body?: object): Promise<{ code: number; body: Json }> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { code: response.status, body: (await response.json()) as Json };
  }

  async stop(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await gone;
    }
  }

  /** Writes specs over those that the server took. */
  damage(specs: Readonly<Record<string, object>>): void {
    const db = new DatabaseSync(join(this.directory, 'margay.db'));
    const rows = db.prepare(
      `SELECT revision, name, body FROM change WHERE resource = 'globalnetworkpolicies.projectcalico.org'`,
    );
    const write = db.prepare('UPDATE change SET body = ? WHERE revision = ?');
    for (const { revision, name, body } of rows.all()) {
      const spec = specs[String(name)];
      if (spec === undefined) continue;
      const object = JSON.parse(String(body)) as object;
      write.run(JSON.stringify({ ...object, spec }), revision ?? 0);
    }
    db.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.directory, { recursive: true });
  }
}

const policy = (name: string): object => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkPolicy',
  metadata: { name },
  spec: { selector: 'all()', types: ['Ingress'], ingress: [{ action: 'Allow' }] },
});

for (const group of ['projectcalico.org/v3', 'crd.projectcalico.org/v1'])
  test(`RS-113, OT-001: policies stored by another hand say that they are not enforced as written, ${group}`, {
    timeout: 120_000,
  }, async () => {
    await using plane = new ControlPlane(await bundled());
    await plane.startApiServer();
    const names = ['selector', 'rule', 'tier', 'fine'];
    for (const name of names) {
      const { code, body } = await plane.request('POST', v3, policy(name));
      assert.equal(code, 201, JSON.stringify(body));
    }
    const refused = await plane.request('POST', v3, { ...policy('x'), spec: { selector: 'has(' } });
    assert.equal(refused.code, 422, 'at the door');
    await plane.stop();
    plane.damage({
      selector: { selector: 'has(', types: ['Ingress'] },
      rule: { selector: 'all()', types: ['Ingress'], ingress: [{ action: 'Permit' }] },
      tier: { tier: 'nowhere', selector: 'all()', types: ['Ingress'] },
    });
    await plane.startApiServer();
    plane.startControllers({ CALICO_API_GROUP: group });
    const said = async (name: string): Promise<string> => {
      const { body } = await plane.request('GET', `/apis/${group}/globalnetworkpolicies/${name}`);
      const conditions = (body['status']?.['conditions'] ?? []) as unknown as readonly Record<
        string,
        string
      >[];
      const enforced = conditions.find(({ type }) => type === 'Enforced');
      return enforced === undefined
        ? ''
        : `${enforced['status']} ${enforced['reason']}: ${enforced['message']}`;
    };
    const becomes = async (name: string, wanted: RegExp): Promise<void> => {
      await until(async () => (wanted.test(await said(name)) ? true : undefined), {
        timeoutMs: 60_000,
        everyMs: 100,
      });
      assert.match(await said(name), wanted);
    };
    await becomes('selector', /^False NotUnderstood: spec\.selector.*It denies all that it is for\.$/);
    await becomes('rule', /^False NotUnderstood: spec\.ingress\[0\].*Permit/);
    await becomes('tier', /^False TierMissing: tier nowhere does not exist/);
    assert.equal(await said('fine'), '');
    const { body } = await plane.request('GET', `${v3}/rule`);
    const mended = { ...(policy('rule') as object), metadata: body['metadata'] };
    assert.equal((await plane.request('PUT', `${v3}/rule`, mended)).code, 200);
    await becomes('rule', /^True Enforced/);
  });
