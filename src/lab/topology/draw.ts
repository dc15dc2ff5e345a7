// A topology drawn with characters, for a terminal of 100 columns.
import type { Machine, Topology } from './types.ts';

const text = (machine: Machine | undefined): string =>
  (machine?.interfaces ?? [])
    .flatMap((i) => i.addresses)
    .map((a) => `${a.address}/${a.length}`)
    .join(' ');

/** Lines of text; the caller prints them. */
export function drawTopology(topology: Topology): string[] {
  return topology.racks.length === 0 ? drawFlat(topology) : drawRacks(topology);
}

function drawFlat(topology: Topology): string[] {
  const nodes = topology.machines.filter((m) => m.role !== 'switch');
  const shown = nodes.slice(0, 20);
  return [
    'switch (one bridge)',
    ...shown.map(
      (n, i) =>
        `${i === shown.length - 1 && shown.length === nodes.length ? '└' : '├'}── ${pad(n.name, 10)} ${text(n)}`,
    ),
    ...(nodes.length > shown.length ? [`└── … and ${nodes.length - shown.length} more`] : []),
  ];
}

function drawRacks(topology: Topology): string[] {
  const machine = (name: string): Machine | undefined => topology.machines.find((m) => m.name === name);
  const columns = topology.racks.map(({ leaf }) => rackColumn(topology, machine(leaf)));
  const width = columns.map((lines) => Math.max(...lines.map((l) => l.length)) + 4);
  const starts = width.map((_, i) => 8 + width.slice(0, i).reduce((sum, w) => sum + w, 0));
  const last = starts.at(-1) ?? 8;
  const spine = machine('spine');
  const title = `spine${asText(spine)}`;
  const middle = Math.floor((8 + last) / 2);
  const wire = Array.from({ length: last + 1 }, (_, i) => {
    if (i < 8) return ' ';
    if (i === 8) return '┌';
    if (i === last) return '┐';
    const isStart = starts.includes(i);
    if (i === middle) return isStart ? '┼' : '┴';
    return isStart ? '┬' : '─';
  }).join('');
  const uplinks = (spine?.interfaces ?? []).map(
    (i) => `        │ ${i.addresses.map((a) => `${a.address}/${a.length}`).join(' ')}`,
  );
  const rows = columns.map((lines, i) => [uplinks[i] ?? '', ...lines]);
  const height = Math.max(...rows.map((c) => c.length));
  return [
    `${' '.repeat(Math.max(0, middle - Math.floor(title.length / 2)))}${title}`,
    wire,
    ...Array.from({ length: height }, (_, row) =>
      rows
        .map((c, i) => pad(c[row] ?? '', width[i] ?? 0))
        .join('')
        .trimEnd(),
    ),
  ];
}

function rackColumn(topology: Topology, leaf: Machine | undefined): string[] {
  if (leaf === undefined) return [];
  const uplink = leaf.interfaces.find((i) => i.name === 'uplink');
  const rackSide = leaf.interfaces.find((i) => i.kind === 'bridge');
  const members = topology.machines.filter((m) => m !== leaf && m.rack === leaf.rack);
  const shown = members.slice(0, 12);
  const addresses = (list: Machine['interfaces'][number] | undefined): string =>
    (list?.addresses ?? []).map((a) => `${a.address}/${a.length}`).join(' ');
  return [
    `        │ ${addresses(uplink)}`,
    `  ${leaf.name}${asText(leaf)}`,
    `        │ ${addresses(rackSide)}   ${leaf.rack}`,
    ...shown.map((member, i) => {
      const isLast = i === shown.length - 1 && shown.length === members.length;
      return `        ${isLast ? '└' : '├'}── ${pad(member.name, 8)} ${text(member)}${ownAs(topology, member)}`;
    }),
    ...(members.length > shown.length ? [`        └── … and ${members.length - shown.length} more`] : []),
  ];
}

/** The AS number, where it is not that of all nodes. */
function ownAs(topology: Topology, member: Machine): string {
  const as = member.bgp?.asNumber ?? topology.nodeBgp.find((n) => n.node === member.name)?.asNumber;
  return as === undefined ? '' : ` AS ${as}`;
}

const asText = (machine: Machine | undefined): string =>
  machine?.bgp === undefined ? ' (no BGP)' : ` AS ${machine.bgp.asNumber}`;
const pad = (s: string, width: number): string => s.padEnd(width, ' ');
