// `margay component node uninstall`: a node without Calico again (SR-102). Devices, routes, programs and rules go, and the files
// that make a container runtime call the plugin; pods keep their interfaces until they go.
import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describeFailure, ok } from '../../lib/result.ts';
import { fail, isSet, printLine, textFlag, verb } from '../calicoctl/program.ts';

/** Beside each other since the first release of Calico. */
const configurationFiles = ['10-calico.conflist', 'calico-kubeconfig'];
const pluginFiles = ['calico', 'calico-ipam'];

export const command = verb(
  {
    name: 'component node uninstall',
    summary: 'Remove the devices, routes, programs and rules of Calico from this node, and its plugin.',
    flags: [
      { flags: '--force', description: 'though pods are still attached: they lose network and policy' },
      {
        flags: '--agent-socket <path>',
        description: 'where an agent would answer',
        default: '/var/run/calico/cni.sock',
      },
      {
        flags: '--cni-directory <path>',
        description: 'where the runtime looks for networks',
        default: '/etc/cni/net.d',
      },
      { flags: '--bin-directory <path>', description: 'where it looks for plugins', default: '/opt/cni/bin' },
      {
        flags: '--state-directory <path>',
        description: 'what the node remembers',
        default: '/var/lib/calico',
      },
      {
        flags: '--allow-root-namespace',
        description: "remove from the machine's own network namespace (a real node)",
      },
    ],
  },
  async ({ flags }) => {
    const [{ openKernel }, { removeDataplane, systemRunner }, { mayWrite }] = await Promise.all([
      import('../../kernel/mod.ts'),
      import('../../felix/dataplane/mod.ts'),
      import('../../felix/agent/mod.ts'),
    ]);
    const socket = textFlag(flags, 'agentSocket') ?? '';
    if (await isListening(socket))
      return fail(
        `An agent runs on this node (${socket}) and would bring everything back.`,
        'Stop it first.',
      );
    const kernel = await openKernel({ allowRootNamespace: isSet(flags, 'allowRootNamespace') });
    if (!kernel.ok) return fail(kernel.error.message, kernel.error.hint);
    try {
      const allowed = await mayWrite(kernel.value);
      if (!allowed.ok) return fail(allowed.error.message, 'On a real node say --allow-root-namespace.');
      const links = await kernel.value.links.list();
      if (!links.ok) return fail(links.error.message, links.error.hint);
      const pods = links.value.filter(({ name }) => /^cali[0-9a-f]{11}$/.test(name)).length;
      if (pods > 0 && !isSet(flags, 'force'))
        return fail(
          `${pods} pods are still attached to this node.`,
          'Drain the node first, or say --force: they lose network and policy.',
        );
      const removed = await removeDataplane({ kernel: kernel.value, commands: systemRunner() });
      if (!removed.ok) return fail(describeFailure(removed.error));
      const { devices, programs, routes, tables, iptables, needsModuleRemoval } = removed.value;
      for (const file of configurationFiles)
        rmSync(join(textFlag(flags, 'cniDirectory') ?? '', file), { force: true });
      for (const file of pluginFiles)
        rmSync(join(textFlag(flags, 'binDirectory') ?? '', file), { force: true });
      rmSync(textFlag(flags, 'stateDirectory') ?? '', { recursive: true, force: true });
      printLine(
        `Removed: ${devices.length === 0 ? 'no devices' : devices.join(', ')}; ${programs} programs; ${routes} routes; ${tables} tables of nftables; ${iptables} chains, rules and sets of iptables; plugin and state.`,
      );
      // The module's device is in every namespace: it goes with the module only.
      if (needsModuleRemoval && !(await removeModule()))
        printLine('tunl0 belongs to the kernel module ipip and is at rest. Remove it with: modprobe -r ipip');
      return ok(undefined);
    } finally {
      await kernel.value.close();
    }
  },
);

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => end(true));
    socket.on('error', () => end(false));
  });
}

/** Whether the module is gone; it may be built into the kernel, or in use by others. */
function removeModule(): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn('modprobe', ['-r', 'ipip'], { stdio: 'ignore' });
    child.on('error', () => resolve(false));
    child.on('close', () => resolve(!/^ipip /m.test(readFileSync('/proc/modules', 'utf8'))));
  });
}
