import assert from 'node:assert/strict';
import { test } from 'node:test';
import { counter, gauge, renderSamples, summary } from './metrics.ts';

test('samples of a name stand together, in the order in which names come first', () => {
  const text = renderSamples([
    gauge('a', 'Of a.', 1, { of: 'x' }),
    counter('b', 'Of b.', 2.5),
    gauge('a', 'Of a, too.', 0, { of: 'y', at: 'z' }),
    ...summary('c', 'Of c.', { sum: 7, count: 2 }),
  ]);
  assert.equal(
    text,
    [
      '# HELP a Of a.',
      '# TYPE a gauge',
      'a{of="x"} 1',
      'a{of="y",at="z"} 0',
      '# HELP b Of b.',
      '# TYPE b counter',
      'b 2.5',
      '# HELP c Of c.',
      '# TYPE c summary',
      'c_sum 7',
      'c_count 2',
      '',
    ].join('\n'),
  );
});

test('what would break a line or end a label is escaped', () => {
  const text = renderSamples([gauge('a', 'One\ntwo \\', 1, { of: 'a "b"\n\\' })]);
  assert.equal(text, '# HELP a One\\ntwo \\\\\n# TYPE a gauge\na{of="a \\"b\\"\\n\\\\"} 1\n');
});
