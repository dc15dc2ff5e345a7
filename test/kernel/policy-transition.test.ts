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
/** How long changes go on. POLICY_FLOOD_MS=180000 for a long look. */
const timeMs = Number(process.env['POLICY_FLOOD_MS'] ?? 4_000);

/** Changes of everything that leads to b, each made anew and again; none of them lets a datagram to port 5000 through. */
function deniedThroughout(felix: PolicyFelix): Readonly<Record<string, (turn: number) => void>> {
  const other = (...ingress: readonly object[]): void =>
    felix.set('NetworkPolicy', 'other', { selector: 'app == "b"', types: ['Ingress'], ingress });
  const member = (labels: Readonly<Record<string, string>>): void =>
    felix.set('NetworkSet', 's', { nets: ['10.244.1.2/32'] }, labels);
  const udp = (action: string, ports: readonly (number | string)[], source: object = {}): object => ({
    action,
    protocol: 'UDP',
    source,
    destination: { ports },
  });
  const members = { selector: 'has(member)' };
  return {
    // Another program each time; members that come and go, in sets that rules deny by and allow other ports by.
    'a policy comes and goes': (turn) => {
      if (turn % 2 === 0)
        other(
          { action: 'Deny', source: members, protocol: 'UDP' },
          { action: 'Allow', protocol: 'TCP', destination: { ports: [1000 + (turn % 100)] } },
        );
      else felix.remove('NetworkPolicy', 'other');
      if (turn % 3 === 0) member({ member: 'yes' });
      else if (turn % 3 === 1) felix.remove('NetworkSet', 's');
    },
    // Intervals are there a moment after the rules that ask for them.
    'all but a range is allowed': (turn) =>
      turn % 2 === 0
        ? other(udp('Deny', ['4000:6000']), { action: 'Allow' })
        : felix.remove('NetworkPolicy', 'other'),
    'a range moves': (turn) =>
      other(udp('Deny', [`${4000 - (turn % 7) * 100}:${6000 + (turn % 5) * 100}`]), { action: 'Allow' }),
    'the rest allows where the port denies': (turn) => {
      if (turn === 0) member({ member: 'yes' });
      if (turn % 2 === 0)
        other(udp('Deny', [5000], members), { action: 'Allow', protocol: 'UDP', source: members });
      else other(udp('Allow', [6000], members));
    },
    'a tier comes before': (turn) => {
      if (turn === 0) felix.set('Tier', 'early', { order: 1 });
      if (turn % 2 === 0)
        felix.set('NetworkPolicy', 'early.first', {
          tier: 'early',
          selector: 'app == "b"',
          types: ['Ingress'],
          ingress: [udp('Deny', ['4900:5100']), udp('Allow', [6000]), { action: 'Pass' }],
        });
      else felix.remove('NetworkPolicy', 'early.first');
    },
    // Whose program is shared, and who gets another one.
    'pods come and go': (turn) => {
      if (turn % 2 === 0) {
        felix.endpoint('c', ['10.244.1.4/32']);
        felix.endpoint('b', [`${b}/32`]);
        other(udp('Allow', [6000]));
      } else {
        felix.remove('WorkloadEndpoint', 'c');
        other({ action: 'Deny', source: members }, udp('Allow', ['6000:7000']));
      }
    },
  };
}

test('programs that are made, replaced and removed let no denied packet through', {
  skip,
}, async () => {
  await using node = await TestNode.make();
  await using felix = new PolicyFelix(node);
  await node.pod('a', '10.244.1.2');
  await node.pod('b', b);
  await node.pod('c', '10.244.1.4');
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
  const denied = async (): Promise<number> => {
    const listed = await felix.nft('list', 'table', 'ip', 'calico');
    return [...listed.matchAll(/counter packets (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  // The flood is on; nothing else is asked of its speed.
  await until(async () => ((await denied()) > 0 ? true : undefined), { timeoutMs: 60_000 });
  const kinds = Object.entries(deniedThroughout(felix));
  const changes: Record<string, number> = {};
  for (const [kind, change] of kinds) {
    const end = Date.now() + timeMs / kinds.length;
    let turn = 0;
    // However slow the machine is, each way is gone there and back.
    for (; Date.now() < end || turn < 4; turn++) {
      change(turn);
      await felix.apply();
    }
    changes[kind] = turn;
  }
  sender.stdin?.end();
  await sent.until('}');
  await new Promise((resolve) => setTimeout(resolve, 100));
  receiver.stdin?.end();
  await received.until('}');
  assert.equal(received.all(), 'ready\n{"5000":0}\n', JSON.stringify({ changes, sent: sent.all() }));
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
  for (; Date.now() < end || changes < 2; changes++) {
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
  assert.ok(left > 0, 'nothing was sent');
  assert.equal(await arrived(), left, `arrived of ${left} during ${changes} changes`);
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
