import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MemoryStore } from '../../datastore/mod.ts';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { secretFile } from './host.ts';
import { WireGuardKeys } from './wireguard-keys.ts';

test('FX-092: why traffic is clear is told once for each family, and anew when it was encrypted in between', async () => {
  const told: string[] = [];
  const keys = new WireGuardKeys({
    nodeName: 'n1',
    datastore: new MemoryStore().open(),
    clock: systemClock,
    logger: silentLogger,
    tell: (message) => void told.push(/IPv(\d).*: (.*)$/.exec(message)?.slice(1).join(' ') ?? message),
  });
  const clear = (reason: string) => ({ state: 'waiting', reason }) as const;
  try {
    keys.take({ 4: clear('no module'), 6: { state: 'off' } });
    keys.take({ 4: clear('no module'), 6: clear('no module') });
    keys.take({ 4: clear('no module'), 6: clear('no device') });
    keys.take({ 4: { state: 'off' }, 6: clear('no device') });
    keys.take({ 4: clear('no module'), 6: clear('no device') });
  } finally {
    await keys.stop();
  }
  assert.deepEqual(told, ['4 no module', '6 no module', '6 no device', '4 no module']);
});

test('FX-092: what is remembered is for root alone, and goes', () => {
  const directory = mkdtempSync(join(tmpdir(), 'remembered-'));
  try {
    const path = join(directory, 'below', 'wireguard.json');
    const memory = secretFile(path, silentLogger);
    assert.equal(memory.read(), undefined);
    memory.write('key');
    memory.write('other key');
    assert.equal(memory.read(), 'other key');
    assert.equal(statSync(path).mode & 0o777, 0o600);
    memory.write(undefined);
    memory.write(undefined);
    assert.equal(memory.read(), undefined);
    // A disk that cannot be written ends nothing.
    writeFileSync(join(directory, 'file'), '');
    secretFile(join(directory, 'file', 'wireguard.json'), silentLogger).write('key');
  } finally {
    rmSync(directory, { recursive: true });
  }
});
