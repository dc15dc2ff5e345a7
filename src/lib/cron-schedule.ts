// Times of a schedule in cron's notation, as Kubernetes' CronJobs have them: five fields (minute, hour, day of the month, month,
// day of the week), @hourly and its kin, @every DURATION; in a time zone. Pure.
//
// A time that a zone's clocks leave out is left out, and one that they show twice comes twice.
import { err, ok, type Result } from './result.ts';

export type CronSchedule =
  | { readonly everyMs: number }
  | {
      readonly minutes: ReadonlySet<number>;
      readonly hours: ReadonlySet<number>;
      readonly days: ReadonlySet<number>;
      readonly months: ReadonlySet<number>;
      readonly weekdays: ReadonlySet<number>;
      /** Days of the month and of the week: either is enough when both are named, as in cron. */
      readonly isEitherDay: boolean;
    };

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** Further than this nobody looks: 29 February comes every eight years at the latest. */
const horizonMs = 8.1 * 366 * 24 * hourMs;

const monthNames = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const dayNames = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const fields = [
  { name: 'minute', least: 0, most: 59, names: [] },
  { name: 'hour', least: 0, most: 23, names: [] },
  { name: 'day-of-month', least: 1, most: 31, names: [] },
  { name: 'month', least: 1, most: 12, names: monthNames },
  { name: 'day-of-week', least: 0, most: 6, names: dayNames },
] as const;
type Field = (typeof fields)[number];

const named: Readonly<Record<string, string>> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

/** An error is a sentence without a full stop. */
export function parseCronSchedule(text: string): Result<CronSchedule, string> {
  const trimmed = text.trim();
  if (trimmed.startsWith('@every ')) {
    const everyMs = durationMs(trimmed.slice('@every '.length).trim());
    return everyMs === undefined
      ? err(`failed to parse duration ${trimmed}`)
      : ok({ everyMs: Math.max(1000, Math.floor(everyMs / 1000) * 1000) });
  }
  if (trimmed.startsWith('@') && named[trimmed] === undefined)
    return err(`unrecognized descriptor: ${trimmed}`);
  const words = (named[trimmed] ?? trimmed).split(/\s+/).filter((word) => word !== '');
  if (words.length !== fields.length)
    return err(`expected exactly 5 fields, found ${words.length}: [${words.join(' ')}]`);
  const sets: ReadonlySet<number>[] = [];
  for (const [i, field] of fields.entries()) {
    const set = valuesOf(words[i] ?? '', field);
    if (!set.ok) return set;
    sets.push(set.value);
  }
  const [minutes, hours, days, months, weekdays] = sets as [
    ReadonlySet<number>,
    ReadonlySet<number>,
    ReadonlySet<number>,
    ReadonlySet<number>,
    ReadonlySet<number>,
  ];
  const isOpen = (word: string | undefined): boolean => /^[*?]/.test(word ?? '');
  return ok({ minutes, hours, days, months, weekdays, isEitherDay: !isOpen(words[2]) && !isOpen(words[4]) });
}

function valuesOf(word: string, field: Field): Result<ReadonlySet<number>, string> {
  const values = new Set<number>();
  for (const part of word.split(',')) {
    const [range = '', step, ...more] = part.split('/');
    const [low = '', high, ...rest] = range.split('-');
    if (more.length > 0) return err(`too many slashes: ${part}`);
    if (rest.length > 0) return err(`too many hyphens: ${part}`);
    const by = step === undefined ? 1 : Number(step);
    if (!/^\d+$/.test(step ?? '1')) return err(`failed to parse int from ${step}`);
    if (by === 0) return err(`step of range should be a positive number: ${part}`);
    const isAll = low === '*' || low === '?';
    const from = isAll ? field.least : numberOf(low, field);
    const to = isAll
      ? field.most
      : high !== undefined
        ? numberOf(high, field)
        : step === undefined
          ? from
          : field.most;
    if (from === undefined || to === undefined || (isAll && high !== undefined))
      return err(`failed to parse int from ${part} in ${field.name}`);
    if (from < field.least)
      return err(`beginning of range (${from}) below minimum (${field.least}): ${part}`);
    if (to > field.most) return err(`end of range (${to}) above maximum (${field.most}): ${part}`);
    if (from > to) return err(`beginning of range (${from}) beyond end of range (${to}): ${part}`);
    for (let value = from; value <= to; value += by) values.add(value);
  }
  return ok(values);
}

function numberOf(word: string, { names, least }: Field): number | undefined {
  const at = (names as readonly string[]).indexOf(word.toLowerCase());
  if (at >= 0) return at + least;
  return /^\d+$/.test(word) ? Number(word) : undefined;
}

/** 1h30m, 90s, 1.5h. */
function durationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|h|m|s))+$/.test(text)) return undefined;
  const unitMs = { h: hourMs, m: minuteMs, s: 1000, ms: 1 };
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g))
    ms += Number(number) * unitMs[unit as keyof typeof unitMs];
  return ms;
}

/** Whether there is a time zone of this name. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

type Local = {
  readonly month: number;
  readonly day: number;
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
};

const clocks = new Map<string, (ms: number) => Local>();

/** What clocks show, in a zone; UTC without. */
function clockOf(timeZone: string | undefined): (ms: number) => Local {
  const utc = (ms: number): Local => {
    const date = new Date(ms);
    return {
      month: date.getUTCMonth() + 1,
      day: date.getUTCDate(),
      weekday: date.getUTCDay(),
      hour: date.getUTCHours(),
      minute: date.getUTCMinutes(),
    };
  };
  if (timeZone === undefined || timeZone === '' || timeZone === 'UTC' || timeZone === 'Etc/UTC') return utc;
  const known = clocks.get(timeZone);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    weekday: 'short',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  const clock = (ms: number): Local => {
    const parts = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
    return {
      month: Number(parts['month']),
      day: Number(parts['day']),
      weekday: dayNames.indexOf((parts['weekday'] ?? '').toLowerCase()),
      hour: Number(parts['hour']),
      minute: Number(parts['minute']),
    };
  };
  clocks.set(timeZone, clock);
  return clock;
}

/** The first time after `ms` (milliseconds since 1970); undefined: there is none, such as 30 February. */
export function nextTime(schedule: CronSchedule, ms: number, timeZone?: string): number | undefined {
  if ('everyMs' in schedule) return Math.floor(ms / 1000) * 1000 + schedule.everyMs;
  const clock = clockOf(timeZone);
  const end = ms + horizonMs;
  let at = (Math.floor(ms / minuteMs) + 1) * minuteMs;
  while (at < end) {
    const { month, day, weekday, hour, minute } = clock(at);
    const isDay = schedule.isEitherDay
      ? schedule.days.has(day) || schedule.weekdays.has(weekday)
      : schedule.days.has(day) && schedule.weekdays.has(weekday);
    if (!schedule.months.has(month) || !isDay) {
      // Close to the end of the day, and not beyond: a change of clocks may make it shorter.
      at += Math.max(1, 21 - hour) * hourMs - minute * minuteMs;
    } else if (!schedule.hours.has(hour)) at += (60 - minute) * minuteMs;
    else if (!schedule.minutes.has(minute)) at += minuteMs;
    else return at;
  }
  return undefined;
}
