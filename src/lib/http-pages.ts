// Pages of texts over HTTP: what health, metrics and debugging are served with.
import { createServer, type Server } from 'node:http';
import { err, failure, ok, type Result } from './result.ts';

export interface HttpEndpoint {
  readonly address: string;
  close(): Promise<void>;
}

export type HttpAnswer = { readonly status: number; readonly type: string; readonly body: string };
/** By path; each is given what follows the question mark. */
export type HttpPages = Readonly<Record<string, (query: URLSearchParams) => Promise<HttpAnswer>>>;

/** Serves texts by path; 404 for others. */
export function serveHttp(host: string, port: number, pages: HttpPages): Promise<Result<HttpEndpoint>> {
  const server: Server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const answer =
      pages[pathname]?.(searchParams) ??
      Promise.resolve({
        status: 404,
        type: 'text/plain',
        body: `There are: ${Object.keys(pages).join(', ')}\n`,
      });
    answer.then(
      ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  const shown = `${host === '' ? '*' : host}:${port}`;
  return new Promise((resolve) => {
    server.once('error', (error) =>
      resolve(err(failure('CannotListen', `Cannot listen on ${shown}: ${error.message}.`))),
    );
    server.listen(port, host === '' ? undefined : host, () => {
      server.unref();
      resolve(
        ok({
          address: shown,
          close: () =>
            new Promise((done) => {
              server.close(() => done());
              server.closeAllConnections();
            }),
        }),
      );
    });
  });
}
