// What the kernel tells about a packet on its way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTrace } from './trace-reader.ts';

const line = (rest: string): string => `trace id 3f2a ${rest}\n`;
const entering =
  line(
    'inet margay-trace-7 from-device packet: iif "cali1" @ll,0,112 0xee ip saddr 10.0.0.1 ip daddr 10.0.0.2 tcp dport 80',
  ) +
  line('inet margay-trace-7 from-device rule ip saddr 10.0.0.1 meta nftrace set 1 (verdict continue)') +
  line(
    'ip calico filter-forward rule iifname "cali*" jump from-workload comment "cali:abc" (verdict jump from-workload)',
  ) +
  line(
    'ip calico rule-a rule counter packets 1 bytes 60 return comment "cali:def profile kns.x egress[0] allow" (verdict return)',
  );

test('a packet that passes: its devices and the rules that decided', () => {
  const out = line('inet margay-trace-7 to-device packet: iif "cali1" oif "eth0" ip saddr 10.0.0.1');
  assert.deepEqual(
    readTrace('worker1', `${entering}${out}trace id 99 ip calico x rule drop (verdict drop)\n`),
    {
      node: 'worker1',
      device: 'cali1',
      rules: ['profile kns.x egress[0] allow'],
      end: { kind: 'device', device: 'eth0' },
    },
  );
  const into = line('inet margay-trace-7 to-node packet: iif "cali1" ip saddr 10.0.0.1');
  assert.deepEqual(readTrace('worker1', `${entering}${into}`)?.end, { kind: 'node' });
});

test('a packet that is dropped: by whose rule', () => {
  const dropped = line(
    'ip calico rule-b rule counter packets 1 bytes 60 drop comment "cali:ghi default np:x/p ingress[1] deny" (verdict drop)',
  );
  assert.deepEqual(readTrace('worker1', entering + dropped)?.end, {
    kind: 'dropped',
    by: 'default np:x/p ingress[1] deny',
  });
  const foreign = line('ip filter FORWARD rule tcp dport 80 drop (verdict drop)');
  assert.deepEqual(readTrace('worker1', entering + foreign)?.end, {
    kind: 'dropped',
    by: 'a rule of filter FORWARD: tcp dport 80 drop',
  });
  assert.deepEqual(readTrace('worker1', `${entering}${line('ip filter FORWARD policy drop ')}`)?.end, {
    kind: 'dropped',
    by: 'the policy of filter FORWARD',
  });
  assert.match(JSON.stringify(readTrace('worker1', entering)?.end), /no rule/);
  assert.equal(readTrace('worker1', 'nothing\n'), undefined);
});
