import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DatastoreConfig } from '../../datastore/mod.ts';
import { datastoreSettings } from './settings.ts';

const home = { HOME: '/nowhere' };

async function settingsOf(
  spec: string,
  env: NodeJS.ProcessEnv = home,
  context?: string,
): Promise<DatastoreConfig> {
  const directory = mkdtempSync(join(tmpdir(), 'calicoctl-settings-'));
  const file = join(directory, 'calicoctl.cfg');
  try {
    writeFileSync(
      file,
      `apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n${spec.replaceAll(/^/gm, '  ')}\n`,
    );
    const settings = await datastoreSettings(file, context, env);
    assert.ok(settings.ok, settings.ok ? '' : settings.error.message);
    return settings.value;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('RS-196: every field of a CalicoAPIConfig; the environment goes before it, flags before both', async () => {
  const direct = [
    'datastoreType: kubernetes',
    'k8sAPIEndpoint: https://10.0.0.1:6443',
    'k8sKeyFile: /k',
    'k8sCertFile: /c',
    'k8sCAFile: /a',
    'k8sAPIToken: t',
    'k8sInsecureSkipTLSVerify: true',
    'k8sClientQPS: 50',
  ].join('\n');
  const { type, endpoint, kubeconfig } = await settingsOf(direct);
  assert.deepEqual(
    [type, kubeconfig, endpoint],
    [
      'kubernetes',
      undefined,
      {
        server: 'https://10.0.0.1:6443',
        keyFile: '/k',
        certFile: '/c',
        caFile: '/a',
        token: 't',
        insecure: true,
      },
    ],
  );
  const byFile = 'kubeconfig: /in/file\nk8sCurrentContext: one';
  assert.deepEqual(
    [(await settingsOf(byFile)).kubeconfig, (await settingsOf(byFile)).context],
    ['/in/file', 'one'],
  );
  assert.equal((await settingsOf(byFile, { ...home, KUBECONFIG: '/in/env' })).kubeconfig, '/in/env');
  assert.equal((await settingsOf(byFile, { ...home, CALICO_KUBECONFIG: '/in/env' })).kubeconfig, '/in/env');
  assert.equal((await settingsOf(byFile, home, 'two')).context, 'two');
  const etcd = [
    'datastoreType: etcdv3',
    'etcdEndpoints: https://10.0.0.2:2379',
    'etcdUsername: u',
    'etcdPassword: p',
    'etcdKeyFile: /k',
    'etcdCertFile: /c',
    'etcdCACertFile: /a',
  ].join('\n');
  const settings = await settingsOf(etcd, { ...home, ETCD_USERNAME: 'v', CALICO_ETCD_CERT_FILE: '/d' });
  assert.equal(settings.type, 'etcdv3');
  assert.deepEqual(settings.etcd, {
    endpoints: 'https://10.0.0.2:2379',
    username: 'v',
    password: 'p',
    keyFile: '/k',
    certFile: '/d',
    caFile: '/a',
  });
});

test('a file of another kind, or none, says so', async () => {
  const missing = await datastoreSettings('/nowhere/calicoctl.cfg', undefined, home);
  assert.ok(
    !missing.ok && /\/nowhere\/calicoctl\.cfg cannot be read: no such file/.test(missing.error.message),
  );
});
