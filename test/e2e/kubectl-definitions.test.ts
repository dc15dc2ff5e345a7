// Kinds that users add, and Calico's resources under their classic names, with kubectl.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { cluster, missing, program, refusedApply, rows } from '../support/kubectl.ts';

const boats = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.ships.example.com}
spec:
  group: ships.example.com
  scope: Namespaced
  names: {plural: boats, singular: boat, kind: Boat, shortNames: [bt]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns:
    - {name: Length, type: integer, jsonPath: .spec.length}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: How the boat is built.
            required: [length]
            properties:
              length: {type: integer, description: Metres over all.}
`;
const boat = (field: string): string => `
apiVersion: ships.example.com/v1
kind: Boat
metadata: {name: ada}
spec: {${field}: 12}
`;
const pool = `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: default-ipv4-ippool}
spec: {cidr: 192.168.0.0/16, ipipMode: Always}
`;

describe('kubectl, definitions', {
  skip: missing ? `${program} is not installed` : false,
  concurrency: 1,
}, () => {
  test('a definition adds a kind that kubectl gets, explains and validates', async (t) => {
    const kubectl = await cluster(t);
    await kubectl.apply(boats);
    await kubectl('wait', '--for=condition=Established', 'crd/boats.ships.example.com', '--timeout=10s');
    assert.match(await refusedApply(kubectl, boat('lenght')), /lenght|required/i);
    assert.equal(await kubectl.apply(boat('length')), 'boat.ships.example.com/ada created\n');
    const [header, row] = rows(await kubectl('get', 'bt'));
    assert.deepEqual(
      [header, row],
      [
        ['NAME', 'LENGTH'],
        ['ada', '12'],
      ],
    );
    assert.match(await kubectl('explain', 'boat.spec.length'), /Metres over all\./);
    assert.match(await kubectl('delete', 'crd', 'boats.ships.example.com'), /deleted/);
    assert.match(
      await kubectl.refused('get', 'boats'),
      /doesn't have a resource type "boats"|NotFound|not find/,
    );
  });

  test('SR-041, SR-210: pools under their classic name: get, edit, annotation', async (t) => {
    const kubectl = await cluster(t);
    await kubectl.apply(pool);
    assert.match(await kubectl('get', 'crd'), /ippools\.crd\.projectcalico\.org/);
    assert.match(await kubectl('api-resources', '--api-group=crd.projectcalico.org'), /ippools .*IPPool/);
    assert.match(await kubectl('get', 'ippools', '-o', 'yaml'), /apiVersion: projectcalico\.org\/v3/);
    const classic = await kubectl(
      'get',
      'ippools.crd.projectcalico.org',
      'default-ipv4-ippool',
      '-o',
      'yaml',
    );
    assert.match(classic, /apiVersion: crd\.projectcalico\.org\/v1/);
    assert.match(classic, /projectcalico\.org\/metadata: '\{"uid":"[-0-9a-f]{36}","creationTimestamp":"20/);
    const editor = join(kubectl.home, 'editor.sh');
    writeFileSync(editor, '#!/bin/sh\nsed -i "s/ipipMode: Always/ipipMode: CrossSubnet/" "$1"\n', {
      mode: 0o755,
    });
    assert.match(
      await kubectl.withEditor(editor, 'edit', 'ippools.crd.projectcalico.org', 'default-ipv4-ippool'),
      /ippool\.crd\.projectcalico\.org\/default-ipv4-ippool edited/,
    );
    assert.equal(
      await kubectl('get', 'ippool', 'default-ipv4-ippool', '-o', 'jsonpath={.spec.ipipMode}'),
      'CrossSubnet',
    );
  });

  test('SR-220: the definitions of the installation apply over what is there', async (t) => {
    const kubectl = await cluster(t);
    const folder = join(import.meta.dirname, '../../deploy/crds');
    for (const group of ['crd.projectcalico.org', 'projectcalico.org']) {
      const said = await kubectl('apply', '--server-side', '--force-conflicts', '-f', join(folder, group));
      assert.match(said, /ippools/);
    }
    await kubectl.apply(pool);
    assert.match(
      await kubectl('get', 'ippools', '-o', 'name'),
      /ippool\.projectcalico\.org\/default-ipv4-ippool/,
    );
  });
});
