// A node:test reporter that writes down, as JSON lines, which tests failed (and why) and which were skipped, so that the
// end of a run can say it in one place and CI can refuse what was skipped.
const maximum = 6000;

// oxlint-disable-next-line import/no-default-export -- the test runner asks for one
export default async function* recordReporter(source) {
  for await (const { type, data } of source) {
    const skip = data?.skip ?? data?.todo;
    if (type === 'test:pass' && skip !== undefined)
      yield line({ state: 'skipped', data, text: typeof skip === 'string' ? skip : '' });
    // A suite fails because of its tests, which are told by themselves.
    else if (type === 'test:fail' && !ofItsTests(data.details?.error))
      yield line({ state: 'failed', data, text: whatHappened(data.details?.error) });
  }
}

const line = ({ state, data, text }) =>
  `${JSON.stringify({ state, file: data.file ?? '', name: data.name, text })}\n`;

const ofItsTests = (error) => error?.failureType === 'subtestsFailed';

function whatHappened(error) {
  const cause = error?.cause ?? error;
  const all = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  const text = all.replaceAll(/\n +at [^\n]*node:internal[^\n]*/g, '');
  return text.length > maximum ? `${text.slice(0, maximum)} …` : text;
}
