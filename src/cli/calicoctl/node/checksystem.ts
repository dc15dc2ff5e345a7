// `node checksystem`: whether this kernel has what Margay needs (CT-043). Rules are nftables, so Calico's list of iptables
// modules is not asked for.
import { existsSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { gunzipSync } from 'node:zlib';
import { ok } from '../../../lib/result.ts';
import { fail, printLine, textFlag, verb } from '../program.ts';

/** nftables with sets and maps, network namespaces, and netlink as the agent speaks it. */
const leastKernel = [5, 4] as const;

type Need = { readonly module: string; readonly option: string; readonly without?: string };
const needs: readonly Need[] = [
  { module: 'veth', option: 'CONFIG_VETH' },
  { module: 'nf_tables', option: 'CONFIG_NF_TABLES' },
  { module: 'nf_conntrack', option: 'CONFIG_NF_CONNTRACK' },
  { module: 'nf_conntrack_netlink', option: 'CONFIG_NF_CT_NETLINK' },
  { module: 'nf_nat', option: 'CONFIG_NF_NAT' },
  { module: 'nft_chain_nat', option: 'CONFIG_NFT_NAT' },
  { module: 'nft_masq', option: 'CONFIG_NFT_MASQ' },
  { module: 'nft_ct', option: 'CONFIG_NFT_CT' },
  { module: 'sch_tbf', option: 'CONFIG_NET_SCH_TBF', without: 'limit of bandwidth' },
  { module: 'cls_u32', option: 'CONFIG_NET_CLS_U32', without: 'limit of the bandwidth that pods send with' },
  {
    module: 'act_mirred',
    option: 'CONFIG_NET_ACT_MIRRED',
    without: 'limit of the bandwidth that pods send with',
  },
  { module: 'ifb', option: 'CONFIG_IFB', without: 'limit of the bandwidth that pods send with' },
  { module: 'nft_fib_inet', option: 'CONFIG_NFT_FIB_INET', without: 'the strict check of source addresses' },
  { module: 'vxlan', option: 'CONFIG_VXLAN', without: 'VXLAN' },
  { module: 'ipv6', option: 'CONFIG_IPV6', without: 'IPv6' },
];

export const command = verb(
  {
    name: 'node checksystem',
    summary: 'Check whether this machine can run Margay.',
    flags: [
      {
        flags: '-f, --kernel-config <file>',
        description: 'the configuration that the kernel was built with',
      },
    ],
  },
  async ({ flags }) => {
    const version = release();
    printLine('Checking kernel version...');
    const isNewEnough = atLeast(version, leastKernel);
    printResult(version, isNewEnough);
    if (!isNewEnough) printLine(`The kernel must be ${leastKernel.join('.')} or newer.`);
    printLine('Checking kernel modules...');
    const sources = readSources(version, textFlag(flags, 'kernelConfig'));
    let missing = 0;
    for (const { module, option, without } of needs) {
      const isThere = hasModule(sources, module, option);
      printResult(module, isThere);
      if (!isThere && without === undefined) missing++;
      if (!isThere)
        printLine(
          without === undefined
            ? `ERROR: the module ${module} (${option}) was not found`
            : `WARNING: without the module ${module} (${option}) there is no ${without}`,
        );
    }
    const { isPossible, words } = ipipVerdict(
      hasModule(sources, 'ipip', 'CONFIG_NET_IPIP'),
      ipipParts.filter(({ module, option }) => !hasModule(sources, module, option)).map((p) => p.option),
    );
    printResult('IPIP', isPossible);
    printLine(words);
    const encryption = wireguardVerdict(hasModule(sources, 'wireguard', 'CONFIG_WIREGUARD'), {
      'the program wireguard-go': isProgram('wireguard-go'),
      'the device /dev/net/tun (CONFIG_TUN)': existsSync('/dev/net/tun'),
    });
    printResult('WireGuard', encryption.isPossible);
    printLine(encryption.words);
    const { leftovers, readMachine } = await import('./other-network.ts');
    for (const words of leftovers(await readMachine('/etc/cni/net.d'))) printLine(`WARNING: ${words}`);
    if (!isNewEnough || missing > 0)
      return fail("system doesn't meet one or more minimum systems requirements to run Calico");
    printLine('System meets minimum system requirements to run Calico!');
    return ok(undefined);
  },
);

/** What IPIP without the kernel's own takes: a device to stand in, and programs on it. */
const ipipParts: readonly Need[] = [
  { module: 'ifb', option: 'CONFIG_IFB' },
  { module: 'cls_bpf', option: 'CONFIG_NET_CLS_BPF' },
  { module: 'sch_ingress', option: 'CONFIG_NET_SCH_INGRESS' },
  { module: 'bpf', option: 'CONFIG_BPF_SYSCALL' },
];

/** Which IP in IP is used here, and why. */
export function ipipVerdict(
  hasModuleOfKernel: boolean,
  missing: readonly string[],
): { readonly isPossible: boolean; readonly words: string } {
  if (hasModuleOfKernel)
    return { isPossible: true, words: "IPIP: the kernel's own tunl0, as it has the module ipip" };
  if (missing.length === 0)
    return {
      isPossible: true,
      words:
        'IPIP: eBPF programs on a device called tunl0, as this kernel has no module ipip (CONFIG_NET_IPIP); the packets are the same',
    };
  return {
    isPossible: false,
    words: `WARNING: there is no IPIP: this kernel has neither the module ipip (CONFIG_NET_IPIP) nor all that eBPF programs need (${missing.join(', ')})`,
  };
}

/** Which WireGuard encryption between nodes would use here, and why. */
export function wireguardVerdict(
  hasModuleOfKernel: boolean,
  substitute: Readonly<Record<string, boolean>>,
): { readonly isPossible: boolean; readonly words: string } {
  if (hasModuleOfKernel)
    return { isPossible: true, words: "WireGuard: the kernel's own, as it has the module wireguard" };
  const missing = Object.keys(substitute).filter((part) => substitute[part] !== true);
  if (missing.length === 0)
    return {
      isPossible: true,
      words:
        'WireGuard: the program wireguard-go, as this kernel has no module wireguard (CONFIG_WIREGUARD); it is slower, the packets are the same',
    };
  return {
    isPossible: false,
    words: `WARNING: there is no WireGuard: this kernel has no module wireguard (CONFIG_WIREGUARD), and ${missing.join(' and ')} is not there in its place; wireguardEnabled would leave traffic in clear text`,
  };
}

function isProgram(name: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/bin', '/usr/local/bin'];
  return folders.some((folder) => folder !== '' && existsSync(`${folder}/${name}`));
}

const printResult = (what: string, isOk: boolean): void => {
  printLine(`\t\t${what.padEnd(20)}\t\t\t\t\t${isOk ? 'OK' : 'FAIL'}`);
};

export function atLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [, a = '0', b = '0'] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(a) > major || (Number(a) === major && Number(b) >= minor);
}

type Sources = { readonly loaded: string; readonly files: string; readonly config: string };

function readSources(version: string, config: string | undefined): Sources {
  const text = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
  const modules = `/lib/modules/${version}`;
  const configs =
    config === undefined
      ? [
          `/boot/config-${version}`,
          `${modules}/config`,
          `${modules}/build/.config`,
          `/usr/src/linux-headers-${version}/.config`,
        ]
      : [config];
  const found = configs.map(text).find((one) => one !== '');
  return {
    loaded: text('/proc/modules'),
    files: text(`${modules}/modules.dep`) + text(`${modules}/modules.builtin`),
    config: found ?? runningConfig(),
  };
}

const runningConfig = (): string =>
  existsSync('/proc/config.gz') ? gunzipSync(readFileSync('/proc/config.gz')).toString('utf8') : '';

/** Module files are named with dashes or underscores. What is built in may only show in /sys or in the configuration. */
function hasModule({ loaded, files, config }: Sources, module: string, option: string): boolean {
  const name = module.replaceAll('_', '[-_]');
  return (
    new RegExp(`^${name} `, 'm').test(loaded) ||
    new RegExp(`/${name}\\.ko`).test(files) ||
    existsSync(`/sys/module/${module}`) ||
    new RegExp(`^${option}=[ym]`, 'm').test(config)
  );
}
