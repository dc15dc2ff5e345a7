// `ipam check`: which addresses are given out but not used, used but not given out, and what else does not fit (CT-032).
import { writeFileSync } from 'node:fs';
import type { Datastore } from '../../../datastore/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import type { ClusterInformation, KindName, ResourceOf } from '../../../model/mod.ts';
import { clientVersion } from '../version.ts';
import {
  type CliError,
  fail,
  type Flags,
  isSet,
  printLine,
  textFlag,
  verb,
  withDatastore,
} from '../program.ts';
import { openIpam } from './open.ts';
import { type ReportedAllocation, type ReportedHandle, survey, type Surveyed } from './survey.ts';

export type Report = {
  readonly version: string;
  readonly clusterGUID: string;
  readonly datastoreLocked: boolean;
  readonly clusterInformationRevision: string;
  readonly clusterType: string;
  readonly allocations: Readonly<Record<string, readonly ReportedAllocation[]>>;
  readonly leakedHandles?: readonly ReportedHandle[];
};

export const command = verb(
  {
    name: 'ipam check',
    summary: 'Compare the addresses that are given out with those in use.',
    flags: [
      { flags: '-o, --output <file>', description: 'write a report that "ipam release" reads' },
      { flags: '--show-all-ips', description: 'print all addresses that are checked' },
      { flags: '--show-problem-ips', description: 'print the addresses that do not fit' },
      { flags: '--kubeconfig <file>', description: 'how to reach the cluster' },
    ],
    examples: ['ipam check --show-problem-ips', 'ipam check -o report.json'],
  },
  ({ flags }) => {
    const kubeconfig = textFlag(flags, 'kubeconfig');
    if (kubeconfig !== undefined) process.env['KUBECONFIG'] = kubeconfig;
    return withDatastore(flags, (store) => check(store, flags));
  },
);

async function check(store: Datastore, flags: Flags): Promise<Result<void, CliError>> {
  printLine('Checking IPAM for inconsistencies...\n');
  const information = await store.get('ClusterInformation', { name: 'default' });
  if (!information.ok) return fail(information.error.message);
  const [blocks, pools, nodes, services, endpoints, handles, controllers] = await Promise.all([
    all(store, 'IPAMBlock'),
    all(store, 'IPPool'),
    all(store, 'Node'),
    all(store, 'Service'),
    all(store, 'WorkloadEndpoint'),
    all(store, 'IPAMHandle'),
    store.get('KubeControllersConfiguration', { name: 'default' }),
  ]);
  for (const one of [blocks, pools, nodes, services, endpoints, handles]) if (!one.ok) return one;
  if (!blocks.ok || !pools.ok || !nodes.ok || !services.ok || !endpoints.ok || !handles.ok) return fail('');
  const loadBalancer = controllers.ok ? controllers.value.spec.controllers?.loadBalancer : undefined;
  const surveyed = survey({
    blocks: blocks.value,
    pools: pools.value,
    nodes: nodes.value,
    services: services.value,
    endpoints: endpoints.value,
    handles: handles.value,
    assignIPs: loadBalancer?.assignIPs === 'RequestedServicesOnly' ? 'RequestedServicesOnly' : 'AllServices',
  });
  const showAll = isSet(flags, 'showAllIps');
  const showProblems = showAll || isSet(flags, 'showProblemIps');
  printStock(surveyed, showAll);
  const active = pools.value.filter(({ spec }) => spec.disabled !== true);
  printLine('Loading all IPAM pools...');
  for (const { spec } of active) printLine(`  ${spec.cidr}`);
  printLine(`Found ${active.length} active IP pools.\n`);
  printUsers(surveyed, showAll);
  printTopNodes(surveyed);
  const problems =
    printProblems(surveyed, showAll, showProblems) + (await printInconsistencies(store, showProblems));
  printLine(`Check complete; found ${problems} problems.`);
  const file = textFlag(flags, 'output');
  return file === undefined ? ok(undefined) : writeReport(file, surveyed, information.value);
}

async function all<K extends KindName>(
  store: Datastore,
  kind: K,
): Promise<Result<readonly ResourceOf<K>[], CliError>> {
  const listed = await store.list(kind);
  // etcd has no kinds of Kubernetes.
  if (!listed.ok && listed.error.code === 'NotSupported') return ok([]);
  return listed.ok ? ok(listed.value.items) : fail(`failed to list ${kind}: ${listed.error.message}`);
}

function attributesText(one: ReportedAllocation): string {
  const { handle = '<none>', node, namespace, pod, type } = one;
  const extra = Object.entries({ namespace, node, pod, type }).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${value}`],
  );
  return `Main:${handle} Extra:${extra.join(',')}`;
}

function printStock({ blocks, allocations }: Surveyed, showAll: boolean): void {
  printLine('Loading all IPAM blocks...');
  printLine(`Found ${blocks.length} IPAM blocks.`);
  for (const block of blocks) {
    printLine(` IPAM block ${block.cidr} affinity=${block.affinity}:`);
    if (showAll)
      for (const one of block.allocations) printLine(`  ${one.ip} allocated; attrs ${attributesText(one)}`);
  }
  printLine(`IPAM blocks record ${[...allocations.values()].flat().length} allocations.\n`);
}

function printUsers(surveyed: Surveyed, showAll: boolean): void {
  const { users, nodeAddresses, services, workloadAddresses } = surveyed;
  printLine('Loading all nodes.');
  printLine(`Found ${nodeAddresses} node tunnel IPs.\n`);
  printLine('Loading all service load balancer IPs.');
  printLine(`Found ${services} service load balancer.\n`);
  printLine('Loading all workload endpoints.');
  if (showAll)
    for (const [ip, owners] of users) for (const owner of owners) printLine(`  ${ip} belongs to ${owner}`);
  printLine(`Found ${workloadAddresses} workload IPs.`);
  printLine(`Workloads and nodes are using ${users.size} IPs.\n`);
}

const nodesShown = 20;

function printTopNodes({ allocations }: Surveyed): void {
  const byNode = Map.groupBy([...allocations.values()].flat(), ({ node = '' }) => node);
  const sorted = [...byNode]
    .map(([node, list]) => ({ node, count: list.length }))
    .toSorted((a, b) => b.count - a.count);
  printLine(`Looking for top (up to ${nodesShown}) nodes by allocations...`);
  for (const { node, count } of sorted.slice(0, nodesShown)) printLine(`  ${node} has ${count} allocations`);
  const most = sorted[0];
  const median = sorted[Math.floor(sorted.length / 2)];
  if (most !== undefined && median !== undefined)
    printLine(`Node with most allocations has ${most.count}; median is ${median.count}`);
  printLine();
}

function printProblems(surveyed: Surveyed, showAll: boolean, showProblems: boolean): number {
  const { leaked, foreign, unallocated, shared, leakedHandles, missingHandles, users } = surveyed;
  const detail = (text: string): void => {
    if (showProblems) printLine(`  ${text}`);
  };
  const owners = (ip: string): readonly string[] => users.get(ip) ?? [];
  printLine('Scanning for IPs that are allocated but not actually in use...');
  for (const one of leaked) detail(`${one.ip} leaked; attrs ${attributesText(one)}`);
  printLine(`Found ${leaked.length} IPs that are allocated in IPAM but not actually in use.`);
  printLine('Scanning for IPs that are in use by a workload or node but not allocated in IPAM...');
  for (const ip of shared) detail(`${ip} has multiple owners.`);
  for (const ip of foreign)
    for (const owner of owners(ip)) detail(`${ip} in use by ${owner} is not in any active IP pool.`);
  for (const ip of unallocated)
    for (const owner of owners(ip))
      detail(`${ip} in use by ${owner} and in active IPAM pool but has no IPAM allocation.`);
  printLine(`Found ${foreign.length} in-use IPs that are not in active IP pools.`);
  printLine(
    `Found ${unallocated.length} in-use IPs that are in active IP pools but have no corresponding IPAM allocation.\n`,
  );
  printLine('Scanning for IPAM handles with no matching IPs...');
  if (showAll) for (const { ID } of leakedHandles) detail(`${ID} doesn't have any active IPs.`);
  printLine(
    `Found ${leakedHandles.length} handles with no matching IPs (and ${surveyed.goodHandles} handles with matches).`,
  );
  printLine('Scanning for IPs with missing handle...');
  for (const handle of missingHandles) detail(`${handle} is in use in a block but doesn't exist.`);
  printLine(`Found ${missingHandles.length} handles mentioned in blocks with no matching handle resource.`);
  return leaked.length + foreign.length + unallocated.length + leakedHandles.length;
}

/** Blocks, claims and handles among themselves; problems that were counted above are not counted again. */
async function printInconsistencies(store: Datastore, showProblems: boolean): Promise<number> {
  printLine('Scanning for blocks and affinities that do not fit together...');
  const checked = await (await openIpam(store)).check();
  if (!checked.ok) {
    printLine(`  ${checked.error.message}`);
    return 1;
  }
  const others = checked.value.filter(
    ({ code }) => code !== 'HandleMissing' && code !== 'HandleWithoutAddresses',
  );
  if (showProblems) for (const { object, message } of others) printLine(`  ${object}: ${message}`);
  printLine(`Found ${others.length} blocks, affinities and handles that do not fit together.`);
  return others.length;
}

function writeReport(
  file: string,
  surveyed: Surveyed,
  information: ClusterInformation,
): Result<void, CliError> {
  const { spec, metadata } = information;
  const report: Report = {
    version: clientVersion,
    clusterGUID: spec.clusterGUID ?? '',
    datastoreLocked: spec.datastoreReady === false,
    clusterInformationRevision: metadata.resourceVersion ?? '',
    clusterType: spec.clusterType ?? '',
    allocations: Object.fromEntries(surveyed.allocations),
    ...(surveyed.leakedHandles.length === 0 ? {} : { leakedHandles: surveyed.leakedHandles }),
  };
  try {
    writeFileSync(file, `${JSON.stringify(report, exactNumbers, 2)}\n`);
    return ok(undefined);
  } catch (error) {
    return fail(`The report cannot be written: ${(error as Error).message}.`);
  }
}

const exactNumbers = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint'
    ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value))
    : value;
