import assert from 'node:assert/strict';
import { it } from 'node:test';
import { added, withMachine } from './stage.test.ts';

it('RS-181: while the datastore is locked nothing is added and nothing is deleted; then the same calls succeed', () =>
  withMachine(async (machine, netns) => {
    machine.addPod('web');
    machine.addPod('late');
    const agent = await machine.startAgent();
    const path = await netns('web');
    added(await agent.run({ command: 'ADD', container: 'c1', pod: 'web', netns: path }));
    const before = machine.allocated();
    machine.isLocked = true;
    for (const request of [
      { command: 'ADD', container: 'c2', pod: 'late', netns: await netns('late') },
      { command: 'DEL', container: 'c1', pod: 'web', netns: path },
      { command: 'GC', container: 'c1', extra: { 'cni.dev/valid-attachments': [] } },
    ]) {
      const refused = await agent.run(request);
      assert.equal(refused.exitCode, 1, request.command);
      const error = JSON.parse(refused.output) as { code: number; msg: string };
      assert.equal(error.code, 11, 'the runtime tries again');
      assert.match(error.msg, /datastore is not ready/);
    }
    assert.deepEqual(machine.allocated(), before);
    assert.equal((await machine.hostLinks()).length, 1);
    machine.isLocked = false;
    added(await agent.run({ command: 'ADD', container: 'c2', pod: 'late', netns: '/var/run/netns/late' }));
    const gone = await agent.run({ command: 'DEL', container: 'c1', pod: 'web', netns: path });
    assert.equal(gone.exitCode, 0, gone.output);
  }));
