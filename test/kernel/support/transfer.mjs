// Bytes over one TCP connection.  `receive PORT` says "ready" and takes what comes;  `send ADDRESS PORT BYTES` prints how many
// milliseconds passed until the other side had it all.
import { connect, createServer } from 'node:net';

const [what, ...argv] = process.argv.slice(2);
if (what === 'receive') {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.on('end', () => socket.end(String(bytes)));
    socket.on('error', () => undefined);
  });
  server.listen(Number(argv[0]), () => console.log('ready'));
} else {
  const [address, port, count] = argv;
  const socket = connect({ host: address, port: Number(port), allowHalfOpen: true });
  socket.on('connect', () => {
    const began = performance.now();
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('end', () => {
      const took = Math.floor(performance.now() - began);
      console.log(answer === count ? took : `lost: ${answer} of ${count} bytes`);
    });
    socket.end(Buffer.alloc(Number(count), 'x'));
  });
}
