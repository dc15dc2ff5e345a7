// Messages other than UPDATE, both ways: header, OPEN with its capabilities, KEEPALIVE, NOTIFICATION, ROUTE-REFRESH.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  asTrans,
  decodeNotification,
  decodeOpen,
  decodeRouteRefresh,
  describeNotification,
  encodeKeepalive,
  encodeNotification,
  encodeOpen,
  encodeRouteRefresh,
  frameLength,
  headerProblem,
  notification,
  openAsn,
  type OpenMessage,
} from './mod.ts';
import { hex, toHex, marker, message } from './testing.ts';

describe('header and small messages', () => {
  test('keepalive, notification and route refresh, both ways', () => {
    assert.equal(toHex(encodeKeepalive()), `${marker}001304`);
    const sent = notification(6, 2, hex('05 68656c6c6f'));
    const bytes = encodeNotification(sent);
    assert.equal(toHex(bytes), `${marker}001b030602056 8656c6c6f`.replaceAll(' ', ''));
    assert.deepEqual(decodeNotification(bytes, 0, bytes.length), sent);
    assert.equal(describeNotification(sent), 'Cease: administrative shutdown (6/2), "hello"');
    const refresh = { afi: 2, safi: 1, subtype: 'begin' } as const;
    assert.equal(toHex(encodeRouteRefresh(refresh)), `${marker}00170500020101`);
    assert.deepEqual(decodeRouteRefresh(encodeRouteRefresh(refresh), 0), refresh);
  });

  for (const [name, bytes, limit, code, sub] of [
    ['marker', `00${'ff'.repeat(15)}001304`, 4096, 1, 1],
    ['too short', `${marker}001204`, 4096, 1, 2],
    ['too long', `${marker}100102`, 4096, 1, 2],
    ['keepalive with a body', `${marker}001404`, 4096, 1, 2],
    ['short UPDATE', `${marker}001602`, 4096, 1, 2],
    ['unknown type', `${marker}001309`, 4096, 1, 3],
    ['route refresh of a wrong length', `${marker}001805`, 4096, 7, 1],
    ['OPEN keeps the small limit', `${marker}100101`, 65535, 1, 2],
  ] as const)
    test(`refused: ${name}`, () => {
      const message = hex(bytes);
      const length = frameLength(message, 0, message.length, limit);
      assert.ok(length < 0);
      const problem = headerProblem(message, 0, length);
      assert.deepEqual([problem.code, problem.subcode], [code, sub]);
    });

  test('an extended UPDATE is a frame only when agreed on', () => {
    const bytes = hex(`${marker}200002`);
    assert.equal(frameLength(bytes, 0, bytes.length, 65535), 0x2000);
    assert.equal(frameLength(bytes.subarray(0, 18), 0, 18, 65535), 0);
  });
});

describe('OPEN', () => {
  const open: OpenMessage = {
    version: 4,
    asn: asTrans,
    holdTimeS: 90,
    routerId: 0x0a000001,
    capabilities: [
      { type: 'multiprotocol', afi: 1, safi: 1 },
      { type: 'multiprotocol', afi: 2, safi: 1 },
      { type: 'route-refresh' },
      { type: 'enhanced-route-refresh' },
      { type: 'extended-message' },
      { type: 'four-octet-as', asn: 4200000001 },
      {
        type: 'graceful-restart',
        restarting: true,
        notification: false,
        restartTimeS: 120,
        families: [{ afi: 1, safi: 1, forwardingPreserved: true }],
      },
      { type: 'add-path', families: [{ afi: 1, safi: 1, mode: 'both' }] },
      { type: 'unknown', code: 73, value: hex('02686900') },
    ],
  };

  test('bytes', () => {
    const bytes = encodeOpen({ ...open, capabilities: open.capabilities.slice(0, 1) });
    assert.equal(toHex(bytes), `${marker}002501045ba0005a0a00000108020601040001 0001`.replaceAll(' ', ''));
  });

  test('every capability, both ways', () => {
    const bytes = encodeOpen(open);
    const decoded = decodeOpen(bytes, 0, bytes.length);
    assert.ok(decoded.ok);
    assert.deepEqual(decoded.value, open);
    assert.equal(openAsn(decoded.value), 4200000001);
  });

  test('more capabilities than the short form holds (RFC 9072)', () => {
    const many = Array.from({ length: 30 }, (_, i) => ({
      type: 'unknown' as const,
      code: 200,
      value: Uint8Array.from({ length: 10 }, () => i),
    }));
    const bytes = encodeOpen({ ...open, capabilities: many });
    const decoded = decodeOpen(bytes, 0, bytes.length);
    assert.ok(decoded.ok);
    assert.deepEqual(decoded.value.capabilities, many);
  });

  for (const [name, body, sub] of [
    ['version 3', '03fde9005a0a00000100', 1],
    ['unknown parameter', '04fde9005a0a00000103090100', 4],
    ['parameters longer than the message', '04fde9005a0a00000132', 0],
    ['capability over the end', '04fde9005a0a0000010402024104', 0],
    ['multiprotocol of three octets', '04fde9005a0a000001070205 0103000100', 0],
    ['route refresh with a value', '04fde9005a0a000001050203 020100', 0],
    ['graceful restart of one octet', '04fde9005a0a000001050203 400100', 0],
    ['four-octet AS of one octet', '04fde9005a0a000001050203 4101aa', 0],
    ['add-path of three octets', '04fde9005a0a000001070205 4503000101', 0],
  ] as const)
    test(`refused: ${name}`, () => {
      const bytes = message(1, body);
      const decoded = decodeOpen(bytes, 0, bytes.length);
      assert.ok(!decoded.ok);
      assert.deepEqual([decoded.error.code, decoded.error.subcode], [2, sub]);
    });
});
