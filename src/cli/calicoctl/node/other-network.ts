// What another network plugin left on this machine (SR-229): its configuration, its devices, and routes that come before ours.
// Only one may have the pods of a node. Each finding is a sentence with the way out.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mainTable, openKernel, routeProtocols, type Route } from '../../../kernel/mod.ts';
import { containsPrefix } from '../../../lib/ip/mod.ts';

export type Machine = {
  /** Name and text of each file where the container runtime looks for networks. */
  readonly configurations: readonly { readonly path: string; readonly text: string }[];
  readonly links: readonly string[];
  /** Of the main table. */
  readonly routes: readonly (Pick<Route, 'dst' | 'type' | 'protocol' | 'priority'> & {
    readonly gateway?: string;
    readonly device?: string;
  })[];
};

const own = '10-calico.conflist';
/** Devices that no other program names so, and whose they are. */
const devices: Readonly<Record<string, string>> = {
  'flannel.1': 'flannel',
  'flannel-v6.1': 'flannel',
  'flannel-wg': 'flannel',
  cni0: 'flannel or the plugin bridge',
  weave: 'Weave Net',
  cilium_host: 'Cilium',
  cilium_vxlan: 'Cilium',
  'kube-bridge': 'kube-router',
};
/** Chained plugins, which have no network of their own. */
const helpers = new Set(['portmap', 'bandwidth', 'tuning', 'firewall', 'loopback', 'sbr']);
const ours = new Set(['calico', 'calico-ipam']);
const ourDevices = /^(cali|tunl0$|vxlan(-v6)?\.calico$|wireguard)/;
/** Of routes that Felix or a BGP speaker writes; those of VXLAN are told by their device. */
const ourProtocols: ReadonlySet<number> = new Set([routeProtocols.bird, 80]);

export function leftovers({ configurations, links, routes }: Machine): readonly string[] {
  const found: string[] = [];
  for (const { path, text } of configurations) {
    const other = networkOf(text);
    if (other === undefined) continue;
    const isFirst = (path.split('/').at(-1) ?? '') < own;
    found.push(
      `${path} is a network of the plugin ${other}${isFirst ? ', which the runtime takes before Calico' : ''}; when it is no longer in use: rm ${path}`,
    );
  }
  for (const name of links)
    if (devices[name] !== undefined)
      found.push(`the device ${name} belongs to ${devices[name]}; when it is gone: ip link delete ${name}`);
  const mine = routes.filter(({ protocol }) => ourProtocols.has(protocol));
  for (const { dst, type, protocol, priority, gateway, device = '' } of routes) {
    if (type !== 'unicast' || gateway === undefined || dst.endsWith('/0')) continue;
    if (ourProtocols.has(protocol) || ourDevices.test(device)) continue;
    const shadowed = mine.find(
      (route) => containsPrefix(route.dst, dst) && (route.dst !== dst || priority <= route.priority),
    );
    if (shadowed !== undefined)
      found.push(
        `the route ${dst} via ${gateway} is not Calico's and comes before its ${shadowed.dst}; unless it is wanted: ip route delete ${dst} via ${gateway}`,
      );
  }
  return found;
}

/** The type of the network plugin in a configuration that is not ours. */
function networkOf(text: string): string | undefined {
  try {
    const { type, plugins = [] } = JSON.parse(text) as {
      readonly type?: string;
      readonly plugins?: readonly { readonly type?: string }[];
    };
    const types = [type, ...plugins.map((plugin) => plugin.type)].filter((one) => one !== undefined);
    return types.some((one) => ours.has(one)) ? undefined : types.find((one) => !helpers.has(one));
  } catch {
    return undefined;
  }
}

/** What there is on this machine; parts that cannot be read count as empty. */
export async function readMachine(configurationDirectory: string): Promise<Machine> {
  const configurations = existsSync(configurationDirectory)
    ? readdirSync(configurationDirectory)
        .filter((name) => /\.(conf|conflist|json)$/.test(name))
        .toSorted()
        .map((name) => join(configurationDirectory, name))
        .map((path) => ({ path, text: textOf(path) }))
    : [];
  const kernel = await openKernel({});
  if (!kernel.ok) return { configurations, links: [], routes: [] };
  try {
    const links = await kernel.value.links.list();
    const routes = await kernel.value.routes.list({ table: mainTable });
    const names = new Map((links.ok ? links.value : []).map(({ index, name }) => [index, name]));
    return {
      configurations,
      links: [...names.values()],
      routes: (routes.ok ? routes.value : []).map(({ nextHops: [via], ...route }) => {
        const device = names.get(via?.linkIndex ?? 0);
        return {
          ...route,
          ...(via?.gateway === undefined ? {} : { gateway: via.gateway }),
          ...(device === undefined ? {} : { device }),
        };
      }),
    };
  } finally {
    await kernel.value.close();
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
