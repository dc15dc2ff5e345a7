// Streams of pods with kubectl on a real lab: exec with input, exit codes and a terminal, cp, logs, port-forward, attach;
// over WebSocket and over SPDY. And what describe and events tell.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from '../../src/lib/wait.ts';
import { type Output, run, TestLab, without } from '../support/lab.ts';

const skip = without('ip', 'unshare', 'kubectl', 'script', 'tar', 'curl');
const kubectlProgram = process.env['MARGAY_KUBECTL'] ?? 'kubectl';
const websockets = (on: boolean): Record<string, string> => ({
  KUBECTL_REMOTE_COMMAND_WEBSOCKETS: String(on),
  KUBECTL_PORT_FORWARD_WEBSOCKETS: String(on),
});

let lab: TestLab;
const directory = mkdtempSync(join(tmpdir(), 'margay-streams-'));
const env = (more: Record<string, string> = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  KUBECONFIG: lab.kubeconfig,
  ...more,
});
const kubectl = (
  argv: readonly string[],
  more: { readonly env?: Record<string, string>; readonly input?: string } = {},
): Promise<Output> =>
  run(kubectlProgram, argv, { env: env(more.env), timeoutMs: 120_000, input: more.input ?? '' });
const out = async (...argv: readonly string[]): Promise<string> => {
  const result = await kubectl(argv);
  assert.equal(result.code, 0, result.err);
  return result.out;
};

/** kubectl on a terminal of its own; each step is typed as it is when the text before it has appeared. */
async function onTerminal(
  command: string,
  steps: readonly (readonly [RegExp, string])[],
  more: Record<string, string> = {},
): Promise<{ readonly text: string; readonly code: number | null }> {
  const words = ['-qefc', `stty rows 33 cols 101; ${command}`, '/dev/null'];
  const child = spawn('script', words, { env: env(more) });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk.replaceAll('\r', '')));
  const ended = new Promise<number | null>((resolve) => {
    child.on('close', resolve);
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), 120_000);
  for (const [awaited, typed] of steps) {
    await until(() => (awaited.test(text) ? true : undefined), { timeoutMs: 60_000 });
    child.stdin.write(typed);
  }
  const code = await ended;
  clearTimeout(deadline);
  return { text, code };
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });

const pod = (name: string, container: object, spec: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { run: name } },
  spec: { containers: [{ name: 'main', image: 'busybox', ...container }], ...spec },
});

describe('streams of pods', { skip, concurrency: 1 }, () => {
  before(async () => {
    lab = await TestLab.up('streams', ['--topology', 'flat', '--nodes', '2']);
    await lab.apply(pod('box', {}, { nodeName: 'worker1' }));
    await lab.apply(pod('web', { image: 'demoapp' }));
    await lab.pods('run=box', 1);
    await lab.pods('run=web', 1);
  });
  after(async () => {
    await lab?.down();
    rmSync(directory, { recursive: true, force: true });
  });

  for (const [name, on] of [
    ['WebSocket', true],
    ['SPDY', false],
  ] as const) {
    const more = websockets(on);

    test(`exec over ${name}: output apart, input, exit codes`, async () => {
      const both = await kubectl(['exec', 'box', '--', 'sh', '-c', 'hostname; echo oops >&2; exit 3'], {
        env: more,
      });
      assert.equal(both.out, 'box\n');
      assert.match(both.err, /^oops\ncommand terminated with exit code 3/);
      assert.equal(both.code, 3);
      const text = randomBytes(200_000).toString('base64');
      const echoed = await kubectl(['exec', '-i', 'box', '--', 'cat'], { env: more, input: text });
      assert.equal(echoed.out.length, text.length);
      assert.ok(echoed.out === text);
      const nothing = await kubectl(['exec', 'box', '--', 'nosuchprogram'], { env: more });
      assert.equal(nothing.code, 127);
      assert.match(nothing.err, /nosuchprogram/);
    });

    test(`exec -it over ${name}: a terminal with its size, an interrupt, the exit code`, async () => {
      const { text, code } = await onTerminal(
        `${kubectlProgram} exec -it box -- sh`,
        [
          [/# $/, 'tty; stty size; hostname; sleep 60\r'],
          [/\nbox\n/, '\x03'],
          [/\nbox\n[^#]*# $/, 'exit 7\r'],
        ],
        more,
      );
      assert.match(text, /\/dev\/pts\/\d+\n33 101\nbox\n/, text);
      assert.equal(code, 7, text);
    });

    test(`cp over ${name}: there and back, and nothing of it on the node`, async () => {
      const [there, back] = [join(directory, `there-${name}`), join(directory, `back-${name}`)];
      writeFileSync(there, randomBytes(2_000_000));
      const up = await kubectl(['cp', there, 'box:/tmp/margay-copied'], { env: more });
      assert.equal(up.code, 0, up.err);
      assert.equal((await kubectl(['cp', 'box:/tmp/margay-copied', back], { env: more })).code, 0);
      assert.ok(readFileSync(there).equals(readFileSync(back)));
      assert.ok(!existsSync('/tmp/margay-copied'));
    });

    test(`port-forward over ${name}: several connections, and a port where nobody listens`, async () => {
      const [port, closed] = [await freePort(), await freePort()];
      const child = spawn(kubectlProgram, ['port-forward', 'pod/web', `${port}:80`, `${closed}:81`], {
        env: env(more),
      });
      let said = '';
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (chunk: string) => (said += chunk));
      try {
        const ready = (): true | undefined =>
          /Forwarding from 127\.0\.0\.1.*-> 81/.test(said) ? true : undefined;
        assert.ok(await until(ready, { timeoutMs: 60_000 }), said);
        const answers = await Promise.all(
          [1, 2, 3].map(async () => (await fetch(`http://127.0.0.1:${port}/hostname`)).text()),
        );
        assert.deepEqual(answers, Array(3).fill('ServerName: web\n'));
        await assert.rejects(fetch(`http://127.0.0.1:${closed}/`));
        assert.ok(
          await until(() => (/-> 81: failed to connect .*refused/.test(said) ? true : undefined), {
            timeoutMs: 60_000,
          }),
          said,
        );
      } finally {
        child.kill('SIGKILL');
      }
    });
  }

  test('logs: followed to the end, the last lines, times, an attempt before, what there is not', async () => {
    const script = 'for i in 1 2 3; do echo line $i; sleep 0.3; done; exit 1';
    await lab.apply(pod('talk', { command: ['sh', '-c', script] }, { restartPolicy: 'OnFailure' }));
    const started = (): Promise<true | undefined> =>
      kubectl(['logs', 'talk']).then((result) => (result.code === 0 ? true : undefined));
    assert.ok(await until(started, { timeoutMs: 60_000, everyMs: 100 }));
    assert.match(await out('logs', '-f', 'talk'), /line 1\nline 2\nline 3\n$/);
    const again = (): Promise<true | undefined> =>
      kubectl(['logs', 'talk', '--previous']).then((result) =>
        result.out.includes('line 3') ? true : undefined,
      );
    assert.ok(await until(again, { timeoutMs: 60_000, everyMs: 200 }));
    assert.equal(await out('logs', 'talk', '--previous', '--tail=1'), 'line 3\n');
    assert.match(
      await out('logs', 'talk', '--previous', '--timestamps', '--tail=2'),
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 2\n\d{4}-\d\d-\d\dT\S+Z line 3\n$/,
    );
    assert.equal(await out('logs', 'talk', '--previous', '--limit-bytes=4'), 'line');
    assert.match(
      (await kubectl(['logs', 'talk', '-c', 'other'])).err,
      /container other is not valid for pod talk/,
    );
    assert.match((await kubectl(['logs', 'nobody'])).err, /pods "nobody" not found/);
    assert.match((await kubectl(['logs', 'box', '--previous'])).err, /previous terminated container/);
  });

  test('run -i and attach: input reaches the container, its output comes back', async () => {
    const ran = await kubectl(
      ['run', 'once', '-i', '--rm', '--image=busybox', '--restart=Never', '--', 'sh', '-c', 'cat; echo done'],
      { input: 'hello from afar\n' },
    );
    assert.match(ran.out, /hello from afar\ndone\n/, ran.err);
    const shell = await onTerminal(
      `${kubectlProgram} run shell -it --rm --image=busybox --restart=Never -- sh`,
      [[/# $/, 'hostname; exit 0\r']],
    );
    assert.match(shell.text, /\nshell\n/, shell.text);
  });

  test('describe and events tell the way of a pod', async () => {
    const box = await out('describe', 'pod', 'box');
    for (const part of [
      /^Node: +worker1\/10\./m,
      /^IP: +192\.168\./m,
      /Container ID: +margay:/,
      /State: +Running/,
      /Normal +Started .*Started container main/,
    ])
      assert.match(box, part);
    const web = await out('describe', 'pod', 'web');
    assert.match(web, /Normal +Scheduled .*Successfully assigned default\/web to /);
    assert.match(web, /Normal +Pulled .*already present on machine/);
    await out('create', 'deployment', 'd', '--image=busybox', '--replicas=2');
    await lab.pods('app=d', 2);
    await out('scale', 'deployment', 'd', '--replicas=1');
    const told = async (): Promise<string | undefined> => {
      const text = await out('describe', 'deployment', 'd');
      return /Scaled down replica set d-\S+ from 2 to 1/.test(text) ? text : undefined;
    };
    assert.match(
      (await until(told, { timeoutMs: 60_000, everyMs: 100 })) ?? '',
      /Scaled up replica set d-\S+ from 0 to 2/,
    );
    const events = await out('get', 'events', '--sort-by=.lastTimestamp');
    assert.match(events, /SuccessfulCreate +replicaset\/d-\S+ +Created pod: d-/);
    const node = await out('describe', 'node', 'worker1');
    for (const part of [
      /^Name: +worker1$/m,
      /InternalIP: +10\./,
      /cpu: +\d/,
      /Ready +True/,
      /default +box /,
      /Kernel Version:/,
    ])
      assert.match(node, part);
  });

  test('a pod has its service account, and reaches the API server with it', async () => {
    const secrets = '/var/run/secrets/kubernetes.io/serviceaccount';
    const ask = `curl -s -m 10 --cacert ${secrets}/ca.crt -H "Authorization: Bearer $(cat ${secrets}/token)" https://$KUBERNETES_SERVICE_HOST/api/v1/namespaces/$(cat ${secrets}/namespace)/pods`;
    const refused = await out('exec', 'box', '--', 'sh', '-c', ask);
    assert.match(refused, /User \\"system:serviceaccount:default:default\\" cannot list resource/, refused);
    await out('create', 'rolebinding', 'pods', '--clusterrole=view', '--serviceaccount=default:default');
    assert.match(await out('exec', 'box', '--', 'sh', '-c', ask), /"kind":"PodList"/);
  });

  test('each process of the lab has its own identity, and no more rights than it needs', async () => {
    const as = (user: string, ...argv: readonly string[]): Promise<Output> =>
      kubectl(['auth', 'can-i', ...argv, `--as=${user}`]);
    const agent = 'system:serviceaccount:kube-system:calico-node';
    assert.equal((await as(agent, 'list', 'ippools.projectcalico.org')).out, 'yes\n');
    assert.equal((await as(agent, 'create', 'deployments')).out, 'no\n');
    const runner = (...argv: readonly string[]): Promise<Output> =>
      kubectl(['auth', 'can-i', ...argv, '--as=system:node:worker1', '--as-group=system:nodes']);
    assert.equal((await runner('patch', 'pods', '--subresource=status')).out, 'yes\n');
    assert.equal((await runner('create', 'clusterroles')).out, 'no\n');
    // Without a certificate the runner's streams are closed, also to pods.
    const answer = await lab.sh(
      'master1',
      'curl -sk -o /dev/null -w "%{http_code}" https://10.0.0.12:10250/ || true',
    );
    assert.equal(answer, '000');
  });
});
