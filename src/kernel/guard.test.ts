// The refusal to write into the machine's root namespace. The unit tests run wherever their caller is: when that is the
// root namespace the refusal is shown with operations that would do nothing if they were let through; elsewhere nothing is
// tried, since the same operations would be allowed there.
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { test } from 'node:test';
import { openKernel, type Kernel } from './mod.ts';

const fixedRootInode = '4026531833';
const inRoot =
  process.platform === 'linux' && readlinkSync('/proc/self/ns/net') === `net:[${fixedRootInode}]`;

test('the root namespace can be read and not written', async () => {
  const opened = await openKernel();
  assert.ok(opened.ok);
  const kernel = opened.value;
  const links = await kernel.links.list();
  assert.ok(links.ok && links.value.some((link) => link.name === 'lo'));
  if (inRoot) await writesAreRefused(kernel);
  await kernel.close();
});

async function writesAreRefused(kernel: Kernel): Promise<void> {
  const noLink = 0x7fffffff;
  const outcomes = [
    ...(await kernel.links.delete([noLink])),
    await kernel.links.change(noLink, { mtu: 1400 }),
    ...(await kernel.routes.apply([
      { op: 'delete', key: { dst: '192.0.2.0/32' as never, table: 0x7fffffff, priority: 77 } },
    ])),
    await kernel.sysctls.write('net/margay/nothing', '0'),
    await kernel.nftables.apply([{ op: 'delete-table', table: { family: 'ip', name: 'margay-guard-none' } }]),
  ];
  for (const outcome of outcomes) assert.equal(outcome.ok ? '' : outcome.error.code, 'RootNamespaceRefused');
}
