import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDatastore } from '../mod.ts';
import { etcdSettings, resolveConnection, type EtcdSettings } from './settings.ts';

const endpointsOf = async (settings: EtcdSettings, services: Readonly<Record<string, number>> = {}) => {
  const resolved = await resolveConnection(settings, (name) =>
    services[name] === undefined
      ? Promise.reject(new Error('ENOTFOUND'))
      : Promise.resolve([{ name: 'one.example.org.', port: services[name] }]),
  );
  return resolved.ok ? resolved.value.endpoints.map((url) => url.href) : resolved.error.code;
};

test('SR-045: settings of etcd come from what is given, then from the environment in all its words', () => {
  const env = {
    ETCD_ENDPOINTS: 'http://a:1',
    CALICO_ETCD_USERNAME: 'u',
    ETCD_PASSWORD: '',
    FELIX_ETCDCAFILE: '/ca',
    ETCD_DISCOVERY_SRV: 'example.org',
  };
  assert.deepEqual(etcdSettings({ endpoints: 'http://b:1', keyFile: '/k' }, env), {
    endpoints: 'http://b:1',
    username: 'u',
    caFile: '/ca',
    keyFile: '/k',
  });
});

test('endpoints: several, with and without scheme and port, or discovered, never both', async () => {
  assert.deepEqual(await endpointsOf({ endpoints: 'https://a:2379, 10.0.0.1,[::1]:4001' }), [
    'https://a:2379/',
    'http://10.0.0.1:2379/',
    'http://[::1]:4001/',
  ]);
  assert.deepEqual(
    await endpointsOf(
      { discoveryDomain: 'example.org' },
      { '_etcd-client-ssl._tcp.example.org': 2379, '_etcd-client._tcp.example.org': 4001 },
    ),
    ['https://one.example.org:2379/', 'http://one.example.org:4001/'],
  );
  for (const bad of [
    {},
    { endpoints: 'ftp://a' },
    { endpoints: 'http://a,' },
    { discoveryDomain: 'example.org' },
    { endpoints: 'http://a', discoveryDomain: 'example.org' },
    { endpoints: 'http://a', certFile: '/nowhere/crt' },
    { endpoints: 'http://a', cert: 'x' },
    { endpoints: 'http://a', ca: 'x', caFile: '/x' },
  ])
    assert.equal(await endpointsOf(bad), 'BadConfig', JSON.stringify(bad));
});

test('SR-040: what only says where etcd is means etcd', async () => {
  const opens = async (env: NodeJS.ProcessEnv): Promise<string> => {
    const opened = await openDatastore({}, env);
    if (!opened.ok) return opened.error.code;
    await opened.value.close();
    return opened.value.constructor.name;
  };
  const etcd = { ETCD_ENDPOINTS: 'http://127.0.0.1:1' };
  assert.equal(await opens(etcd), 'EtcdDatastore');
  assert.equal(await opens({ ...etcd, DATASTORE_TYPE: 'etcdv3' }), 'EtcdDatastore');
  assert.equal(
    await opens({ FELIX_DATASTORETYPE: 'etcdv3', FELIX_ETCDADDR: '10.0.0.1:2379' }),
    'EtcdDatastore',
  );
  assert.equal(await opens({ ...etcd, KUBECONFIG: '/nowhere' }), 'NoKubeconfig');
  assert.equal(await opens({ DATASTORE_TYPE: 'etcdv3' }), 'BadConfig');
});
