// The forms that the public documentation of Calico and Kubernetes shows, with names of our own (test/examples): each applies
// unchanged, with kubectl and with calicoctl, and what is read says all that was said.
import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import {
  differences,
  type Example,
  examplesOf,
  identity,
  textOf,
  type Value,
  at,
  writeExamples,
} from '../support/examples.ts';
import { cluster, type Kubectl, missing, program } from '../support/kubectl.ts';
import { run } from '../support/lab.ts';

const items = (json: string): readonly Value[] => {
  const read = JSON.parse(json) as Value;
  return (at(read, 'items') as readonly Value[] | undefined) ?? [read];
};

/** A line for each field of the examples that was not read as it was said. */
function compare(examples: readonly Example[], read: readonly Value[]): readonly string[] {
  const objects = new Map(read.map((object) => [identity(object), object]));
  return examples.flatMap(({ file, objects: said }) =>
    said.flatMap((object) =>
      differences(object, objects.get(identity(object))).map((line) => `${file} ${identity(object)} ${line}`),
    ),
  );
}

const rounds = (examples: readonly Example[]): readonly (readonly Example[])[] =>
  [...new Set(examples.map(({ round }) => round))]
    .toSorted((one, other) => one - other)
    .map((round) => examples.filter((example) => example.round === round));

/** Of these kubectl says that it configures them, each time and with any server: of their text and what the server makes of
 *  it, lists or scalars differ that are compared as a whole. */
const saidAgain = [
  'bgppeer.projectcalico.org/as-number-of-text', // a number
  'clusterrole.rbac.authorization.k8s.io/watchers', // rules of other roles
  'networkpolicy.networking.k8s.io/hexagons-teal', // the protocol of a port
  'pod/needs', // a quantity
  'pod/particular-about-places', // tolerations of every pod
  'poddisruptionbudget.policy/elders-pdb', // a selector that is replaced as a whole
  'secret/by-text', // base64
];

/** Applies and reads the examples; what was read, and the directory of their files. */
async function applied(
  kubectl: Kubectl,
  examples: readonly Example[],
  name: string,
): Promise<{ readonly read: readonly Value[]; readonly directory: string }> {
  const directory = writeExamples(join(kubectl.home, name), examples);
  await kubectl('apply', '-f', directory);
  const read = items(await kubectl('get', '-o', 'json', '-f', directory));
  assert.deepEqual(compare(examples, read), [], name);
  return { read, directory };
}

/** How often the specification of each object has changed; not of what the control plane goes on changing. */
const generations = (read: readonly Value[]): readonly string[] =>
  read
    .filter((object) => at(object, 'aggregationRule') === undefined)
    .map((object) => `${identity(object)} ${textOf(at(object, 'metadata', 'generation'))}`);

describe('examples of the documentation', {
  skip: missing ? `${program} is not installed` : false,
  concurrency: 2,
}, () => {
  test('with kubectl: rehearsed, applied, read, and unchanged when applied again', async (t) => {
    const kubectl = await cluster(t);
    await applied(kubectl, examplesOf('first'), 'first');
    await applied(kubectl, examplesOf('tiers'), 'tiers');
    const [round = [], ...others] = rounds(examplesOf('calico', 'kubernetes', 'classic'));
    assert.ok(round.length > 180, String(round.length));
    const rehearsed = await kubectl(
      'apply',
      '--dry-run=server',
      '-f',
      writeExamples(join(kubectl.home, 'all'), round),
    );
    assert.deepEqual(
      rehearsed
        .trim()
        .split('\n')
        .filter((line) => !line.endsWith(' created (server dry run)')),
      [],
    );
    const { directory, read } = await applied(kubectl, round, 'all');
    const again = (await kubectl('apply', '-f', directory)).trim().split('\n');
    const changed = again.filter((line) => !line.endsWith(' unchanged')).map((line) => line.split(' ')[0]);
    assert.deepEqual(new Set(changed), new Set(saidAgain));
    const readAgain = items(await kubectl('get', '-o', 'json', '-f', directory));
    assert.deepEqual(generations(readAgain), generations(read));
    for (const [number, other] of others.entries()) await applied(kubectl, other, `other-${number}`);
  });

  test('with calicoctl: sound, applied and read', async (t) => {
    const kubectl = await cluster(t);
    await kubectl('apply', '-f', writeExamples(join(kubectl.home, 'first'), examplesOf('first')));
    const calicoctl = join(kubectl.home, 'calicoctl');
    symlinkSync(resolve('src/main.ts'), calicoctl);
    const call = async (...argv: readonly string[]): Promise<string> => {
      const env = { ...process.env, HOME: kubectl.home, KUBECONFIG: '', K8S_API_ENDPOINT: kubectl.url };
      const { code, out, err } = await run(process.execPath, [calicoctl, ...argv], { env });
      assert.equal(code, 0, err);
      return out;
    };
    await call(
      'validate',
      '-f',
      writeExamples(join(kubectl.home, 'all'), examplesOf('tiers', 'calico', 'calicoctl')),
    );
    const given = [examplesOf('tiers'), ...rounds(examplesOf('calico', 'calicoctl'))];
    for (const [number, round] of given.entries()) {
      const directory = writeExamples(join(kubectl.home, `round-${number}`), round);
      await call('apply', '-f', directory);
      const read = items(await call('get', '-o', 'json', '-f', directory));
      assert.deepEqual(compare(round, read.flat() as readonly Value[]), []);
    }
    // Commands of the documentation that write an AS number as text.
    const node = '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "crane-07"}}';
    await kubectl.apply(node);
    await call('patch', 'bgpconfiguration', 'default', '-p', '{"spec": {"asNumber": "64813"}}');
    await call('patch', 'node', 'crane-07', '-p', '{"spec": {"bgp": {"asNumber": "64814"}}}');
    assert.match(await call('get', 'bgpconfiguration', 'default', '-o', 'yaml'), /asNumber: 64813/);
    assert.match(await call('get', 'node', 'crane-07', '-o', 'yaml'), /asNumber: 64814/);
  });
});
