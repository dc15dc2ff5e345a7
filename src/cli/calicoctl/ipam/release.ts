// `ipam release`: gives one address back, or all that reports of `ipam check` call leaked (CT-033).
import { readFileSync } from 'node:fs';
import type { Datastore } from '../../../datastore/mod.ts';
import type { ReleaseRequest } from '../../../ipam/mod.ts';
import { parseAddress } from '../../../lib/ip/mod.ts';
import { parseJson } from '../../../lib/json.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { clientVersion } from '../version.ts';
import {
  type CliError,
  fail,
  isSet,
  listFlag,
  printLine,
  textFlag,
  verb,
  withDatastore,
} from '../program.ts';
import type { Report } from './check.ts';
import { openIpam } from './open.ts';
import type { ReportedHandle } from './survey.ts';

export const command = verb(
  {
    name: 'ipam release',
    summary: 'Give addresses back that nobody uses.',
    flags: [
      { flags: '--ip <address>', description: 'the address to give back' },
      {
        flags: '--from-report <file>',
        description: 'give back what the report calls leaked; of several reports, what all of them do',
        repeatable: true,
      },
      {
        flags: '--force',
        description: 'also while the datastore is not locked, or with a report of another version',
      },
    ],
    examples: ['ipam release --ip=192.168.12.4', 'ipam release --from-report=report.json'],
    notes:
      'The endpoints that use an address are not asked: a lost address of a running pod is given to another one.',
  },
  ({ flags }) => {
    const reports = listFlag(flags, 'fromReport');
    const ip = textFlag(flags, 'ip');
    if (reports.length > 0)
      return withDatastore(flags, (store) => releaseReported(store, reports, isSet(flags, 'force')));
    if (ip === undefined) return Promise.resolve(fail('ipam release needs --ip or --from-report'));
    return withDatastore(flags, (store) => releaseOne(store, ip));
  },
);

async function releaseOne(store: Datastore, text: string): Promise<Result<void, CliError>> {
  const address = parseAddress(text);
  if (!address.ok) return fail(`Invalid IP address specified: ${text}`);
  const released = await (await openIpam(store)).releaseAddresses([{ address: address.value }]);
  if (!released.ok) return fail(`error: ${released.error.message}`);
  if (released.value.unallocated.length > 0) return fail(`IP address ${address.value} is not assigned`);
  printLine(`Successfully released IP address ${address.value}`);
  return ok(undefined);
}

async function releaseReported(
  store: Datastore,
  files: readonly string[],
  force: boolean,
): Promise<Result<void, CliError>> {
  const information = await store.get('ClusterInformation', { name: 'default' });
  if (!information.ok) return fail(information.error.message);
  const { spec, metadata } = information.value;
  const reports: Report[] = [];
  for (const file of files) {
    const report = readReport(file);
    if (!report.ok) return report;
    if (report.value.clusterGUID !== (spec.clusterGUID ?? ''))
      return fail(
        `cluster does not match the provided report (${file}): mismatched cluster GUID. Refusing to release`,
      );
    if (report.value.version !== clientVersion) {
      if (!force)
        return fail(
          `the provided report (${file}) was produced using a different version (${report.value.version}). Refusing to release`,
        );
      printLine('WARNING: Report was produced using a different version. Ignoring due to --force option');
    }
    reports.push(report.value);
  }
  if (!reports.some((report) => report.clusterInformationRevision === metadata.resourceVersion))
    return fail(
      'the provided reports are all stale - at least one should be up-to-date. Please generate a new report while the data store is locked and try again',
    );
  if (spec.datastoreReady !== false) {
    if (!force) return fail('data store is not locked. Either lock the data store, or re-run with --force');
    printLine('WARNING: Data store is not locked. Ignoring due to --force option');
  }
  const addresses = await releaseAddresses(store, reports);
  if (!addresses.ok) return addresses;
  const handles = await deleteHandles(store, reports);
  if (!handles.ok) return handles;
  printLine('You may now unlock the data store.');
  return ok(undefined);
}

function readReport(file: string): Result<Report, CliError> {
  try {
    const value = parseJson(readFileSync(file, 'utf8')) as Partial<Report> | null;
    if (typeof value?.allocations !== 'object') return fail(`${file} is not a report of "ipam check".`);
    return ok({ clusterGUID: '', version: '', ...value } as Report);
  } catch (error) {
    return fail(`The report ${file} cannot be read: ${(error as Error).message}.`);
  }
}

/** Handle and sequence number go along: an address that was given out again since is left alone. */
async function releaseAddresses(
  store: Datastore,
  reports: readonly Report[],
): Promise<Result<void, CliError>> {
  const leakedIn = reports.map(
    ({ allocations }) =>
      new Map(
        Object.values(allocations)
          .flat()
          .filter(({ inUse }) => !inUse)
          .map((one) => [one.ip, one]),
      ),
  );
  const latest = leakedIn.at(-1) ?? new Map<string, never>();
  const requests: ReleaseRequest[] = [];
  for (const one of latest.values()) {
    const address = parseAddress(one.ip);
    if (!address.ok || !leakedIn.every((leaked) => leaked.has(one.ip))) continue;
    requests.push({
      address: address.value,
      ...(one.handle === undefined ? {} : { handleId: one.handle }),
      ...(one.sequenceNumber === undefined ? {} : { sequenceNumber: BigInt(one.sequenceNumber) }),
    });
  }
  if (requests.length === 0) {
    printLine("Report didn't contain any leaked IPs to clean up.");
    return ok(undefined);
  }
  printLine(`Releasing ${requests.length} old IPs...`);
  const released = await (await openIpam(store)).releaseAddresses(requests);
  if (!released.ok)
    return fail(
      `An error occurred while releasing some IPs: ${released.error.message} Problems are often caused by an out-of-date IPAM report. Try regenerating the IPAM report and retry.`,
    );
  printLine(`Released ${released.value.released.length} IPs successfully`);
  const { length } = released.value.unallocated;
  if (length > 0)
    printLine(`${length} addresses marked as leaked in the report had already been cleaned up.`);
  return ok(undefined);
}

async function deleteHandles(store: Datastore, reports: readonly Report[]): Promise<Result<void, CliError>> {
  const leaked = reports
    .map(({ leakedHandles = [] }) => leakedHandles)
    .reduce<readonly ReportedHandle[]>(
      (common, handles) =>
        common.filter((one) =>
          handles.some(({ ID, Revision }) => ID === one.ID && Revision === one.Revision),
        ),
      reports[0]?.leakedHandles ?? [],
    );
  if (leaked.length === 0) {
    printLine("Report didn't contain any handles to clean up.");
    return ok(undefined);
  }
  printLine(`Deleting ${leaked.length} handles...`);
  const { handleName } = await import('../../../ipam/mod.ts');
  let [deletedCount, skipped, failed] = [0, 0, 0];
  for (const { ID, UID, Revision } of leaked) {
    const deleted = await store.delete(
      'IPAMHandle',
      { name: handleName(ID) },
      { resourceVersion: Revision, ...(UID === null ? {} : { uid: UID }) },
    );
    if (deleted.ok) deletedCount++;
    else if (deleted.error.code === 'NotFound' || deleted.error.code === 'Conflict') skipped++;
    else {
      failed++;
      printLine(`Deleting handle ${ID} failed: ${deleted.error.message}`);
    }
  }
  printLine(`Released ${deletedCount} handles; ${skipped} skipped; ${failed} errors.`);
  return failed === 0 ? ok(undefined) : fail(`${failed} handles could not be deleted`);
}
