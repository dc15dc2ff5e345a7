// A node:test reporter that lists skipped tests, one per line, so that CI can refuse them.
export default async function* skipReporter(source) {
  for await (const event of source) {
    const skip = event.data?.skip ?? event.data?.todo;
    if (event.type === 'test:pass' && skip !== undefined) {
      yield `${event.data.file ?? ''}: ${event.data.name}${typeof skip === 'string' ? ` (${skip})` : ''}\n`;
    }
  }
}
