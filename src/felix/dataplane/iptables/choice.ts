// Which back end a node takes, and which variant of iptables (FX-010…FX-014): as configured, or as the rest of the host does.
import { ok, type Result } from '../../../lib/result.ts';
import type { Kernel } from '../../../kernel/mod.ts';
import type { FelixConfig } from '../../calc/mod.ts';
import type { CommandRunner } from './commands.ts';
import { describeRules } from './listings.ts';
import type { Variant } from './operations.ts';

export type BackEndChoice =
  | { readonly backEnd: 'nftables'; readonly reason: string }
  | { readonly backEnd: 'iptables'; readonly variant: Variant; readonly reason: string };

/** What of the configuration the choice depends on; when it changes the choice is made anew. */
export const choiceParameters = ['NFTablesMode', 'IptablesBackend'] as const;

export async function chooseBackEnd(
  config: FelixConfig,
  kernel: Pick<Kernel, 'nftables'>,
  runner: CommandRunner,
): Promise<Result<BackEndChoice>> {
  const mode = config.text('NFTablesMode').toLowerCase();
  if (mode === 'enabled') return ok({ backEnd: 'nftables', reason: 'NFTablesMode is Enabled' });
  if (mode !== 'disabled') {
    const tables = await kernel.nftables.tables();
    if (!tables.ok) return tables;
    if (tables.value.some(({ name }) => name === 'kube-proxy'))
      return ok({ backEnd: 'nftables', reason: 'kube-proxy uses nftables' });
  }
  const present = await presentVariants(kernel, runner);
  if (!present.ok) return present;
  const rules = await readRules(runner, present.value);
  const configured = config.text('IptablesBackend').toLowerCase();
  const variant = configured === 'legacy' || configured === 'nft' ? configured : variantInUse(rules);
  if (mode === 'disabled') return ok({ backEnd: 'iptables', variant, reason: 'NFTablesMode is Disabled' });
  return ok(
    describeRules(rules.legacy).hasKubeProxy || describeRules(rules.nft).hasKubeProxy
      ? { backEnd: 'iptables', variant, reason: 'kube-proxy uses iptables' }
      : { backEnd: 'nftables', reason: 'nothing on the host asks for iptables' },
  );
}

type Rules = Readonly<Record<Variant, string>>;

/** The variants that have any tables: programs are run for these only. */
export async function presentVariants(
  kernel: Pick<Kernel, 'nftables'>,
  runner: CommandRunner,
): Promise<Result<readonly Variant[]>> {
  const tables = await kernel.nftables.tables();
  if (!tables.ok) return tables;
  const isOfNft = tables.value.some(
    ({ family, name }) => (family === 'ip' || family === 'ip6') && iptablesTables.has(name),
  );
  const lists = await Promise.all(['ip', 'ip6'].map((name) => runner.read(`/proc/net/${name}_tables_names`)));
  return ok([
    ...(isOfNft ? (['nft'] as const) : []),
    ...(lists.join('').trim() === '' ? [] : (['legacy'] as const)),
  ]);
}
const iptablesTables: ReadonlySet<string> = new Set(['filter', 'nat', 'mangle', 'raw', 'security']);

/** All rules of the variants that are there; of one that is not installed none can be read. */
async function readRules(runner: CommandRunner, present: readonly Variant[]): Promise<Rules> {
  const read = async (variant: Variant): Promise<string> => {
    if (!present.includes(variant)) return '';
    const results = await Promise.all(
      ['iptables', 'ip6tables'].map((command) => runner.run(`${command}-${variant}-save`, [])),
    );
    return results.map(({ stdout }) => stdout).join('');
  };
  const [nft, legacy] = await Promise.all([read('nft'), read('legacy')]);
  return { nft, legacy };
}

/** Kubelet leaves a mark in the variant of the host; without one, the variant with kube-proxy's or else more rules counts. */
function variantInUse(rules: Rules): Variant {
  const [nft, legacy] = [describeRules(rules.nft), describeRules(rules.legacy)];
  if (nft.hasKubelet || legacy.hasKubelet) return nft.hasKubelet ? 'nft' : 'legacy';
  if (nft.hasKubeProxy !== legacy.hasKubeProxy) return nft.hasKubeProxy ? 'nft' : 'legacy';
  return legacy.count > nft.count ? 'legacy' : 'nft';
}
