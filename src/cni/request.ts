// From bytes on the socket to a request, and from environment variables to a container's identity (CNI specification,
// "Execution Protocol").
import { err, ok, type Result } from '../lib/result.ts';
import { type CniError, cniCodes, cniError } from './errors.ts';
import type { CniCommand, CniRequest, ContainerIdentity } from './types.ts';

const magic = 'MCNI';
const headerLength = 12;
/** Configurations are a few kilobytes; environments may be large. */
export const maxRequestBytes = 4 * 1024 * 1024;
const commands: readonly CniCommand[] = ['ADD', 'DEL', 'CHECK', 'VERSION', 'STATUS', 'GC'];

/** Parses what the forwarder sends (the layout is in shim/forwarder.ts). */
export function parseRequest(bytes: Uint8Array): Result<CniRequest, CniError> {
  const text = new TextDecoder();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < headerLength || text.decode(bytes.subarray(0, 4)) !== magic) {
    return err(
      cniError(cniCodes.decoding, 'BadFrame', 'The request on the CNI socket does not start with "MCNI".'),
    );
  }
  const argc = view.getUint32(4, true);
  const length = view.getUint32(8, true);
  if (headerLength + length > bytes.length) {
    return err(cniError(cniCodes.decoding, 'BadFrame', 'The request on the CNI socket is cut off.'));
  }
  const strings = text
    .decode(bytes.subarray(headerLength, headerLength + length))
    .split('\0')
    .slice(0, -1);
  const environment: Record<string, string> = {};
  for (const entry of strings.slice(argc)) {
    const equals = entry.indexOf('=');
    if (equals > 0) environment[entry.slice(0, equals)] = entry.slice(equals + 1);
  }
  const program = (strings[0] ?? '').split('/').at(-1) ?? '';
  return ok({
    program,
    arguments: strings.slice(1, argc),
    environment,
    input: text.decode(bytes.subarray(headerLength + length)),
  });
}

/** The same layout the other way: for tests and for the Node forwarder. */
export function encodeRequest(request: CniRequest): Uint8Array {
  const strings = [
    request.program,
    ...request.arguments,
    ...Object.entries(request.environment).map(([k, v]) => `${k}=${v}`),
  ];
  const block = new TextEncoder().encode(strings.map((s) => `${s}\0`).join(''));
  const input = new TextEncoder().encode(request.input);
  const bytes = new Uint8Array(headerLength + block.length + input.length);
  bytes.set(new TextEncoder().encode(magic));
  const view = new DataView(bytes.buffer);
  view.setUint32(4, 1 + request.arguments.length, true);
  view.setUint32(8, block.length, true);
  bytes.set(block, headerLength);
  bytes.set(input, headerLength + block.length);
  return bytes;
}

export function commandOf(environment: Readonly<Record<string, string>>): Result<CniCommand, CniError> {
  const command = environment['CNI_COMMAND'];
  const known = commands.find((c) => c === command);
  if (known !== undefined) return ok(known);
  const said = command === undefined ? 'is not set' : `"${command}" is not a command`;
  return err(
    cniError(
      cniCodes.invalidEnvironment,
      'BadEnvironment',
      `CNI_COMMAND ${said}; expected one of ${commands.join(', ')}.`,
    ),
  );
}

/** ADD, DEL and CHECK name a container; DEL may come without a namespace (the container is gone). */
export function containerOf(
  environment: Readonly<Record<string, string>>,
  command: CniCommand,
): Result<ContainerIdentity, CniError> {
  const bad = (message: string) => err(cniError(cniCodes.invalidEnvironment, 'BadEnvironment', message));
  const containerId = environment['CNI_CONTAINERID'] ?? '';
  const ifName = environment['CNI_IFNAME'] ?? '';
  const netns = environment['CNI_NETNS'] ?? '';
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(containerId))
    return bad(`CNI_CONTAINERID "${containerId}" is not a container id.`);
  if (!/^[^\s/:]{1,15}$/.test(ifName) || ifName === '.' || ifName === '..') {
    return bad(`CNI_IFNAME "${ifName}" is not an interface name of 1 to 15 characters.`);
  }
  if (netns === '' && command !== 'DEL') return bad('CNI_NETNS is not set.');
  const args = parseArguments(environment['CNI_ARGS'] ?? '');
  if (!args.ok) return args;
  const namespace = args.value['K8S_POD_NAMESPACE'];
  const name = args.value['K8S_POD_NAME'];
  const uid = args.value['K8S_POD_UID'];
  const identity = {
    containerId,
    netns,
    ifName,
    path: (environment['CNI_PATH'] ?? '').split(':').filter((p) => p !== ''),
  };
  if (name === undefined || name === '') return ok(identity);
  if (namespace === undefined || namespace === '')
    return bad('CNI_ARGS has K8S_POD_NAME but no K8S_POD_NAMESPACE.');
  return ok({ ...identity, pod: uid === undefined ? { namespace, name } : { namespace, name, uid } });
}

/** `K=V;K=V` (CN-006). Unknown keys are what IgnoreUnknown=1 is for; runtimes always send it, so they are ignored. */
function parseArguments(text: string): Result<Record<string, string>, CniError> {
  const out: Record<string, string> = {};
  for (const pair of text.split(';')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    if (equals <= 0) {
      return err(
        cniError(cniCodes.invalidEnvironment, 'BadEnvironment', `CNI_ARGS: "${pair}" is not KEY=VALUE.`),
      );
    }
    out[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
  return ok(out);
}
