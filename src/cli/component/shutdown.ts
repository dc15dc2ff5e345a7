// `margay component node shutdown`: Kubernetes shall send no more pods (BG-078). The agent says the same when it is told to
// end; this is for a hook that comes before, as Calico's manifest has it.
import { hostname } from 'node:os';
import { ok } from '../../lib/result.ts';
import { fail, textFlag, verb, withDatastore } from '../calicoctl/program.ts';

export const command = verb(
  {
    name: 'component node shutdown',
    summary: 'Set NetworkUnavailable of this node to True.',
    flags: [
      {
        flags: '--nodename <name>',
        description: 'which node; NODENAME, HOSTNAME or the host name when absent',
      },
    ],
  },
  async ({ flags }) => {
    const { reportNetwork, resolveNodeName } = await import('../../felix/agent/mod.ts');
    const { NODENAME, HOSTNAME } = process.env;
    const name =
      textFlag(flags, 'nodename') ?? resolveNodeName({ NODENAME, HOSTNAME, systemHostname: hostname() });
    return withDatastore(flags, async (store) => {
      const told = await reportNetwork(store, name, false, new Date().toISOString());
      return told.ok ? ok(undefined) : fail(`Node ${name}: ${told.error.message}`, told.error.hint);
    });
  },
);
