// One request to the lab's API server with the identity of a kubeconfig that the lab wrote itself.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';

type Written = {
  readonly clusters: readonly [
    { readonly cluster: { readonly server: string; readonly 'certificate-authority-data': string } },
  ];
  readonly users: readonly [
    { readonly user: { readonly 'client-certificate-data': string; readonly 'client-key-data': string } },
  ];
};
/** PEM. */
export type Identity = {
  readonly server: URL;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
};
type Door = { readonly server: URL; readonly agent: Agent };

/** On a busy machine a handshake alone can take seconds; whoever gives up early begins with another one. */
const deadlineMs = 60_000;
const doors = new Map<string, Door>();

/** What a kubeconfig of a user with a certificate holds. Throws when it is none that the lab wrote. */
export function readIdentity(path: string): Identity {
  const { clusters, users } = JSON.parse(readFileSync(path, 'utf8')) as Written;
  const [{ cluster }] = clusters;
  const [{ user }] = users;
  const pem = (data: string | undefined): string => {
    if (data === undefined) throw new Error('it holds no client certificate and authority as data');
    return Buffer.from(data, 'base64').toString();
  };
  return {
    server: new URL(cluster.server),
    ca: pem(cluster['certificate-authority-data']),
    cert: pem(user['client-certificate-data']),
    key: pem(user['client-key-data']),
  };
}

function doorOf(path: string): Door {
  const known = doors.get(path);
  if (known !== undefined) return known;
  const { server, ca, cert, key } = readIdentity(path);
  const door = { server, agent: new Agent({ keepAlive: true, ca, cert, key }) };
  doors.set(path, door);
  return door;
}

/** GET, or POST of a body. Throws when there is no answer. */
export async function askServer(
  kubeconfig: string,
  path: string,
  body?: unknown,
): Promise<{ readonly code: number; readonly value: unknown }> {
  const { server, agent } = doorOf(kubeconfig);
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, server),
      {
        agent,
        signal: AbortSignal.timeout(deadlineMs),
        ...(body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' } }),
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('error', reject);
        response.on('end', () => {
          try {
            resolve({ code: response.statusCode ?? 0, value: JSON.parse(text) as unknown });
          } catch (error) {
            reject(error as Error);
          }
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
