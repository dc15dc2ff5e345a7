import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterRouteGaps, routeClasses } from './cluster-routes.ts';

const values = ['Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly'] as const;
const all = new Set(['IPIP', 'no encapsulation'] as const);

test('RS-166 FX-160: of sixteen pairs of values four fit together, and what does not fit is named', () => {
  const fitting = values.flatMap((felix) =>
    values.filter((bgp) => clusterRouteGaps(felix, bgp, all).length === 0).map((bgp) => `${felix} ${bgp}`),
  );
  assert.deepEqual(fitting, [
    'Enabled Disabled',
    'Disabled Enabled',
    'EnabledIPIPOnly EnabledNoEncapOnly',
    'EnabledNoEncapOnly EnabledIPIPOnly',
  ]);
  assert.deepEqual(clusterRouteGaps('Disabled', 'EnabledNoEncapOnly', all), [
    { class: 'IPIP', writers: 'nobody' },
  ]);
  assert.deepEqual(clusterRouteGaps('Enabled', 'Enabled', all), [
    { class: 'IPIP', writers: 'both' },
    { class: 'no encapsulation', writers: 'both' },
  ]);
});

test('only what is in use counts; without a speaker plain routes are nobody’s', () => {
  assert.deepEqual(clusterRouteGaps('Disabled', 'EnabledNoEncapOnly', new Set(['no encapsulation'])), []);
  assert.deepEqual(clusterRouteGaps(undefined, undefined, all), [
    { class: 'no encapsulation', writers: 'nobody' },
  ]);
  assert.deepEqual(
    [...routeClasses([{ vxlanMode: 'Always', ipipMode: 'Never' }, { ipipMode: 'CrossSubnet' }, {}])],
    ['IPIP', 'no encapsulation'],
  );
});
