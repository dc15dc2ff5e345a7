// The text of `margay lab status`.
import type { LabStatus } from '../lab/mod.ts';

export function statusText(lab: LabStatus, kubeconfig: string): string {
  const machines = lab.machines.map((m) => [m.name, m.role, m.rack ?? '', m.addresses.join(' ')]);
  const processes = lab.processes.map((p) => [
    p.machine,
    p.name,
    p.running ? `running, pid ${p.pid ?? '?'}` : 'waiting to start again',
    p.restarts === 0 ? '' : `${p.restarts} restarts`,
    p.lastEnd === undefined ? '' : `last end: ${p.lastEnd}`,
  ]);
  const { backend = 'bird' } = lab;
  const bgp = backend === 'bird' ? `design ${lab.design}` : `backend ${backend}`;
  return [
    `Lab "${lab.name}": ${lab.topology}, ${bgp}, up since ${lab.startedAt}. KUBECONFIG=${kubeconfig}`,
    '',
    ...table([['MACHINE', 'ROLE', 'RACK', 'ADDRESSES'], ...machines]),
    '',
    ...table([['MACHINE', 'PROCESS', 'STATE', '', ''], ...processes]),
    '',
  ].join('\n');
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd((widths[i] ?? 0) + 2))
      .join('')
      .trimEnd(),
  );
}
