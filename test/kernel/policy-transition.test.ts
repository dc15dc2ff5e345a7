// Changes of policy under a flood of packets that it denies before, during and after each change. A packet that is under way
// while a transaction takes effect sees old rules and new elements of maps; none may slip through between them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TestNode, unable } from './support/felix-node.ts';
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
