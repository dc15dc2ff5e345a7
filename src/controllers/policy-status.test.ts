// The status of policies that cannot be enforced as they are written.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../datastore/mod.ts';
import { silentLogger } from '../lib/log.ts';
import { until } from '../lib/wait.ts';
import type { GlobalNetworkPolicy, Tier } from '../model/mod.ts';
import { startPolicyStatus } from './mod.ts';

const policy = (name: string, spec: object): GlobalNetworkPolicy =>
  ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkPolicy',
    metadata: { name },
    spec,
  }) as GlobalNetworkPolicy;
const tier = (name: string): Tier => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'Tier',
  metadata: { name },
  spec: {},
});

test('RS-113: a policy stored past validation says that it is not enforced as written, and why; until it is', async () => {
  const store = new MemoryStore();
  store.put(
    'GlobalNetworkPolicy',
    policy('broken', { selector: 'app ==' }),
    policy('rule', { selector: 'all()', ingress: [{ action: 'Permit' }] }),
    policy('lost', { tier: 'nowhere', selector: 'all()' }),
    policy('fine', { selector: 'all()', ingress: [{ action: 'Allow' }] }),
  );
  const controller = startPolicyStatus({ datastore: store.open(), logger: silentLogger });
  const said = (name: string) => {
    const found = store.all('GlobalNetworkPolicy').find(({ metadata }) => metadata.name === name);
    const condition = found?.status?.conditions?.find(({ type }) => type === 'Enforced');
    return condition === undefined
      ? undefined
      : `${condition.status} ${condition.reason}: ${condition.message}`;
  };
  const becomes = async (name: string, wanted: RegExp) => {
    await until(() => Promise.resolve(wanted.test(said(name) ?? '') ? true : undefined), {
      timeoutMs: 5000,
      everyMs: 5,
    });
    assert.match(said(name) ?? '', wanted);
  };
  try {
    await becomes('broken', /^False NotUnderstood: spec\.selector.*It denies all that it is for\.$/);
    await becomes('rule', /^False NotUnderstood: spec\.ingress\[0\].*Permit/);
    await becomes('lost', /^False TierMissing: tier nowhere does not exist/);
    assert.equal(said('fine'), undefined);
    const writer = store.open();
    const created = await writer.create('Tier', tier('nowhere'));
    assert.ok(created.ok);
    await becomes('lost', /^True Enforced/);
    const broken = await writer.get('GlobalNetworkPolicy', { name: 'broken' });
    assert.ok(broken.ok);
    const repaired = await writer.update('GlobalNetworkPolicy', {
      ...broken.value,
      spec: { ...broken.value.spec, selector: "app == 'a'" },
    });
    assert.ok(repaired.ok);
    await becomes('broken', /^True Enforced/);
    const gone = await writer.delete('Tier', { name: 'nowhere' });
    assert.ok(gone.ok);
    await becomes('lost', /^False TierMissing/);
  } finally {
    await controller.stop();
  }
});
