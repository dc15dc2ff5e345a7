import assert from 'node:assert/strict';
import { test } from 'node:test';
import { speakerProblem } from './checks.ts';

const at = (startedMs: number, family: 4 | 6 = 4) => ({ family, startedMs, thresholdMs: 30_000 });
const peers = (...states: readonly string[]) =>
  states.map((state, i) => ({ address: `10.0.0.${i + 1}`, state }));

test('BG-005: ready without peers; at first every peer must be established, later one of them', () => {
  assert.equal(speakerProblem({ peers: [] }, at(0)), undefined);
  const half = { peers: peers('Established', 'Active', 'Connect') };
  assert.equal(speakerProblem(half, at(29_000)), 'BGP not established with 10.0.0.2,10.0.0.3');
  assert.equal(speakerProblem(half, at(31_000)), undefined);
  assert.equal(speakerProblem({ peers: peers('Active') }, at(99_000)), 'BGP not established with 10.0.0.1');
  assert.equal(speakerProblem({ peers: peers('Established') }, at(0)), undefined);
});

test('BG-005: nothing may be awaited of a restart at first; a family has its own sessions; silence is not ready', () => {
  const restarting = { recovery: 'deferring', peers: peers('Established') };
  assert.equal(speakerProblem(restarting, at(0)), 'graceful restart is in progress');
  assert.equal(speakerProblem(restarting, at(31_000)), undefined);
  assert.equal(speakerProblem({ peers: peers('Active') }, at(0, 6)), undefined);
  assert.equal(speakerProblem(undefined, at(99_000)), 'the BGP speaker does not answer');
});
