/** @file Times in a table: seconds, clock times, and what pandas writes for a Timedelta. */

import { numberOf } from './cells.js';

/** As messages show what a time may look like. */
export const TIME_FORMS = 'neither seconds (12.5) nor a time (0:12.5)';

/** `0 days 00:00:01.500000`, `1:02:03.5`, `02:03,5`; days need hours, minutes need two digits of seconds. */
const CLOCK = /^(?:(-?\d+) days?,? \+?)?(?:(\d+):)?(\d{1,2}):(\d\d)(?:[.,](\d+))?$/;
/** ISO 8601, as pandas writes a Timedelta into JSON. */
const DURATION = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;

/**
 * Seconds (`12.5`, `1e-05`), a clock time (`1:02:03.5`, `02:03,5`), a pandas Timedelta (`0 days 00:00:01.500000`) or
 * an ISO 8601 duration (`P0DT0H0M1.5S`) in seconds; undefined where it is none of them, or negative.
 * @param decimalComma also `12,5`, as in tables whose fields something else than commas separates.
 */
export function parseTimeSec(text: string, decimalComma = false): number | undefined {
  const number = numberOf(text, decimalComma);
  if (number !== undefined) return number >= 0 && Number.isFinite(number) ? Math.abs(number) : undefined;
  const clock = CLOCK.exec(text.trim());
  if (clock) {
    const [, days = '0', hours, minutes, seconds, fraction = '0'] = clock;
    const isInRange = Number(seconds) < 60 && (hours === undefined || Number(minutes) < 60);
    if (!isInRange || days.startsWith('-')) return undefined;
    const wholeSec =
      Number(days) * 86_400 + Number(hours ?? 0) * 3600 + Number(minutes) * 60 + Number(seconds);
    return Number(`${wholeSec}.${fraction}`);
  }
  const duration = DURATION.exec(text.trim());
  if (!duration || /[PT]$/.test(text.trim())) return undefined;
  const [, days = '0', hours = '0', minutes = '0', seconds = '0'] = duration;
  const [wholeSec, fraction = '0'] = seconds.split('.');
  const sec = Number(days) * 86_400 + Number(hours) * 3600 + Number(minutes) * 60 + Number(wholeSec);
  return Number(`${sec}.${fraction}`);
}
