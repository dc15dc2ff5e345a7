import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeProtobuf } from './decode.ts';
import { kindMessages, messages } from './fields.ts';

// What `kubectl create deployment myapp --image=web:1 --replicas=0 --port=80` (1.32) sends.
const deployment = Buffer.from(
  'azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50Er4BCiMKBW15YXBwEgAaACIAKgAyADgAQgBaDAoDYXBwEgVteWFwcBKIAQgAEg4KDAoDYXBwEgVteWFwcBpsCh4KABIAGgAiACoAMgA4AEIAWgwKA2FwcBIFbXlhcHASShIsCgN3ZWISBXdlYjoxKgAyCgoAEAAYUCIAKgBCAGoAcgCAAQCIAQCQAQCiAQAaADIAQgBKAFIAWABgAGgAggEAigEAmgEAwgEAIgIKACgAOAAaDAgAEAAYACAAKAA4ABoAIgA=',
  'base64',
);

test('a deployment as kubectl sends it', () => {
  const decoded = decodeProtobuf(deployment);
  assert.ok(decoded.ok);
  assert.deepEqual(decoded.value, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'myapp', labels: { app: 'myapp' } },
    spec: {
      replicas: 0,
      selector: { matchLabels: { app: 'myapp' } },
      template: {
        metadata: { labels: { app: 'myapp' } },
        spec: {
          containers: [{ name: 'web', image: 'web:1', ports: [{ containerPort: 80 }], resources: {} }],
        },
      },
      strategy: {},
    },
    status: { replicas: 0 },
  });
});

test('a body cut short or changed is refused or read, never an exception', () => {
  for (let length = 0; length < deployment.length; length++) decodeProtobuf(deployment.subarray(0, length));
  fc.assert(
    fc.property(fc.nat(deployment.length - 1), fc.nat(255), (position, byte) => {
      const changed = Buffer.from(deployment);
      changed[position] = byte;
      decodeProtobuf(changed);
    }),
    { numRuns: 500 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      decodeProtobuf(Buffer.concat([deployment.subarray(0, 27), bytes]));
    }),
    { numRuns: 500 },
  );
});

test('other bytes and unknown kinds are named', () => {
  const none = decodeProtobuf(Buffer.from('{"kind":"Pod"}'));
  assert.ok(!none.ok && /mark/.test(none.error));
  const other = Buffer.concat([
    Buffer.from('k8s\0'),
    Buffer.from([0x0a, 0x0a, 0x0a, 0x02]),
    Buffer.from('v1'),
    Buffer.from([0x12, 0x04]),
    Buffer.from('What'),
  ]);
  const unknown = decodeProtobuf(other);
  assert.ok(!unknown.ok && /What/.test(unknown.error));
});

test('every type in the table is a known one', () => {
  const simple = /^[*%]*&?[sibfytuqnjd]$/;
  for (const [message, line] of Object.entries(messages)) {
    for (const part of line === '' ? [] : line.split('; ')) {
      const [number, name, type = ''] = part.split(' ');
      assert.ok(Number(number) > 0 && name !== undefined, `${message}: ${part}`);
      const bare = type.replace(/^[*%&]+/, '');
      const group = message.slice(0, message.indexOf('.'));
      assert.ok(
        simple.test(type) || messages[bare.includes('.') ? bare : `${group}.${bare}`] !== undefined,
        `${message}: ${part}`,
      );
    }
  }
  for (const message of Object.values(kindMessages)) assert.ok(messages[message] !== undefined, message);
});
