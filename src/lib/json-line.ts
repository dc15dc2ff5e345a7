// One line of JSON each way over a Unix socket: how processes of a node ask each other.
import { createConnection } from 'node:net';
import { err, failure, ok, type Failure, type Result } from './result.ts';

export type LineError = Failure<'NotRunning' | 'Denied' | 'NoAnswer'>;

/** `NotRunning`: nobody listens at the path. */
export function askLine<T>(
  path: string,
  question: unknown,
  timeoutMs: number,
): Promise<Result<T, LineError>> {
  return new Promise((resolve) => {
    let text = '';
    const end = (result: Result<T, LineError>): void => {
      socket.destroy();
      resolve(result);
    };
    const silent = (why: string): void => end(err(failure('NoAnswer', `${path} does not answer: ${why}.`)));
    const socket = createConnection(path, () => socket.write(`${JSON.stringify(question)}\n`));
    socket.setTimeout(timeoutMs, () => silent(`nothing came within ${timeoutMs / 1000} s`));
    socket.setEncoding('utf8');
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES' || error.code === 'EPERM')
        return end(err(failure('Denied', `Not allowed to ask ${path}.`, 'Ask as root.')));
      return end(err(failure('NotRunning', `Nobody answers at ${path} (${error.message}).`)));
    });
    socket.on('data', (chunk: string) => {
      text += chunk;
      const at = text.indexOf('\n');
      if (at < 0) return;
      try {
        end(ok(JSON.parse(text.slice(0, at)) as T));
      } catch {
        silent('its answer is no JSON');
      }
    });
    socket.on('end', () => silent('it closed the connection'));
  });
}
