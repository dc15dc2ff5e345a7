import assert from 'node:assert/strict';
import { test } from 'node:test';
import { censor } from './censor.ts';

test('CT-042, CT-051: secrets are taken out of what is collected, whatever form they have', () => {
  const secret = 'hunter2-XyZ';
  for (const text of [
    `password: ${secret}`,
    `"password": "${secret}"`,
    `ETCD_PASSWORD=${secret}`,
    `k8sAPIToken: ${secret}`,
    `  neighbor 10.0.0.1 as 65000;\n  password "${secret}";`,
    `margay agent --token ${secret} --nodename a`,
    `client-key-data: ${secret}==`,
    `PrivateKey = ${secret}=`,
    `https://admin:${secret}@etcd:2379`,
    `- name: DB_PASSWORD\n  value: ${secret}`,
    `Authorization: Bearer ${secret}`,
    `-----BEGIN RSA PRIVATE KEY-----\n${secret}\n-----END RSA PRIVATE KEY-----`,
    `the token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0aaaa.${secret}`,
  ]) {
    const left = censor(text);
    assert.doesNotMatch(left, /hunter2/, text);
    assert.match(left, /<censored>/);
  }
});

test('what says nothing secret stays as it is', () => {
  for (const text of [
    'automountServiceAccountToken: false',
    'passwordSecretRef:\n  name: bgp-secrets',
    'secretName: calico-node-tls',
    'expirationSeconds: 3607\ntokenExpirationSeconds: 3607',
    '192.168.71.128/26 via 10.0.0.22 dev eth0 proto bird metric 1024',
    '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
    'counter packets 0 bytes 0 drop comment "cali:_bv1VDrrJrr1cTEO"',
  ])
    assert.equal(censor(text), text);
});
