import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { CertificateAuthority } from './certificates.ts';

const now = Date.now();
const authority = CertificateAuthority.create('margay-ca', now);

test('an authority signs itself and others; the parts are where X.509 has them', () => {
  const root = new X509Certificate(authority.cert);
  assert.ok(root.ca && root.verify(root.publicKey) && root.checkIssued(root));
  const pair = authority.issue(
    {
      commonName: 'system:node:worker1',
      organizations: ['system:nodes', 'a'],
      hosts: ['worker1', '10.0.0.2', 'fd00::2'],
      purposes: ['server', 'client'],
    },
    now,
  );
  const leaf = new X509Certificate(pair.cert);
  assert.ok(!leaf.ca && leaf.verify(root.publicKey) && leaf.checkIssued(root));
  assert.equal(leaf.subject, 'O=system:nodes\nO=a\nCN=system:node:worker1');
  assert.match(
    leaf.subjectAltName ?? '',
    /DNS:worker1, IP Address:10\.0\.0\.2, IP Address:FD00:0:0:0:0:0:0:2/,
  );
  assert.ok(leaf.checkIP('10.0.0.2') !== undefined && leaf.checkHost('worker1') !== undefined);
  assert.ok(Date.parse(leaf.validTo) > now + 360 * 86_400_000);
  const again = CertificateAuthority.load(authority);
  assert.ok(
    new X509Certificate(again.issue({ commonName: 'b', purposes: ['client'] }, now).cert).checkIssued(root),
  );
});

test('TLS both ways with certificates of one authority; another one is refused', async (t) => {
  const server = createServer(
    {
      ...authority.issue({ commonName: 'server', hosts: ['127.0.0.1'], purposes: ['server'] }, now),
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: false,
    },
    (socket: TLSSocket) =>
      socket.end(`${socket.authorized} ${String(socket.getPeerCertificate().subject?.CN)}`),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const ask = async (from: CertificateAuthority): Promise<string> => {
    const client = from.issue({ commonName: 'ann', purposes: ['client'] }, now);
    const socket = connect({ port, host: '127.0.0.1', ca: authority.cert, ...client });
    let text = '';
    for await (const chunk of socket.setEncoding('utf8') as AsyncIterable<string>) text += chunk;
    return text;
  };
  assert.equal(await ask(authority), 'true ann');
  assert.match(await ask(CertificateAuthority.create('margay-ca', now)), /^false/);
});
