// Loaded into each test file's process: when its tests are over it has to end by itself. What a failed test left running
// would keep it for ever (no limit of node:test holds then); so after a while it is said what that is, and the file fails.
import { after } from 'node:test';

/** Hooks of the file itself may still have to take a lab down, on a busy machine. */
const patienceMs = 60_000;
const mostTold = 20;

after(() => {
  setTimeout(() => {
    // Not in the documentation, and the only way to name what is there.
    const handles = process
      ._getActiveHandles()
      .filter((one) => one !== process.stdout && one !== process.stderr);
    const told = [...new Set([...process.getActiveResourcesInfo(), ...handles.map(describe)])].slice(
      0,
      mostTold,
    );
    process._rawDebug(`The tests of ${process.argv[1]} are over, and it does not end: ${told.join(', ')}`);
    process.exit(1);
  }, patienceMs).unref();
});

function describe(handle) {
  if (handle.spawnargs !== undefined)
    return `process ${handle.pid}: ${handle.spawnargs.join(' ')}`.slice(0, 200);
  const { localAddress, localPort, remoteAddress, remotePort, fd } = handle;
  if (remoteAddress !== undefined)
    return `socket ${localAddress}:${localPort}–${remoteAddress}:${remotePort}`;
  return `${handle.constructor?.name}${fd === undefined ? '' : ` of descriptor ${fd}`}`;
}
