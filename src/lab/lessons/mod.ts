// Public face of the lessons: which there are, one on a running lab, all of them for the documentation.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { labDown, labStatus, labUp } from '../launcher.ts';
import type { LabError } from '../types.ts';
import { lessonNamed, lessons } from './catalogue.ts';
import { lessonLines, lessonList, lessonPage } from './print.ts';
import { runLesson } from './run.ts';
import type { LessonReport } from './types.ts';

export { runCapture, type CapturePlace } from './capture.ts';

export const listLessons = (): string[] => lessonList(lessons);

export type LessonOptions = {
  /** Of one lesson, or `all`. */
  readonly lesson: string;
  /** The lab to walk through; without one a lab is brought up for it and taken down again. */
  readonly lab?: string;
  /** Where pages go. */
  readonly write?: string;
  readonly onStep: (text: string) => void;
};

const ownLab = 'lesson';

/** The lines to print, and whether all was as the lessons say. */
export async function teach(
  options: LessonOptions,
): Promise<Result<{ readonly lines: readonly string[]; readonly asExpected: boolean }, LabError>> {
  const one = lessonNamed(options.lesson);
  const wanted = options.lesson === 'all' ? lessons : one === undefined ? [] : [one];
  if (wanted.length === 0)
    return err(
      failure(
        'UnknownLesson',
        `There is no lesson "${options.lesson}".`,
        `Lessons: ${lessons.map((l) => l.name).join(', ')}, or all.`,
      ),
    );
  const name = options.lab ?? ownLab;
  const isOwn = options.lab === undefined;
  if (isOwn) {
    const running = await labStatus(name);
    if (running.ok) await labDown(name);
    const flags = { name, topology: 'two-racks', dualStack: false, fabricBgp: true };
    const up = await labUp({ ...flags, tied: true, onStep: options.onStep });
    if (!up.ok) return up;
  }
  try {
    const reports: LessonReport[] = [];
    for (const lesson of wanted) {
      const report = await runLesson(name, lesson, options.onStep);
      if (!report.ok) return report;
      reports.push(report.value);
    }
    if (options.write !== undefined) await writePages(options.write, reports);
    return ok({
      lines:
        options.write === undefined ? reports.flatMap(lessonLines) : [`${reports.length} pages written.`],
      asExpected: reports.every((r) => r.problems.length === 0),
    });
  } finally {
    if (isOwn) await labDown(name);
  }
}

async function writePages(directory: string, reports: readonly LessonReport[]): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const report of reports)
    await writeFile(join(directory, `${report.lesson.name}.md`), lessonPage(report));
  if (reports.length < lessons.length) return;
  const index = [
    '# Lessons',
    '',
    'Each walks through one way to connect pods: it configures a lab of two racks, sends one ping to a pod of the same rack',
    'and one to a pod of the other, and shows the packet on every device it passed, with the route that matched there.',
    'The pages are written by `npm run lessons`, from a lab that runs; `margay lab lesson NAME` prints one.',
    '',
    ...lessons.map((l) => `- [${l.title}](${l.name}.md)`),
    '',
  ];
  await writeFile(join(directory, 'README.md'), index.join('\n'));
}
