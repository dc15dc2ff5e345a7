// A lesson as lines for a terminal, or as a page of the documentation. Pure.
import { table } from '../demo/text.ts';
import type { LessonReport, Lesson, Macs, Sighting, Walk } from './types.ts';

export const lessonList = (lessons: readonly Lesson[]): string[] =>
  table(lessons.map((l) => [l.name, l.title]));

const wayTitles = { near: 'To a pod of the same rack', far: 'To a pod of the other rack' } as const;

export function lessonLines(report: LessonReport): string[] {
  const { lesson } = report;
  const heading = (text: string): string[] => ['', `── ${text} ${'─'.repeat(Math.max(3, 96 - text.length))}`];
  const indented = (lines: readonly string[]): string[] => lines.map((l) => `  ${l}`.trimEnd());
  return [
    ...heading(lesson.title),
    ...lesson.introduction.flatMap((text) => ['', ...wrapped(text)]),
    ...heading('Applied'),
    ...indented(report.resources.trimEnd().split('\n')),
    ...heading('Sessions'),
    ...indented(sessionLines(report)),
    ...report.walks.flatMap((walk) => [...heading(wayTitles[walk.way]), ...indented(walkLines(walk))]),
    ...heading('What to see'),
    ...lesson.remarks.flatMap((text) => wrapped(`• ${text}`)),
    '',
    ...wrapped(`Question: ${lesson.question}`),
    ...wrapped(`Answer: ${lesson.answer}`),
    ...report.problems.map((p) => `Not as expected: ${p}`),
  ];
}

export function lessonPage(report: LessonReport): string {
  const { lesson } = report;
  const block = (language: string, lines: readonly string[]): string[] => [
    `\`\`\`${language}`,
    ...lines,
    '```',
    '',
  ];
  return `${[
    `# ${lesson.title}`,
    '',
    `Printed by \`margay lab lesson ${lesson.name}\`: the tables are what one ping met in a running lab.`,
    '',
    ...lesson.introduction.flatMap((text) => [text, '']),
    '## Applied',
    ...block('yaml', report.resources.trimEnd().split('\n')),
    '## Sessions',
    ...block('', sessionLines(report)),
    ...report.walks.flatMap((walk) => [`## ${wayTitles[walk.way]}`, ...block('', walkLines(walk))]),
    '## What to see',
    ...lesson.remarks.map((text) => `- ${text}`),
    '',
    `**${lesson.question}** ${lesson.answer}`,
  ].join('\n')}\n`;
}

const sessionLines = ({ sessions }: LessonReport): string[] =>
  table([['MACHINE', 'AS', 'PEER', 'AS', 'KIND', 'STATE'], ...sessions]);

export function walkLines(walk: Walk): string[] {
  const { from, to } = walk;
  const forth = walk.sightings.filter((s) => s.kind === 'request');
  const back = walk.sightings.filter((s) => s.kind !== 'request');
  return [
    `ping from ${from.pod} (${from.address}, ${from.node}) to ${to.pod} (${to.address}, ${to.node}): ${walk.ping || 'no answer'}`,
    '',
    ...hopTable(forth),
    '',
    ...pathLine(back),
    '',
    'Routes that matched',
    ...table(walk.routes.map((r) => [`  ${r.machine}`, r.destination, r.route])),
  ];
}

/** One line per device; what is inside of VXLAN on a line of its own. */
function hopTable(sightings: readonly Sighting[]): string[] {
  const wraps = sightings.some((s) => s.outer !== undefined);
  const head = [
    'MACHINE',
    'DEVICE',
    '',
    'MAC ADDRESSES',
    ...(wraps ? ['OUTER ADDRESSES'] : []),
    'POD ADDRESSES',
    'TTL',
  ];
  const rows = sightings.flatMap((s) => {
    const { outer, inner, innerMacs } = s;
    const wrapping =
      outer === undefined
        ? ''
        : `${outer.source} → ${outer.destination} ${wrappings[outer.how](outer.vni)} TTL ${outer.ttl}`;
    const line = [
      s.machine,
      s.device,
      s.direction,
      macText(s.macs),
      ...(wraps ? [wrapping] : []),
      inner === undefined ? '(encrypted)' : `${inner.source} → ${inner.destination}`,
      inner === undefined ? '' : String(inner.ttl),
    ];
    return innerMacs === undefined ? [line] : [line, ['', '', '', `  inside: ${macText(innerMacs)}`]];
  });
  return table([head, ...rows]);
}

const wrappings = {
  ipip: () => 'IPIP',
  vxlan: (vni?: number) => `VXLAN ${vni ?? ''}`,
  wireguard: () => 'WireGuard',
} as const;

const macText = (macs: Macs | undefined): string =>
  macs === undefined ? '(no Ethernet)' : `${macs.source} → ${macs.destination}`;

function pathLine(back: readonly Sighting[]): string[] {
  const [first] = back;
  if (first === undefined) return ['Nothing came back.'];
  const way: string[] = [];
  for (const s of back) {
    const place = `${s.machine} ${s.device}`;
    if (way.at(-1) !== place) way.push(place);
  }
  const what =
    first.kind === 'reply'
      ? 'The answer came by'
      : `${first.inner?.source ?? 'somebody'} says that it cannot be reached`;
  return wrapped(`${what}: ${way.join(', ')}`);
}

const width = 118;

function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length + 1 > width) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
