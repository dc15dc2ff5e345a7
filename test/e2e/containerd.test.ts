// Debian's containerd runs a real container through the plugin: a locally built image, no registry. Everything is inside
// the private namespaces that tools/run.mjs made; /etc, /opt and /var/lib get an overlay there, so that nothing is written to them.
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { installCniPlugins, writeConflist } from '../../src/cni/mod.ts';
import { until } from '../../src/lib/wait.ts';
import { busyboxImage } from '../support/container-image.ts';
import { startSingleNode } from '../support/single-node.ts';

const image = 'docker.io/library/box:1';
const has = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;

/** A writable view of a system folder in this mount namespace only. */
function overlay(path: string, scratch: string): void {
  const name = path.replaceAll('/', '_');
  const upper = join(scratch, `${name}-upper`);
  const work = join(scratch, `${name}-work`);
  mkdirSync(upper);
  mkdirSync(work);
  execFileSync('mount', [
    '-t',
    'overlay',
    'overlay',
    '-o',
    `lowerdir=${path},upperdir=${upper},workdir=${work}`,
    path,
  ]);
}

async function startContainerd(scratch: string): Promise<{ process: ChildProcess; address: string }> {
  const address = join(scratch, 'containerd.sock');
  const config = join(scratch, 'config.toml');
  writeFileSync(
    config,
    `version = 2
root = "${scratch}/root"
state = "${scratch}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${address}"
`,
  );
  const child = spawn('containerd', ['-c', config], { stdio: 'ignore' });
  const up = await until(
    () =>
      existsSync(address) && spawnSync('ctr', ['-a', address, 'version']).status === 0 ? true : undefined,
    {
      timeoutMs: 60_000,
      everyMs: 100,
    },
  );
  assert.ok(up, 'containerd did not start');
  return { process: child, address };
}

it('CN-007, SR-050, SR-051, SR-052: containerd runs a container through the plugin, which leaves nothing when it ends', async (t) => {
  if (!has('containerd') || !has('busybox')) return t.skip('containerd or busybox-static is not installed');
  const scratch = mkdtempSync(join('/run', 'containerd-'));
  const node = await startSingleNode();
  let containerd: ChildProcess | undefined;
  try {
    overlay('/etc', scratch);
    overlay('/opt', scratch);
    // containerd's CNI library keeps results below /var/lib/cni.
    overlay('/var/lib', scratch);
    installCniPlugins({ binDirectory: '/opt/cni/bin', socketPath: node.socketPath });
    writeConflist('/etc/cni/net.d/10-calico.conflist', { portmap: false });
    const started = await startContainerd(scratch);
    containerd = started.process;
    const ctr = (...argv: string[]) =>
      execFileSync('ctr', ['-a', started.address, ...argv], { encoding: 'utf8', timeout: 60_000 });
    ctr(
      'images',
      'import',
      '--snapshotter',
      'native',
      busyboxImage(mkdtempSync(join(scratch, 'image-')), image),
    );

    const script =
      'busybox ip -o addr show eth0; busybox ip route; busybox ping -c1 -W2 10.0.0.11; busybox ip neigh';
    const output = ctr(
      'run',
      '--rm',
      '--cgroup',
      '',
      '--cni',
      '--snapshotter',
      'native',
      image,
      'box1',
      '/bin/busybox',
      'sh',
      '-c',
      script,
    );
    assert.match(output, /inet 10\.244\.\d+\.\d+\/32/);
    assert.match(output, /default via 169\.254\.1\.1 dev eth0/);
    assert.match(output, /169\.254\.1\.1 dev eth0 scope link/);
    assert.match(output, /1 packets received/);
    assert.match(output, /169\.254\.1\.1 dev eth0 lladdr ee:ee:ee:ee:ee:ee/);

    const links = execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' });
    assert.doesNotMatch(links, /cali/);
    const routes = execFileSync('ip', ['route'], { encoding: 'utf8' });
    assert.doesNotMatch(routes, /cali/);
    const handles = await (await fetch(`${node.apiServer}/apis/projectcalico.org/v3/ipamhandles`)).json();
    assert.deepEqual((handles as { items: unknown[] }).items, []);
  } finally {
    if (containerd !== undefined) {
      const gone = new Promise((resolve) => containerd?.once('exit', resolve));
      containerd.kill('SIGTERM');
      await gone;
    }
    await node.stop();
    // The overlays and what they are made of lie in this run's own mount namespace and /run: they end with it.
    spawnSync('umount', ['-l', '/etc', '/opt', '/var/lib']);
  }
});
