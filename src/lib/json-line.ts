// One line of JSON each way over a Unix socket: how processes of a node ask each other.
import { createConnection } from 'node:net';
import { LineCutter } from './lines.ts';
import { err, failure, ok, type Failure, type Result } from './result.ts';

export type LineError = Failure<'NotRunning' | 'Denied' | 'NoAnswer'>;

/** A table of half a million routes with its attributes. */
const longestAnswerBytes = 512 * 1024 * 1024;

/** `NotRunning`: nobody listens at the path. */
export function askLine<T>(
  path: string,
  question: unknown,
  timeoutMs: number,
): Promise<Result<T, LineError>> {
  return new Promise((resolve) => {
    const lines = new LineCutter(longestAnswerBytes);
    const end = (result: Result<T, LineError>): void => {
      socket.destroy();
      resolve(result);
    };
    const silent = (why: string): void => end(err(failure('NoAnswer', `${path} does not answer: ${why}.`)));
    const socket = createConnection(path, () => socket.write(`${JSON.stringify(question)}\n`));
    socket.setTimeout(timeoutMs, () => silent(`nothing came within ${timeoutMs / 1000} s`));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES' || error.code === 'EPERM')
        return end(err(failure('Denied', `Not allowed to ask ${path}.`, 'Ask as root.')));
      return end(err(failure('NotRunning', `Nobody answers at ${path} (${error.message}).`)));
    });
    socket.on('data', (chunk: Buffer) => {
      const [line] = lines.take(chunk);
      if (line === undefined) return;
      if (!line.ok) return silent(line.error.message.replace(/\.$/, ''));
      try {
        end(ok(JSON.parse(line.value) as T));
      } catch {
        silent('its answer is no JSON');
      }
    });
    socket.on('end', () => silent('it closed the connection'));
  });
}
