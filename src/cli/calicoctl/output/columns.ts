// The columns that calicoctl shows of each kind (CT-016). Kinds without an entry show those of the model.
import { type KindDefinition, kindDefinition, type KindName } from '../../../model/mod.ts';
import type { Resource } from '../input/resources.ts';
import { formatCell, valueAt } from './paths.ts';

/** What a cell needs beyond its object. */
export type CellContext = { readonly asNumber: string };
type Cell = (object: Resource, context: CellContext) => string;
type Table = {
  readonly narrow: readonly string[];
  readonly wide?: readonly string[];
  readonly cells: Readonly<Record<string, Cell>>;
};

/** The value at a path; the other text when there is none. */
const field =
  (path: string, absent = ''): Cell =>
  (object) => {
    const value = valueAt(object, path);
    return value === undefined || value === null || value === '' ? absent : formatCell(value);
  };
const count =
  (path: string): Cell =>
  (object) => {
    const value = valueAt(object, path);
    return String(Array.isArray(value) ? value.length : 0);
  };
/** Lists and maps joined by commas; long ones end in dots. */
const joined =
  (path: string, longest = 0): Cell =>
  (object) =>
    joinValues(valueAt(object, path), ',', longest);

export function joinValues(value: unknown, separator: string, longest = 0): string {
  if (value === undefined || value === null) return '';
  const items = Array.isArray(value)
    ? value.map(formatCell)
    : typeof value === 'object'
      ? Object.entries(value)
          .map(([key, item]) => `${key}=${formatCell(item)}`)
          .toSorted()
      : [formatCell(value)];
  const text = items.join(separator);
  return longest > 0 && text.length > longest ? `${text.slice(0, longest - 3)}...` : text;
}

const longestList = 80;
const name: Cell = (object) => object.metadata.name;
const policyTable: Table = {
  narrow: ['NAME', 'TIER'],
  wide: ['NAME', 'TIER', 'ORDER', 'SELECTOR'],
  cells: {
    NAME: name,
    TIER: field('spec.tier', 'default'),
    ORDER: field('spec.order', '<nil>'),
    SELECTOR: field('spec.selector'),
  },
};
const netsTable = (path: string, heading: string): Table => ({
  narrow: ['NAME'],
  wide: ['NAME', heading],
  cells: { NAME: name, [heading]: joined(path, longestList) },
});

const tables: Partial<Record<KindName, Table>> = {
  IPPool: {
    narrow: ['NAME', 'CIDR', 'SELECTOR'],
    wide: [
      'NAME',
      'CIDR',
      'NAT',
      'IPIPMODE',
      'VXLANMODE',
      'DISABLED',
      'DISABLEBGPEXPORT',
      'SELECTOR',
      'ASSIGNMENTMODE',
    ],
    cells: {
      NAME: name,
      CIDR: field('spec.cidr'),
      NAT: field('spec.natOutgoing', 'false'),
      IPIPMODE: field('spec.ipipMode', 'Never'),
      VXLANMODE: field('spec.vxlanMode', 'Never'),
      DISABLED: field('spec.disabled', 'false'),
      DISABLEBGPEXPORT: field('spec.disableBGPExport', 'false'),
      SELECTOR: field('spec.nodeSelector'),
      ASSIGNMENTMODE: field('spec.assignmentMode', 'Automatic'),
    },
  },
  BGPConfiguration: {
    narrow: ['NAME', 'LOGSEVERITY', 'MESHENABLED', 'ASNUMBER'],
    cells: {
      NAME: name,
      LOGSEVERITY: field('spec.logSeverityScreen'),
      MESHENABLED: field('spec.nodeToNodeMeshEnabled', '-'),
      ASNUMBER: field('spec.asNumber', '-'),
    },
  },
  BGPPeer: {
    narrow: ['NAME', 'PEERIP', 'NODE', 'ASN'],
    cells: {
      NAME: name,
      PEERIP: field('spec.peerIP'),
      NODE: (object, context) =>
        field('spec.node')(object, context) || field('spec.nodeSelector', '(global)')(object, context),
      ASN: field('spec.asNumber', '0'),
    },
  },
  BGPFilter: {
    narrow: ['NAME', 'NUMEXPORTV4', 'NUMIMPORTV4', 'NUMEXPORTV6', 'NUMIMPORTV6'],
    cells: {
      NAME: name,
      NUMEXPORTV4: count('spec.exportV4'),
      NUMIMPORTV4: count('spec.importV4'),
      NUMEXPORTV6: count('spec.exportV6'),
      NUMIMPORTV6: count('spec.importV6'),
    },
  },
  ClusterInformation: {
    narrow: ['NAME', 'CLUSTERGUID', 'CLUSTERTYPE', 'CALICOVERSION', 'DATASTOREREADY'],
    cells: {
      NAME: name,
      CLUSTERGUID: field('spec.clusterGUID'),
      CLUSTERTYPE: field('spec.clusterType'),
      CALICOVERSION: field('spec.calicoVersion'),
      DATASTOREREADY: field('spec.datastoreReady'),
    },
  },
  FelixConfiguration: { narrow: ['NAME'], cells: { NAME: name } },
  KubeControllersConfiguration: { narrow: ['NAME'], cells: { NAME: name } },
  NetworkPolicy: policyTable,
  GlobalNetworkPolicy: policyTable,
  StagedNetworkPolicy: policyTable,
  StagedGlobalNetworkPolicy: policyTable,
  StagedKubernetesNetworkPolicy: { narrow: ['NAME'], cells: { NAME: name } },
  HostEndpoint: {
    narrow: ['NAME', 'NODE'],
    wide: ['NAME', 'NODE', 'INTERFACE', 'IPS', 'PROFILES'],
    cells: {
      NAME: name,
      NODE: field('spec.node'),
      INTERFACE: field('spec.interfaceName'),
      IPS: joined('spec.expectedIPs'),
      PROFILES: joined('spec.profiles'),
    },
  },
  Node: {
    narrow: ['NAME'],
    wide: ['NAME', 'ASN', 'IPV4', 'IPV6'],
    cells: {
      NAME: name,
      ASN: (object, context) => field('spec.bgp.asNumber', `(${context.asNumber})`)(object, context),
      IPV4: field('spec.bgp.ipv4Address'),
      IPV6: field('spec.bgp.ipv6Address'),
    },
  },
  WorkloadEndpoint: {
    narrow: ['WORKLOAD', 'NODE', 'NETWORKS', 'INTERFACE'],
    wide: ['NAME', 'WORKLOAD', 'NODE', 'NETWORKS', 'INTERFACE', 'PROFILES', 'NATS'],
    cells: {
      NAME: name,
      WORKLOAD: (object, context) =>
        field('spec.workload')(object, context) || field('spec.pod')(object, context),
      NODE: field('spec.node'),
      ORCHESTRATOR: field('spec.orchestrator'),
      NETWORKS: joined('spec.ipNetworks'),
      INTERFACE: field('spec.interfaceName'),
      PROFILES: joined('spec.profiles'),
      NATS: joined('spec.ipNATs'),
    },
  },
  Profile: {
    narrow: ['NAME'],
    wide: ['NAME', 'LABELS'],
    cells: { NAME: name, LABELS: joined('spec.labelsToApply') },
  },
  Tier: { narrow: ['NAME', 'ORDER'], cells: { NAME: name, ORDER: field('spec.order', '<nil>') } },
  NetworkSet: netsTable('spec.nets', 'NETS'),
  GlobalNetworkSet: netsTable('spec.nets', 'NETS'),
  IPReservation: netsTable('spec.reservedCIDRs', 'CIDRS'),
  IPAMConfiguration: {
    narrow: ['NAME', 'STRICTAFFINITY', 'AUTOALLOCATEBLOCKS', 'MAXBLOCKSPERHOST'],
    cells: {
      NAME: name,
      STRICTAFFINITY: field('spec.strictAffinity', 'false'),
      AUTOALLOCATEBLOCKS: field('spec.autoAllocateBlocks', 'true'),
      MAXBLOCKSPERHOST: field('spec.maxBlocksPerHost', '0'),
    },
  },
  CalicoNodeStatus: {
    narrow: ['NAME', 'NODE', 'CLASSES'],
    wide: ['NAME', 'NODE', 'CLASSES', 'UPDATEPERIOD', 'LASTUPDATED'],
    cells: {
      NAME: name,
      NODE: field('spec.node'),
      CLASSES: joined('spec.classes'),
      UPDATEPERIOD: field('spec.updatePeriodSeconds'),
      LASTUPDATED: field('status.lastUpdated'),
    },
  },
};

function tableOf(definition: KindDefinition): Table {
  const known = tables[definition.name as KindName];
  if (known !== undefined) return known;
  const columns = kindDefinition(definition.name as KindName).columns.filter(({ type }) => type !== 'date');
  const cells = Object.fromEntries(
    columns.map((column) => [column.name.toUpperCase(), field(column.path.replace(/^\./, ''))]),
  );
  return { narrow: ['NAME', ...Object.keys(cells)], cells: { NAME: name, ...cells } };
}

export type ColumnChoice = {
  readonly wide: boolean;
  /** Headings asked for, instead of the usual ones. */
  readonly headings?: readonly string[];
  readonly withNamespace: boolean;
};

/** Head and rows, or the heading that the kind does not have. */
export function rowsOf(
  definition: KindDefinition,
  objects: readonly Resource[],
  choice: ColumnChoice,
  context: CellContext,
): readonly (readonly string[])[] | { readonly unknownHeading: string; readonly known: readonly string[] } {
  const table = tableOf(definition);
  const cells: Readonly<Record<string, Cell>> = definition.namespaced
    ? { ...table.cells, NAMESPACE: field('metadata.namespace') }
    : table.cells;
  const usual = choice.wide ? (table.wide ?? table.narrow) : table.narrow;
  const wanted = choice.headings?.map((heading) => heading.toUpperCase()) ?? usual;
  const headings =
    choice.withNamespace && definition.namespaced && !wanted.includes('NAMESPACE')
      ? ['NAMESPACE', ...wanted]
      : wanted;
  const unknownHeading = headings.find((heading) => !Object.hasOwn(cells, heading));
  if (unknownHeading !== undefined) return { unknownHeading, known: Object.keys(cells) };
  return [
    headings,
    ...objects.map((object) => headings.map((heading) => cells[heading]?.(object, context) ?? '')),
  ];
}
