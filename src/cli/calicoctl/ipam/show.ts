// `ipam show`: how full pools and blocks are, whose an address is, borrowed addresses, the configuration (CT-030, CT-031).
import { boxedTable } from '../output/table.ts';
import { type CliError, fail, isSet, print, printLine, textFlag, verb, withDatastore } from '../program.ts';
import type { Datastore } from '../../../datastore/mod.ts';
import type { Ipam } from '../../../ipam/mod.ts';
import { parseAddress } from '../../../lib/ip/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { openIpam } from './open.ts';

export const command = verb(
  {
    name: 'ipam show',
    summary: 'Show how full the pools are.',
    flags: [
      { flags: '--ip <address>', description: 'who has this address' },
      { flags: '--show-blocks', description: 'blocks beside pools' },
      { flags: '--show-borrowed', description: 'addresses that nodes took from blocks of others' },
      { flags: '--show-configuration', description: 'switches of address management' },
    ],
    examples: ['ipam show', 'ipam show --show-blocks', 'ipam show --ip=192.168.12.4'],
  },
  ({ flags }) =>
    withDatastore(flags, async (store) => {
      const ip = textFlag(flags, 'ip');
      if (ip !== undefined) return showAddress(await openIpam(store), store, ip);
      if (isSet(flags, 'showBorrowed')) return showBorrowed(store);
      if (isSet(flags, 'showConfiguration')) return showConfiguration(store);
      return showUse(await openIpam(store), isSet(flags, 'showBlocks'));
    }),
);

/** At most five significant digits, as Go's `%.5g`: 65536, 2.8147e+14. */
export function shortNumber(value: bigint | number): string {
  const number = Number(value);
  if (number < 100_000) return String(number);
  const text = number.toExponential(4).replace(/\.?0+e/, 'e');
  return text.replace(/e\+(\d)$/, 'e+0$1');
}

const share = (part: bigint | number, whole: bigint | number): string =>
  `${shortNumber(part)} (${Number(whole) === 0 ? 0 : Math.round((100 * Number(part)) / Number(whole))}%)`;

type Use = {
  readonly total: bigint | number;
  readonly inUse: bigint | number;
  readonly resting: bigint | number;
  readonly reserved: bigint | number;
  readonly free: bigint | number;
};

async function showUse(ipam: Ipam, withBlocks: boolean): Promise<Result<void, CliError>> {
  const pools = await ipam.utilisation();
  if (!pools.ok) return fail(pools.error.message);
  const rowOf = (
    grouping: string,
    cidr: string,
    { total, inUse, resting, reserved, free }: Use,
  ): readonly string[] => [
    grouping,
    cidr,
    shortNumber(total),
    // Addresses that rest after their release are not free yet.
    share(BigInt(inUse) + BigInt(resting), total),
    share(reserved, total),
    share(free, total),
  ];
  const rows = pools.value.flatMap((pool) => [
    rowOf('IP Pool', pool.cidr, pool),
    ...(withBlocks ? pool.blocks.map((block) => rowOf('Block', block.block, block)) : []),
  ]);
  const head = ['GROUPING', 'CIDR', 'IPS TOTAL', 'IPS IN USE', 'IPS RESERVED', 'IPS FREE'];
  const right = 'right' as const;
  print(boxedTable(head, rows, { cells: ['left', 'left', right, right, right, right] }));
  return ok(undefined);
}

async function showAddress(ipam: Ipam, store: Datastore, text: string): Promise<Result<void, CliError>> {
  const address = parseAddress(text);
  if (!address.ok) return fail(`Invalid IP address specified: ${text}`);
  const detail = await ipam.detailOf(address.value);
  if (!detail.ok) return fail(detail.error.message);
  if (detail.value === undefined) {
    printLine(`${address.value} is not assigned`);
    return ok(undefined);
  }
  const { handleId, attributes, block } = detail.value;
  printLine(`IP ${address.value} is in use`);
  printLine(`Handle ID: ${handleId ?? '<none>'}`);
  printAttributes('Active Owner Attributes', attributes, 'No Active Owner attributes defined');
  const alternate = await alternateOwner(store, block, address.value);
  if (alternate !== undefined) printAttributes('Alternate Owner Attributes', alternate);
  return ok(undefined);
}

async function alternateOwner(
  store: Datastore,
  block: string,
  address: string,
): Promise<Readonly<Record<string, string>> | undefined> {
  const { allocationsOf } = await import('./blocks.ts');
  const blocks = await store.list('IPAMBlock');
  if (!blocks.ok) return undefined;
  const found = blocks.value.items.find(({ spec }) => spec.cidr === block);
  return found && allocationsOf(found).find((one) => one.address === address)?.alternate;
}

function printAttributes(title: string, attributes: Readonly<Record<string, string>>, none?: string): void {
  const keys = Object.keys(attributes).toSorted();
  if (keys.length === 0) {
    if (none !== undefined) printLine(none);
    return;
  }
  printLine(`${title}:`);
  for (const key of keys) printLine(`  ${key}: ${attributes[key]}`);
}

async function showBorrowed(store: Datastore): Promise<Result<void, CliError>> {
  const { allocationsOf } = await import('./blocks.ts');
  const blocks = await store.list('IPAMBlock');
  if (!blocks.ok) return fail(blocks.error.message);
  const rows: (readonly string[])[] = [];
  let unknown = 0;
  for (const block of blocks.value.items) {
    const owner = block.spec.affinity?.replace(/^[^:]*:/, '') ?? '';
    for (const { address, attributes, resting } of allocationsOf(block)) {
      if (resting) continue;
      const { node, namespace = '', pod, type = '', 'vmi-name': machine } = attributes;
      if (node === undefined) unknown++;
      else if (node !== owner) {
        const holder = machine ?? pod;
        const kind = machine !== undefined ? 'vmi' : pod !== undefined ? 'pod' : type;
        rows.push([
          address,
          node,
          block.spec.cidr,
          owner,
          kind,
          holder === undefined ? '' : `${namespace}/${holder}`,
        ]);
      }
    }
  }
  print(boxedTable(['IP', 'BORROWING-NODE', 'BLOCK', 'BLOCK OWNER', 'TYPE', 'ALLOCATED-TO'], rows));
  if (unknown > 0)
    printLine(
      `\nNote: found ${unknown} IP allocations without an explicit node association. Unable to determine if they are borrowed.`,
    );
  return ok(undefined);
}

async function showConfiguration(store: Datastore): Promise<Result<void, CliError>> {
  const found = await store.get('IPAMConfiguration', { name: 'default' });
  if (!found.ok && found.error.code !== 'NotFound') return fail(`error: ${found.error.message}`);
  const spec = found.ok ? found.value.spec : {};
  const rows: readonly (readonly string[])[] = [
    ['StrictAffinity', String(spec.strictAffinity ?? false)],
    ['AutoAllocateBlocks', String(spec.autoAllocateBlocks ?? true)],
    ['MaxBlocksPerHost', String(spec.maxBlocksPerHost ?? 0)],
    ['KubeVirtVMAddressPersistence', spec.kubeVirtVMAddressPersistence ?? '<nil>'],
    ['IPCooldownSeconds', String(spec.ipCooldownSeconds ?? '<nil>')],
  ];
  print(boxedTable(['PROPERTY', 'VALUE'], rows));
  return ok(undefined);
}
