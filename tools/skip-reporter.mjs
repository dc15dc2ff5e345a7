// A node:test reporter that lists skipped tests, one per line, so that CI can refuse them.
// oxlint-disable-next-line import/no-default-export -- the test runner asks for one
export default async function* skipReporter(source) {
  for await (const event of source) {
    const skip = event.data?.skip ?? event.data?.todo;
    if (event.type === 'test:pass' && skip !== undefined) {
      yield `${event.data.file ?? ''}: ${event.data.name}${typeof skip === 'string' ? ` (${skip})` : ''}\n`;
    }
  }
}
