import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import {
  allKinds,
  customResourceDefinition,
  documentedKinds,
  isStoredIn,
  kindByResource,
  kindDefinition,
  pluralIn,
  referenceIndex,
  referencePage,
} from './mod.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const list = (path: string): string[] => readdirSync(new URL(`../../${path}`, import.meta.url)).toSorted();
const advice = 'is not what the model says; run npm run generate';

test('the CustomResourceDefinitions of both groups are current', () => {
  for (const group of ['projectcalico.org', 'crd.projectcalico.org'] as const) {
    const kinds = allKinds.filter((kind) => isStoredIn(kind, group));
    for (const kind of kinds) {
      const path = `deploy/crds/${group}/${pluralIn(kind, group)}.yaml`;
      assert.deepEqual(parse(read(path)), customResourceDefinition(kind, group), `${path} ${advice}`);
    }
    assert.deepEqual(
      list(`deploy/crds/${group}`),
      kinds.map((kind) => `${pluralIn(kind, group)}.yaml`).toSorted(),
    );
  }
});

test('SR-041: the old group has the resources that Calico’s users know', () => {
  const known =
    'bgpconfigurations bgpfilters bgppeers blockaffinities caliconodestatuses clusterinformations felixconfigurations ' +
    'globalnetworkpolicies globalnetworksets hostendpoints ipamblocks ipamconfigs ipamhandles ippools ipreservations ' +
    'kubecontrollersconfigurations networkpolicies networksets';
  const names = allKinds
    .filter((kind) => isStoredIn(kind, 'crd.projectcalico.org'))
    .map((kind) => kindDefinition(kind).classic?.plural);
  for (const plural of known.split(' ')) assert.ok(names.includes(plural), plural);
});

test('SR-042, RS-002: which kinds live in namespaces', () => {
  const namespaced = allKinds.filter((kind) => {
    const { family, namespaced: isNamespaced } = kindDefinition(kind);
    return family === 'calico' && isNamespaced;
  });
  assert.deepEqual(namespaced.toSorted(), [
    'NetworkPolicy',
    'NetworkSet',
    'StagedKubernetesNetworkPolicy',
    'StagedNetworkPolicy',
    'WorkloadEndpoint',
  ]);
});

test('the reference pages are current', () => {
  assert.equal(read('docs/resources/README.md'), referenceIndex(), `docs/resources/README.md ${advice}`);
  for (const kind of documentedKinds) {
    const path = `docs/resources/${kindDefinition(kind).singular}.md`;
    assert.equal(read(path), referencePage(kind), `${path} ${advice}`);
  }
});

test('RS-001: every kind is found by its names, and no two kinds of a group share one', () => {
  for (const kind of allKinds) {
    const definition = kindDefinition(kind);
    for (const word of [definition.kind, definition.plural, definition.singular, ...definition.shortNames])
      assert.equal(kindByResource(definition.apiVersion, word)?.name, kind, word);
  }
  assert.equal(kindByResource(undefined, 'ipp')?.name, 'IPPool');
  assert.equal(kindByResource(undefined, 'nothing'), undefined);
});

test('RS-029: names and columns of pools', () => {
  const { shortNames, columns } = kindDefinition('IPPool');
  assert.deepEqual(shortNames, ['ipp', 'pool']);
  assert.deepEqual(
    columns.map(({ name }) => name),
    ['CIDR', 'VXLAN', 'IPIP', 'NAT', 'Allocatable', 'Age'],
  );
});
