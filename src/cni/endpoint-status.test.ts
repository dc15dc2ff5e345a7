import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { added, withMachine } from './stage.test.ts';

it('CN-017: ADD waits for the file of the endpoint where it is told to, and answers when it is there', () =>
  withMachine(async (machine, netns) => {
    machine.addPod('web');
    const agent = await machine.startAgent();
    const directory = join(machine.directory, 'endpoint-status');
    const asked = agent.run({
      command: 'ADD',
      container: 'c1',
      pod: 'web',
      netns: await netns('web'),
      extra: { policy_setup_timeout_seconds: 30, endpoint_status_dir: directory },
    });
    let answered = false;
    void asked.then(() => (answered = true));
    // The endpoint is programmed, and yet nobody has called it up.
    while (machine.programmed.size === 0) await new Promise(setImmediate);
    assert.equal(answered, false);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'k8s default%2Fother eth0'), '{}');
    writeFileSync(join(directory, 'k8s default%2Fweb eth0'), '{}');
    assert.equal(added(await asked).ips.length, 1);
  }));

it('CN-017: when the time is over ADD fails, says what it waited for, and leaves nothing behind', () =>
  withMachine(async (machine, netns) => {
    machine.addPod('web');
    const agent = await machine.startAgent();
    const directory = join(machine.directory, 'endpoint-status');
    const answer = await agent.run({
      command: 'ADD',
      container: 'c1',
      pod: 'web',
      netns: await netns('web'),
      extra: { policy_setup_timeout_seconds: 1, endpoint_status_dir: directory },
    });
    assert.equal(answer.exitCode, 1);
    const { code, msg } = JSON.parse(answer.output) as { code: number; msg: string };
    assert.equal(code, 11);
    assert.match(msg, /default\/node1-k8s-web-eth0.* after 1 s .*k8s default%2Fweb eth0 is not there/);
    assert.deepEqual([machine.allocated(), await machine.hostLinks(), [...machine.programmed]], [[], [], []]);
  }));
