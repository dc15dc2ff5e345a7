import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import { connect } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { expect } from '../../lib/result.ts';
import type { EndpointSlice, Service } from '../../model/mod.ts';
import { respond, serveDns, Zone } from './mod.ts';

const service = (name: string, spec: Partial<Service['spec']>): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace: 'shop' },
  spec: { ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec },
});
const slice = (name: string, addresses: readonly string[], hostname?: string): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${name}-1`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  endpoints: addresses.map((address) => ({
    addresses: [address],
    ...(hostname === undefined ? {} : { hostname }),
  })),
  ports: [{ name: 'http', protocol: 'TCP', port: 8080 }],
});
const set = (object: Service | EndpointSlice) =>
  ({ type: 'set', kind: object.kind, object }) as Parameters<Zone['apply']>[0][number];
const gone = (kind: 'Service' | 'EndpointSlice', name: string) =>
  ({ type: 'delete', kind, name: { name, namespace: 'shop' } }) as Parameters<Zone['apply']>[0][number];

function shop(): Zone {
  const zone = new Zone('cluster.local');
  zone.apply([
    set(service('web', { clusterIP: '10.96.0.20', clusterIPs: ['10.96.0.20', 'fd00:96::20'] })),
    set(service('db', { clusterIP: 'None' })),
    set(slice('db', ['10.244.1.2', '10.244.1.3'])),
    set(service('named', { clusterIP: 'None' })),
    set(slice('named', ['10.244.1.9'], 'first')),
    set(service('away', { type: 'ExternalName', externalName: 'web.shop.svc.cluster.local' })),
    set(service('abroad', { type: 'ExternalName', externalName: 'example.org' })),
  ]);
  return zone;
}

async function served(run: (ask: Resolver, zone: Zone, port: number) => Promise<void>): Promise<void> {
  const zone = shop();
  const server = expect(await serveDns(zone, { host: '127.0.0.1', port: 0 }), 'serve');
  const resolver = new Resolver({ timeout: 2000, tries: 1 });
  resolver.setServers([`127.0.0.1:${server.port}`]);
  try {
    await run(resolver, zone, server.port);
  } finally {
    await server.stop();
  }
}

const fails = (promise: Promise<unknown>, code: string): Promise<void> => assert.rejects(promise, { code });

test('services, headless ones by their endpoints, in both families', () =>
  served(async (ask) => {
    assert.deepEqual(await ask.resolve4('web.shop.svc.cluster.local'), ['10.96.0.20']);
    assert.deepEqual(await ask.resolve6('WEB.shop.svc.Cluster.Local'), ['fd00:96::20']);
    assert.deepEqual((await ask.resolve4('db.shop.svc.cluster.local')).toSorted(), [
      '10.244.1.2',
      '10.244.1.3',
    ]);
    assert.deepEqual(await ask.resolve4('10-244-1-3.db.shop.svc.cluster.local'), ['10.244.1.3']);
    assert.deepEqual(await ask.resolve4('first.named.shop.svc.cluster.local'), ['10.244.1.9']);
    assert.deepEqual(await ask.resolve4('10-9-8-7.shop.pod.cluster.local'), ['10.9.8.7']);
    assert.deepEqual(await ask.resolveTxt('dns-version.cluster.local'), [['1.1.0']]);
  }));

test('ports by SRV, addresses by PTR, other names by CNAME', () =>
  served(async (ask) => {
    const [srv] = await ask.resolveSrv('_http._tcp.web.shop.svc.cluster.local');
    assert.deepEqual([srv?.name, srv?.port, srv?.weight], ['web.shop.svc.cluster.local', 80, 100]);
    const headless = await ask.resolveSrv('_http._tcp.db.shop.svc.cluster.local');
    assert.deepEqual(headless.map(({ name, port }) => `${name} ${port}`).toSorted(), [
      '10-244-1-2.db.shop.svc.cluster.local 8080',
      '10-244-1-3.db.shop.svc.cluster.local 8080',
    ]);
    assert.deepEqual(await ask.reverse('10.96.0.20'), ['web.shop.svc.cluster.local']);
    assert.deepEqual(await ask.reverse('fd00:96::20'), ['web.shop.svc.cluster.local']);
    assert.deepEqual(await ask.reverse('10.244.1.9'), ['first.named.shop.svc.cluster.local']);
    assert.deepEqual(await ask.resolve4('away.shop.svc.cluster.local'), ['10.96.0.20']);
    assert.deepEqual(await ask.resolveCname('abroad.shop.svc.cluster.local'), ['example.org']);
  }));

test('no such name, no such record, not our zone', () =>
  served(async (ask) => {
    await fails(ask.resolve4('nobody.shop.svc.cluster.local'), 'ENOTFOUND');
    await fails(ask.resolve4('web.nowhere.svc.cluster.local'), 'ENOTFOUND');
    await fails(ask.resolve4('_ftp._tcp.web.shop.svc.cluster.local'), 'ENOTFOUND');
    await fails(ask.resolve6('db.shop.svc.cluster.local'), 'ENODATA');
    await fails(ask.resolve4('shop.svc.cluster.local'), 'ENODATA');
    await fails(ask.resolve4('example.org'), 'EREFUSED');
    await fails(ask.reverse('10.1.1.1'), 'ENOTFOUND');
  }));

test('changes count at once', () =>
  served(async (ask, zone) => {
    zone.apply([set(slice('db', ['10.244.1.7']))]);
    assert.deepEqual(await ask.resolve4('db.shop.svc.cluster.local'), ['10.244.1.7']);
    await fails(ask.reverse('10.244.1.2'), 'ENOTFOUND');
    zone.apply([gone('EndpointSlice', 'db-1')]);
    await fails(ask.resolve4('db.shop.svc.cluster.local'), 'ENODATA');
    zone.apply(['web', 'db', 'named', 'away', 'abroad'].map((name) => gone('Service', name)));
    await fails(ask.resolve4('db.shop.svc.cluster.local'), 'ENOTFOUND');
    await fails(ask.resolve4('shop.svc.cluster.local'), 'ENOTFOUND');
  }));

test('what does not fit a datagram comes by TCP', () =>
  served(async (ask, zone) => {
    const addresses = Array.from({ length: 300 }, (_, i) => `10.244.${i >> 8}.${i & 255}`);
    zone.apply([set(slice('db', addresses))]);
    assert.equal((await ask.resolve4('db.shop.svc.cluster.local')).length, 300);
  }));

test('any bytes are answered, refused or passed over; none stops the server', () =>
  served(async (ask, zone, port) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        const answer = respond(zone, bytes, 'udp');
        assert.ok(answer === undefined || answer.length >= 12);
      }),
      { numRuns: 2000 },
    );
    await new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(Uint8Array.of(0, 3, 1, 2, 3)));
      socket.on('close', () => resolve()).on('error', () => undefined);
    });
    assert.deepEqual(await ask.resolve4('web.shop.svc.cluster.local'), ['10.96.0.20']);
  }));
