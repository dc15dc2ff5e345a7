import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTimeZone, nextTime, parseCronSchedule } from './cron-schedule.ts';

function next(schedule: string, after: string, timeZone?: string): string | undefined {
  const parsed = parseCronSchedule(schedule);
  if (!parsed.ok) return assert.fail(parsed.error);
  const ms = nextTime(parsed.value, Date.parse(after), timeZone);
  return ms === undefined ? undefined : new Date(ms).toISOString().slice(0, 19);
}

test('the next time of a schedule', () => {
  const table: [string, string, string | undefined][] = [
    ['* * * * *', '2026-11-21T20:00:00Z', '2026-11-21T20:01:00'],
    ['*/15 * * * *', '2026-11-21T20:07:30Z', '2026-11-21T20:15:00'],
    ['5/20 * * * *', '2026-11-21T20:07:30Z', '2026-11-21T20:25:00'],
    ['0 9-17/4 * * mon-fri', '2026-11-21T10:00:00Z', '2026-11-23T09:00:00'],
    ['30 4 1,15 * 5', '2026-11-02T00:00:00Z', '2026-11-06T04:30:00'],
    ['30 4 1,15 * *', '2026-11-02T00:00:00Z', '2026-11-15T04:30:00'],
    ['0 0 29 feb ?', '2026-11-02T00:00:00Z', '2028-02-29T00:00:00'],
    ['0 0 30 2 *', '2026-11-02T00:00:00Z', undefined],
    ['@hourly', '2026-11-21T20:59:59Z', '2026-11-21T21:00:00'],
    ['@weekly', '2026-11-21T20:00:00Z', '2026-11-22T00:00:00'],
    ['@yearly', '2026-11-21T20:00:00Z', '2027-01-01T00:00:00'],
    ['@every 90s', '2026-11-21T20:00:00Z', '2026-11-21T20:01:30'],
    ['@every 1h30m', '2026-11-21T20:00:00Z', '2026-11-21T21:30:00'],
  ];
  for (const [schedule, after, expected] of table) assert.equal(next(schedule, after), expected, schedule);
});

test('time zones: the hour that is left out, and the one that comes twice', () => {
  assert.equal(next('0 8 * * *', '2026-01-10T00:00:00Z', 'Asia/Kolkata'), '2026-01-10T02:30:00');
  assert.equal(next('30 2 * * *', '2026-03-28T12:00:00Z', 'Europe/Berlin'), '2026-03-30T00:30:00');
  assert.equal(next('30 2 * * *', '2026-10-24T12:00:00Z', 'Europe/Berlin'), '2026-10-25T00:30:00');
  assert.equal(next('30 2 * * *', '2026-10-25T00:30:00Z', 'Europe/Berlin'), '2026-10-25T01:30:00');
  assert.equal(isTimeZone('Europe/Berlin'), true);
  assert.equal(isTimeZone('Europe/Nowhere'), false);
});

test('what is no schedule is refused with the reason', () => {
  const table: [string, RegExp][] = [
    ['hello', /expected exactly 5 fields, found 1: \[hello\]/],
    ['* * * *', /found 4/],
    ['61 * * * *', /above maximum \(59\)/],
    ['* * 0 * *', /below minimum \(1\)/],
    ['5-1 * * * *', /beyond end/],
    ['*/0 * * * *', /should be a positive number/],
    ['a * * * *', /failed to parse int/],
    ['1/2/3 * * * *', /too many slashes/],
    ['1-2-3 * * * *', /too many hyphens/],
    ['@sometimes', /unrecognized descriptor/],
    ['@every soon', /failed to parse duration/],
  ];
  for (const [schedule, expected] of table) {
    const parsed = parseCronSchedule(schedule);
    assert.match(parsed.ok ? '' : parsed.error, expected, schedule);
  }
});

test('the next time is the same as by trying every minute', () => {
  const field = (least: number, most: number) =>
    fc.oneof(fc.constant('*'), fc.integer({ min: least, max: most }).map(String));
  const schedules = fc.tuple(field(0, 59), field(0, 23), field(1, 31), field(10, 12), field(0, 6));
  const start = fc.integer({
    min: Date.parse('2026-10-01T00:00:00Z'),
    max: Date.parse('2026-12-20T00:00:00Z'),
  });
  fc.assert(
    fc.property(schedules, start, (words, ms) => {
      const parsed = parseCronSchedule(words.join(' '));
      if (!parsed.ok || 'everyMs' in parsed.value) throw new Error('not parsed');
      const { minutes, hours, days, months, weekdays, isEitherDay } = parsed.value;
      let at = (Math.floor(ms / 60_000) + 1) * 60_000;
      const end = at + 10 * 86_400_000;
      for (; at < end; at += 60_000) {
        const date = new Date(at);
        const [isDay, isWeekday] = [days.has(date.getUTCDate()), weekdays.has(date.getUTCDay())];
        if (
          minutes.has(date.getUTCMinutes()) &&
          hours.has(date.getUTCHours()) &&
          months.has(date.getUTCMonth() + 1) &&
          (isEitherDay ? isDay || isWeekday : isDay && isWeekday)
        )
          break;
      }
      const found = nextTime(parsed.value, ms);
      if (at < end) assert.equal(found, at);
      else assert.ok(found === undefined || found >= end);
    }),
    { numRuns: 100 },
  );
});
