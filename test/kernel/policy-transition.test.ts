// Changes of policy under a flood of packets that it denies before, during and after each change. A packet that is under way
// while a transaction takes effect sees old rules and new elements of maps; none may slip through between them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until } from '../../src/lib/wait.ts';
import { TestNode, unable } from './support/felix-node.ts';
import { unableIptables } from './support/iptables.ts';
import { PolicyFelix } from './support/policy-felix.ts';

const skip = unable('nft') ?? false;
const datagrams = fileURLToPath(new URL('support/datagrams.mjs', import.meta.url));
const b = '10.244.1.3';

test('programs that are made, replaced and removed let no denied packet through', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await node.pod('a', '10.244.1.2');
  await node.pod('b', b);
  felix.endpoint('a', ['10.244.1.2/32']);
  felix.endpoint('b', [`${b}/32`]);
  felix.set('NetworkPolicy', 'closed', { selector: 'app == "b"', types: ['Ingress'] });
  await felix.start();
  const receiver = node.spawn('b', [process.execPath, datagrams, 'receive', '5000']);
  const received = text(receiver);
  await received.until('ready');
  const sender = node.spawn('a', [process.execPath, datagrams, 'flood', `${b}:5000`]);
  const sent = text(sender);
  await sent.until('ready');
  const end = Date.now() + 6_000;
  let changes = 0;
  for (; Date.now() < end; changes++) {
    // Another program each time; members that come and go, in sets that rules deny by and allow other ports by.
    if (changes % 2 === 0)
      felix.set('NetworkPolicy', 'other', {
        selector: 'app == "b"',
        types: ['Ingress'],
        ingress: [
          { action: 'Deny', source: { selector: 'has(member)' }, protocol: 'UDP' },
          { action: 'Allow', protocol: 'TCP', destination: { ports: [1000 + (changes % 100)] } },
        ],
      });
    else felix.remove('NetworkPolicy', 'other');
    if (changes % 3 === 0) felix.set('NetworkSet', 's', { nets: ['10.244.1.2/32'] }, { member: 'yes' });
    else if (changes % 3 === 1) felix.remove('NetworkSet', 's');
    await felix.apply();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  sender.stdin?.end();
  await sent.until('}');
  await new Promise((resolve) => setTimeout(resolve, 100));
  receiver.stdin?.end();
  await received.until('}');
  const count = (said: string): number => Number(/:(\d+)\}/.exec(said)?.[1]);
  assert.ok(changes > 50, `${changes} changes`);
  assert.ok(count(sent.all()) > 10_000, `${sent.all()} sent`);
  assert.equal(count(received.all()), 0, 'received');
});

test('FX-153: a flood of allowed packets loses none while the back end changes', {
  skip: skip === false ? (unableIptables('legacy') ?? false) : skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await node.pod('a', '10.244.1.2');
  await node.pod('b', b);
  felix.endpoint('a', ['10.244.1.2/32']);
  felix.endpoint('b', [`${b}/32`]);
  felix.set('NetworkPolicy', 'open', {
    selector: 'app == "b"',
    types: ['Ingress'],
    ingress: [{ action: 'Allow', source: { selector: 'app == "a"' } }],
  });
  felix.set('NetworkPolicy', 'out', {
    selector: 'app == "a"',
    types: ['Egress'],
    egress: [{ action: 'Allow' }],
  });
  await felix.start();
  const receiver = node.spawn('b', [process.execPath, datagrams, 'receive', '5000']);
  const received = text(receiver);
  await received.until('ready');
  const sender = node.spawn('a', [process.execPath, datagrams, 'flood', `${b}:5000`]);
  const sent = text(sender);
  await sent.until('ready');
  const end = Date.now() + 5_000;
  let changes = 0;
  for (; Date.now() < end; changes++) {
    const mode = changes % 2 === 0 ? 'Disabled' : 'Enabled';
    felix.set('FelixConfiguration', 'default', { nftablesMode: mode, iptablesBackend: 'Legacy' });
    await felix.apply();
  }
  sender.stdin?.end();
  await sent.until('}');
  // What came counts, whether or not the receiver had room for it.
  const udp = async (part: string): Promise<readonly number[]> => {
    const { output } = await node.run(part, ['cat', '/proc/net/snmp']);
    const [, values = ''] = output.split('\n').filter((line) => line.startsWith('Udp: '));
    return values.split(' ').slice(1).map(Number);
  };
  const [, , , left = 0] = await udp('a');
  const arrived = async (): Promise<number> => {
    const [taken = 0, noPorts = 0, errors = 0] = await udp('b');
    return taken + noPorts + errors;
  };
  await until(async () => ((await arrived()) >= left ? true : undefined), { timeoutMs: 5_000 });
  receiver.stdin?.end();
  assert.ok(changes >= 2, `${changes} changes`);
  assert.ok(left > 5_000, `${left} sent`);
  assert.equal(await arrived(), left, 'arrived');
});

function text(child: ReturnType<TestNode['spawn']>) {
  let all = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    all += part;
  });
  const until = async (word: string): Promise<void> => {
    while (!all.includes(word)) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  return { all: () => all, until };
}
