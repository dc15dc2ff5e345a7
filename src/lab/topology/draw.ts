// A topology drawn with characters, for a terminal of 100 columns.
import type { Machine, Topology } from './types.ts';

const text = (machine: Machine | undefined): string =>
  (machine?.interfaces ?? [])
    .flatMap((i) => i.addresses)
    .map((a) => `${a.address}/${a.length}`)
    .join(' ');

/** Lines of text; the caller prints them. */
export function drawTopology(topology: Topology): string[] {
  return topology.name === 'flat' ? drawFlat(topology) : drawRacks(topology);
}

function drawFlat(topology: Topology): string[] {
  const nodes = topology.machines.filter((m) => m.role === 'node');
  const shown = nodes.slice(0, 20);
  return [
    'switch (one bridge, no router)',
    ...shown.map(
      (n, i) =>
        `${i === shown.length - 1 && shown.length === nodes.length ? '└' : '├'}── ${pad(n.name, 10)} ${text(n)}`,
    ),
    ...(nodes.length > shown.length ? [`└── … and ${nodes.length - shown.length} more`] : []),
  ];
}

function drawRacks(topology: Topology): string[] {
  const machine = (name: string): Machine | undefined => topology.machines.find((m) => m.name === name);
  const leaves = topology.machines.filter((m) => m.role === 'router' && m.rack !== undefined);
  const columns = leaves.map((leaf) => rackColumn(topology, leaf));
  const width = columns.map((lines) => Math.max(...lines.map((l) => l.length)) + 4);
  const [left = 0] = width;
  const spine = machine('spine');
  const title = `spine${asText(spine)}`;
  const middle = 8 + Math.floor(left / 2);
  const uplinks = (spine?.interfaces ?? []).map((i) =>
    i.addresses.map((a) => `${a.address}/${a.length}`).join(' '),
  );
  const wire = `${pad('', 8)}┌${'─'.repeat(Math.max(1, left - 1))}┐`;
  const lines = [
    `${' '.repeat(Math.max(0, middle - Math.floor(title.length / 2)))}${title}`,
    `${wire.slice(0, middle)}┴${wire.slice(middle + 1)}`,
    `${pad(`${pad('', 8)}│ ${uplinks[0] ?? ''}`, left + 8)}│ ${uplinks[1] ?? ''}`,
  ];
  const height = Math.max(...columns.map((c) => c.length));
  for (let row = 0; row < height; row++) {
    lines.push(
      columns
        .map((c, i) => pad(c[row] ?? '', width[i] ?? 0))
        .join('')
        .trimEnd(),
    );
  }
  return lines;
}

function rackColumn(topology: Topology, leaf: Machine): string[] {
  const uplink = leaf.interfaces.find((i) => i.name === 'uplink');
  const rackSide = leaf.interfaces.find((i) => i.kind === 'bridge');
  const members = topology.machines.filter((m) => m.role === 'node' && m.rack === leaf.rack);
  const shown = members.slice(0, 12);
  const addresses = (list: Machine['interfaces'][number] | undefined): string =>
    (list?.addresses ?? []).map((a) => `${a.address}/${a.length}`).join(' ');
  return [
    `        │ ${addresses(uplink)}`,
    `  ${leaf.name}${asText(leaf)}`,
    `        │ ${addresses(rackSide)}   ${leaf.rack}`,
    ...shown.map((node, i) => {
      const last = i === shown.length - 1 && shown.length === members.length;
      return `        ${last ? '└' : '├'}── ${pad(node.name, 8)} ${text(node)}`;
    }),
    ...(members.length > shown.length ? [`        └── … and ${members.length - shown.length} more`] : []),
  ];
}

const asText = (machine: Machine | undefined): string =>
  machine?.bgp === undefined ? ' (no BGP)' : ` AS ${machine.bgp.asNumber}`;
const pad = (s: string, width: number): string => s.padEnd(width, ' ');
