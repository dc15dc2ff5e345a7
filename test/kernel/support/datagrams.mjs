// A side of a stream of datagrams. Ends with its standard input, and then says what it counted.
//   receive PORT…            how many came to each port
//   flood ADDRESS:PORT       how many went there from one socket, as fast as it takes them; only where none is answered
//   send EVERY_MS ADDRESS:PORT…   how many went to each, every one from a socket of its own: a new flow
import { createSocket } from 'node:dgram';

const [, , role, ...rest] = process.argv;
const counts = {};
const finish = () => process.stdout.write(`${JSON.stringify(counts)}\n`, () => process.exit(0));
process.stdin.on('end', finish).resume();

if (role === 'receive') {
  for (const port of rest) {
    counts[port] = 0;
    const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
    socket.on('message', () => counts[port]++);
    socket.bind(
      Number(port),
      () => Object.keys(counts).length === rest.length && process.stdout.write('ready\n'),
    );
  }
} else if (role === 'flood') {
  const [target] = rest;
  const [address, port] = target.split(':');
  const socket = createSocket('udp4');
  counts[target] = 0;
  const payload = Buffer.alloc(16);
  socket.connect(Number(port), address, () => {
    process.stdout.write('ready\n');
    const burst = () => {
      for (let i = 0; i < 64; i++) socket.send(payload, () => counts[target]++);
      setImmediate(burst);
    };
    burst();
  });
} else {
  const [everyMs, ...targets] = rest;
  let waiting = 0;
  const payload = Buffer.alloc(16);
  const timer = setInterval(() => {
    for (const target of targets) {
      const [address, port] = target.split(':');
      // A socket of its own: a source port that connection tracking does not know.
      const socket = createSocket('udp4');
      waiting++;
      socket.send(payload, Number(port), address, (error) => {
        if (!error) counts[target] = (counts[target] ?? 0) + 1;
        waiting--;
        socket.close();
      });
    }
  }, Number(everyMs));
  process.stdin.removeListener('end', finish);
  process.stdin.on('end', () => {
    clearInterval(timer);
    const done = setInterval(() => {
      if (waiting === 0) {
        clearInterval(done);
        finish();
      }
    }, 5);
  });
  process.stdout.write('ready\n');
}
