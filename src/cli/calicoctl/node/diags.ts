// `node diags`: what this node is like, as an archive to send to somebody (CT-042): routes, addresses, rules, sessions, logs.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { basename, join } from 'node:path';
import { ok } from '../../../lib/result.ts';
import { askSocket, defaultSocket } from '../../bgp/ask.ts';
import { Bundle, type Probe, timestamp } from '../diags/bundle.ts';
import { fail, printLine, textFlag, verb } from '../program.ts';
import { clientVersion } from '../version.ts';

/** The names are those of calicoctl where it has them. */
const probes: readonly Probe[] = [
  { file: 'date', argv: ['date'] },
  { file: 'hostname', argv: ['hostname'] },
  { file: 'netstat', argv: ['ss', '-anp'], info: 'Dumping netstat' },
  { file: 'ipv4_route', argv: ['ip', '-4', 'route', 'show', 'table', 'all'], info: 'Dumping routes (IPv4)' },
  { file: 'ipv6_route', argv: ['ip', '-6', 'route', 'show', 'table', 'all'], info: 'Dumping routes (IPv6)' },
  { file: 'ipv4_rule', argv: ['ip', '-4', 'rule'] },
  { file: 'ipv6_rule', argv: ['ip', '-6', 'rule'] },
  { file: 'ipv4_addr', argv: ['ip', '-4', 'addr'], info: 'Dumping interface info (IPv4)' },
  { file: 'ipv6_addr', argv: ['ip', '-6', 'addr'], info: 'Dumping interface info (IPv6)' },
  { file: 'link', argv: ['ip', '-d', '-s', 'link'] },
  { file: 'neighbours', argv: ['ip', 'neigh'] },
  { file: 'bridge_fdb', argv: ['bridge', 'fdb'] },
  { file: 'tc_qdisc', argv: ['tc', '-s', 'qdisc'] },
  { file: 'nftables', argv: ['nft', '-n', '-a', 'list', 'ruleset'], info: 'Dumping nftables' },
  { file: 'ipv4_tables', argv: ['iptables-save', '-c'], info: 'Dumping iptables (IPv4)' },
  { file: 'ipv6_tables', argv: ['ip6tables-save', '-c'], info: 'Dumping iptables (IPv6)' },
  { file: 'ipsets', argv: ['ipset', 'list'], info: 'Dumping ipsets' },
  {
    file: 'conntrack_count',
    argv: ['sysctl', 'net.netfilter.nf_conntrack_count', 'net.netfilter.nf_conntrack_max'],
  },
  { file: 'forwarding', argv: ['sysctl', '-a', '-r', '^net\\.ipv[46]\\.(conf|ip_forward|neigh\\.default)'] },
  { file: 'modules', argv: ['lsmod'] },
];
/** Small files that say how the node is set up. The kubeconfig of the CNI plugin is not among them. */
const settings = [
  '/var/lib/calico/nodename',
  '/var/lib/calico/mtu',
  '/etc/cni/net.d/10-calico.conflist',
  '/etc/calico/calicoctl.cfg',
  '/etc/calico/felix.cfg',
  '/etc/calico/confd/config/bird.cfg',
  '/etc/calico/confd/config/bird6.cfg',
];
const questions = ['status', 'peers', 'routes'] as const;

export const command = verb(
  {
    name: 'node diags',
    summary: 'Collect what tells about the state of this node into an archive.',
    flags: [
      {
        flags: '--log-dir <directory>',
        description: 'where the logs of Calico are',
        default: '/var/log/calico',
      },
      { flags: '--socket <path>', description: 'where the BGP speaker answers', default: defaultSocket },
    ],
    examples: ['node diags', 'node diags --log-dir=/var/log/calico'],
    notes:
      'Passwords, keys and tokens are taken out as far as they can be recognised. Run it on the node, as root.',
  },
  async ({ flags }) => {
    if (process.getuid?.() !== 0) return fail('Need super user privileges: Operation not permitted');
    const logs = textFlag(flags, 'logDir') ?? '';
    printLine('Collecting diagnostics');
    const bundle = new Bundle('diagnostics');
    printLine(`Using temp dir: ${bundle.directory}`);
    bundle.write('versions', `calicoctl ${clientVersion}\nnode ${process.version}\nkernel ${release()}\n`);
    for (const { info } of probes) if (info !== undefined) printLine(info);
    for (const program of await bundle.run(probes))
      printLine(`There is no program ${program} here; skipping it`);
    for (const path of settings)
      if (existsSync(path)) bundle.write(join('settings', basename(path)), readFileSync(path, 'utf8'));
    printLine('Asking the BGP speaker');
    for (const op of questions) {
      const answer = await askSocket(textFlag(flags, 'socket') ?? '', { op }, 5_000);
      bundle.write(
        `bgp_${op}.json`,
        answer.ok ? `${JSON.stringify(answer.value, undefined, 2)}\n` : `${answer.error.message}\n`,
      );
    }
    if (existsSync(logs) && statSync(logs).isDirectory()) {
      printLine('Copying Calico logs');
      bundle.copy(logs, 'logs');
    } else printLine(`No logs found in ${logs}; skipping log copying`);
    const path = join(bundle.directory, `diags-${timestamp(new Date(), false)}.tar.gz`);
    const archived = await bundle.archive(path);
    if (!archived.ok) return fail(archived.error.message);
    printLine(`\nDiags saved to ${path}`);
    printLine(
      'It holds names, addresses and logs of this node; have a look at it before you give it to others.',
    );
    return ok(undefined);
  },
);
