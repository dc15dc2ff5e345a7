// Bytes and lines beside values. The hexadecimal texts are what `wg` of wireguard-tools sends to the kernel for the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Address, Prefix } from '../../lib/ip/mod.ts';
import { decodeFamily, encodeFamilyLookup, GENL_ID_CTRL } from '../netlink/generic.ts';
import { messages, MessageWriter, type MessageHeader } from '../netlink/message.ts';
import { decodeDevicePart, encodeDeviceChange, joinDeviceParts } from '../netlink/wireguard.ts';
import { isNoKey, keyFromHex, keyToHex, newPrivateKey, publicKeyOf } from './keys.ts';
import type { WireGuardChange } from './types.ts';
import { parseUapi, uapiErrno, uapiSet } from './uapi.ts';

const privateKey = 'yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=';
const publicKey = 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=';
const peer = {
  op: 'put',
  publicKey,
  endpoint: { address: '10.0.0.22' as Address, port: 51820 },
  keepaliveSeconds: 25,
  allowed: ['192.168.10.0/26', '10.1.2.3/32'] as Prefix[],
} as const;
const change: WireGuardChange = { privateKey, port: 51820, mark: 0x200000, peers: [peer] };

function bodies(wanted: WireGuardChange): string[] {
  return encodeDeviceChange('wg0', wanted).map((write) => {
    const w = new MessageWriter();
    write(w);
    return Buffer.from(w.bytes).toString('hex');
  });
}
function received(type: number, body: string): readonly [DataView, MessageHeader] {
  const w = new MessageWriter().message(type, 0, 1).raw(Buffer.from(body, 'hex')).end();
  const bytes = w.bytes.slice();
  const view = new DataView(bytes.buffer);
  const [message] = [...messages(view, bytes.length)];
  assert.ok(message !== undefined);
  return [view, message];
}

const recorded =
  '01010000080002007767300024000300c809f3e5317e9575c9b5ed78b638b7ce530dabe85ddab614220241801ddf0669' +
  '060006006cca000008000700000020008c0008808800008024000100c53201039adba14be71f886da1d8dbe9eebded08cb111b75340078999aa9f038' +
  '140004000200ca6c0a0000160000000000000000060005001900000008000300020000003c000980' +
  '1c000080060001000200000008000200c0a80a00050003001a000000' +
  '1c0000800600010002000000080002000a0102030500030020000000';

test('OT-080: a device and its peer as the kernel takes them', () => {
  assert.deepEqual(bodies(change), [recorded]);
  assert.deepEqual(
    bodies({
      peers: [
        {
          op: 'put',
          publicKey,
          endpoint: { address: '2001:db8::22' as Address, port: 51821 },
          allowed: ['fd00::/122'] as Prefix[],
        },
        { op: 'remove', publicKey },
      ],
    }),
    [
      '010100000800020077673000' +
        '800008807c000080' +
        '24000100c53201039adba14be71f886da1d8dbe9eebded08cb111b75340078999aa9f038' +
        '200004000a00ca6d0000000020010db80000000000000000000000220000000008000300020000002c000980' +
        '28000080060001000a00000014000200fd000000000000000000000000000000050003007a000000',
      '010100000800020077673000340008803000008024000100c53201039adba14be71f886da1d8dbe9eebded08cb111b75340078999aa9f0380800030001000000',
    ],
  );
});

test('OT-080: a device and its peer as the kernel tells them, in one message or several', () => {
  const [view, message] = received(0x21, recorded);
  const part = decodeDevicePart(view, message);
  assert.deepEqual(part, {
    name: 'wg0',
    driver: 'kernel',
    privateKey,
    port: 51820,
    mark: 0x200000,
    peers: [
      {
        publicKey,
        endpoint: { address: '10.0.0.22', port: 51820 },
        keepaliveSeconds: 25,
        allowed: ['10.1.2.3/32', '192.168.10.0/26'],
        lastHandshake: 0,
        receivedBytes: 0,
        sentBytes: 0,
      },
    ],
  });
  const more = { ...part, peers: part.peers.map((one) => ({ ...one, allowed: ['10.9.0.0/16' as Prefix] })) };
  assert.deepEqual(joinDeviceParts([part, more])?.peers[0]?.allowed, [
    '10.1.2.3/32',
    '10.9.0.0/16',
    '192.168.10.0/26',
  ]);
  assert.equal(joinDeviceParts([]), undefined);
});

test('a peer with more prefixes than a message holds is told in several', () => {
  const allowed = Array.from({ length: 2500 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24` as Prefix);
  const parts = encodeDeviceChange('wg0', { peers: [{ ...peer, allowed }] }).map((write) => {
    const w = new MessageWriter().message(0x21, 0, 1);
    write(w);
    const bytes = w.end().bytes.slice();
    const view = new DataView(bytes.buffer);
    const [message] = [...messages(view, bytes.length)];
    assert.ok(message !== undefined);
    return decodeDevicePart(view, message);
  });
  assert.equal(parts.length, 3);
  assert.deepEqual(joinDeviceParts(parts)?.peers[0]?.allowed, allowed.toSorted());
});

test('the number of a generic netlink family', () => {
  const w = new MessageWriter();
  encodeFamilyLookup(w, 'wireguard');
  assert.equal(Buffer.from(w.bytes).toString('hex'), '030100000e000200776972656775617264000000');
  const [view, message] = received(
    GENL_ID_CTRL,
    '010200000e000200776972656775617264000000060001002100000008000300010000000800040000000000',
  );
  assert.equal(decodeFamily(view, message), 0x21);
});

test('OT-080: the same in the words of wireguard-go', () => {
  const text = uapiSet({ ...change, peers: [peer, { op: 'remove', publicKey: privateKey }] });
  assert.equal(
    text,
    [
      'set=1',
      'private_key=c809f3e5317e9575c9b5ed78b638b7ce530dabe85ddab614220241801ddf0669',
      'listen_port=51820',
      'fwmark=2097152',
      'public_key=c53201039adba14be71f886da1d8dbe9eebded08cb111b75340078999aa9f038',
      'endpoint=10.0.0.22:51820',
      'persistent_keepalive_interval=25',
      'replace_allowed_ips=true',
      'allowed_ip=192.168.10.0/26',
      'allowed_ip=10.1.2.3/32',
      'public_key=c809f3e5317e9575c9b5ed78b638b7ce530dabe85ddab614220241801ddf0669',
      'remove=true',
      '',
      '',
    ].join('\n'),
  );
  const device = parseUapi(
    'wg0',
    'private_key=c809f3e5317e9575c9b5ed78b638b7ce530dabe85ddab614220241801ddf0669\nlisten_port=51821\nfwmark=2097152\n' +
      'public_key=c53201039adba14be71f886da1d8dbe9eebded08cb111b75340078999aa9f038\npreshared_key=00\nprotocol_version=1\n' +
      'endpoint=[2001:db8::22]:51821\nlast_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\ntx_bytes=148\nrx_bytes=92\n' +
      'persistent_keepalive_interval=0\nallowed_ip=fd00::/122\nerrno=0\n\n',
  );
  assert.deepEqual(device, {
    name: 'wg0',
    driver: 'userspace',
    privateKey,
    port: 51821,
    mark: 0x200000,
    peers: [
      {
        publicKey,
        endpoint: { address: '2001:db8::22', port: 51821 },
        keepaliveSeconds: 0,
        allowed: ['fd00::/122'],
        receivedBytes: 92,
        sentBytes: 148,
        lastHandshake: 1700000000,
      },
    ],
  });
  assert.equal(uapiErrno('errno=0\n\n'), 0);
  assert.equal(uapiErrno('listen_port=1\nerrno=-22\n\n'), 22);
  assert.equal(uapiErrno('listen_port=1\n'), undefined);
});

test('keys: a pair as `wg genkey` and `wg pubkey` make it, and new ones', () => {
  assert.equal(
    publicKeyOf('iOBCZRRIXlF3vIs3yJwZqBbLur4yVmrh43R3+MW22HY='),
    'wmZuChz1G0avYhXPTK2d3i8pcYFwSRATTCBSdUnvSl0=',
  );
  const fresh = newPrivateKey();
  assert.equal(keyFromHex(keyToHex(fresh)), fresh);
  assert.equal(publicKeyOf(fresh)?.length, 44);
  assert.notEqual(fresh, newPrivateKey());
  assert.equal(publicKeyOf('nonsense'), undefined);
  assert.ok(isNoKey(keyFromHex('00'.repeat(32))));
});
