// `margay bgp why PREFIX`: which filter, attribute or missing next hop stopped or chose a route.
import type { WhyAnswer } from '../../bgp/speaker/mod.ts';
import { parseAddress, parseNetwork, hostPrefix } from '../../lib/ip/mod.ts';
import { fail, textFlag, verb } from '../calicoctl/program.ts';
import { askFlags, type NodeAnswer } from './ask.ts';
import { askAndPrint, problems } from './run.ts';

export const command = verb(
  {
    name: 'bgp why',
    summary: 'Say why a node sends packets to a prefix the way it does, and what it tells its peers of it.',
    arguments: '<prefix>',
    flags: [
      ...askFlags,
      { flags: '--node <name>', description: 'ask this node; without it this one, or all' },
      { flags: '--peer <peer>', description: 'only about this peer: its name or address' },
    ],
    examples: [
      'bgp why 192.168.33.192/26 --node worker3',
      'bgp why 10.96.0.0/12 --node worker1 --peer 10.0.0.254',
    ],
  },
  ({ flags, args }) => {
    const [text = ''] = args;
    const host = parseAddress(text);
    const network = host.ok ? { ok: true as const, value: hostPrefix(host.value) } : parseNetwork(text);
    if (!network.ok)
      return Promise.resolve(fail(network.error.message, 'Give a prefix like 192.168.0.0/26.'));
    const [node, peer] = [textFlag(flags, 'node'), textFlag(flags, 'peer')];
    return askAndPrint<WhyAnswer>(flags, {
      question: { op: 'why', prefix: network.value, ...(peer === undefined ? {} : { peer }) },
      ...(node === undefined ? {} : { node }),
      prefersLocal: true,
      text: (answers) => `${answers.map(whyText).join('\n')}${problems(answers)}`,
    });
  },
);

export function whyText({ node, answer }: NodeAnswer<WhyAnswer>): string {
  if (!answer.ok) return '';
  const { prefix, covering, paths, kernel, told, down } = answer.value;
  const lines = [`${prefix} on ${node}`];
  if (paths.length === 0)
    lines.push(
      covering === undefined
        ? '  Nobody has announced it, nor anything around it.'
        : `  Nobody has announced it. Around it the table has ${covering}.`,
    );
  else {
    lines.push('  Routes');
    for (const path of paths) {
      const via = path.nextHop === undefined ? '' : ` via ${path.nextHop}`;
      const attributes = `AS path (${path.asPath}), preference ${path.localPref}`;
      lines.push(
        `    ${path.chosen ? '*' : path.used ? '=' : ' '} from ${path.from}${via}, ${attributes}`,
        `        ${path.why}`,
      );
    }
  }
  if (kernel !== undefined && (paths.length > 0 || kernel.written))
    lines.push('  Kernel', `    ${kernel.written ? '*' : ' '} ${kernel.why}`);
  if (told.length > 0) {
    lines.push('  Peers');
    for (const { peer, announced, why } of told) lines.push(`    ${announced ? '>' : ' '} ${peer}: ${why}`);
  }
  if (down.length > 0) {
    lines.push('  Peers without a session');
    for (const { peer, address, why } of down) lines.push(`      ${peer} (${address}): ${why}`);
  }
  return `${lines.join('\n')}\n`;
}
