// TCP from the command line:
//   listen PORT…                 accepts, holds, says `ready`
//   connect ADDRESS PORT COUNT   opens COUNT connections one after the other, holds them, and says how each went
import { connect, createServer } from 'node:net';

const [, , role, ...rest] = process.argv;
if (role === 'listen') {
  let open = 0;
  for (const port of rest)
    createServer((socket) => socket.on('error', () => undefined)).listen(Number(port), '::', () => {
      open++;
      if (open === rest.length) process.stdout.write('ready\n');
    });
} else {
  const [address, port, count] = rest;
  for (let i = 0; i < Number(count); i++) {
    const outcome = await new Promise((resolve) => {
      const socket = connect({ host: address, port: Number(port) });
      // A process that was kept waiting looks at what has arrived meanwhile first.
      const timer = setTimeout(() => setImmediate(() => resolve('silent')), 700);
      socket.on('connect', () => resolve('open'));
      socket.on('error', () => resolve('refused'));
      socket.on('close', () => clearTimeout(timer));
    });
    process.stdout.write(`${outcome}\n`);
  }
  process.exit(0);
}
