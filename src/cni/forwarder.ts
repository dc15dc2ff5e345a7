// The forwarder as a Node program, for processors that shim/forwarder.ts has no code for: same request, same answers. It
// stands alone: its functions are written into the executable as text, so they use nothing but their parameters and Node.
import type { ForwarderText } from './shim/mod.ts';

/** Runs in the executable. `process.getBuiltinModule` works whether Node takes the file for CommonJS or a module. */
function forward(text: ForwarderText): void {
  const net = process.getBuiltinModule('node:net');
  const fs = process.getBuiltinModule('node:fs');
  const strings = [process.argv[1] ?? '', ...process.argv.slice(2)];
  const variables = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  const block = Buffer.from([...strings, ...variables].map((s) => `${s}\0`).join(''));
  const header = Buffer.alloc(12);
  header.write('MCNI');
  header.writeUInt32LE(strings.length, 4);
  header.writeUInt32LE(block.length, 8);
  const answer: Buffer[] = [];
  const finish = () => {
    const all = Buffer.concat(answer);
    if (all.length > 0) {
      fs.writeSync(1, all.subarray(1));
      process.exit(all[0]);
    }
    const asksVersion = process.env['CNI_COMMAND'] === 'VERSION';
    fs.writeSync(1, asksVersion ? text.version : text.unavailable);
    process.exit(asksVersion ? 0 : 1);
  };
  const socket = net.connect({ path: text.socketPath, allowHalfOpen: true });
  socket.setTimeout(text.timeoutSeconds * 1000, finish);
  socket.on('error', finish);
  socket.on('close', finish);
  socket.on('data', (chunk: Buffer) => answer.push(chunk));
  socket.on('end', finish);
  socket.on('connect', () => {
    socket.write(header);
    socket.write(block);
    if (strings.length > 1) socket.end();
    else socket.end(fs.readFileSync(0));
  });
}

/** The executable's text: an absolute interpreter, so that no PATH decides which Node runs it. */
export const nodeForwarder = (nodePath: string, text: ForwarderText): string =>
  `#!${nodePath}\n(${forward.toString()})(${JSON.stringify(text)});\n`;
