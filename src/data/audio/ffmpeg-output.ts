/**
 * @file What ffmpeg's messages say: the length and codec of its inputs, whether data was broken or output lost, and one
 * line for a user when it failed.
 */

import { refusedFormat } from './ffmpeg-metadata.js';

/**
 * ffmpeg succeeds on a file that stops in the middle. A clip much shorter than announced is broken if ffmpeg also
 * complained; otherwise its sound may just end before the picture.
 */
export function compareLengths(
  decodedSec: number,
  {
    startSec = 0,
    durationSec = Number.POSITIVE_INFINITY,
  }: { startSec?: number | undefined; durationSec?: number | undefined },
  announcedSec = Number.NaN,
): { wantedSec: number; isShort: boolean } {
  const wantedSec = Math.min(announcedSec - startSec, durationSec);
  return { wantedSec, isShort: decodedSec < 0.9 * wantedSec - 0.25 };
}

/** An output that ffmpeg could not write completely; it may still exit with success. */
const UNWRITTEN =
  /^(?:\[[^\]]*\] )?(?:av_interleaved_write_frame|Error (?:writing|muxing|closing|submitting a packet to the muxer))/;
/** Broken data. Indented lines are the file's own metadata: a title may say anything. */
const COMPLAINT = /^\S.*(?:partial file|corrupt|invalid|error while decoding|failed|do not match)/i;
/** Some versions lose the last frames of FLAC this way, and continue without a sample. */
const SEEK_LOST = /^(?:\[[^\]]*\] )?(?:\S.*: )?could not seek to position/;
/** Ended from outside: by a signal that ffmpeg treats as a request to stop, or cannot catch. */
export const ENDED = /^Exiting normally, received signal \d+|killed with signal SIG(?:KILL|TERM|INT|HUP)/m;

/** Samples that are stored as floats. A codec's output is float too, and may slightly exceed full scale. */
const FLOAT_CODEC = /^(?:pcm_f\d+[lb]e\b|wavpack\b.*\bfltp?\b)/;

/** The length that a file gives, and whether its samples are floats. */
export function describeInput(
  { announcedSec, codecs }: FfmpegReport,
  index: number,
): { fileSec: number | undefined; isFloat: boolean } {
  const fileSec = announcedSec[index];
  return {
    fileSec: Number.isFinite(fileSec) ? fileSec : undefined,
    isFloat: FLOAT_CODEC.test(codecs[index] ?? ''),
  };
}

/** Parsed output of ffmpeg. */
export interface FfmpegReport {
  /** Container duration of each input in seconds; NaN if the file does not give it, or ffmpeg only guesses. */
  announcedSec: number[];
  /** The first audio stream of each input, such as `pcm_f32le ([3][0][0][0] / 0x0003), 16000 Hz, mono, flt`. */
  codecs: string[];
  /** The first line that reports broken data, or ''. */
  complaint: string;
  /** ffmpeg did not find the start of the part; its output may be empty. */
  isSeekLost: boolean;
  /** ffmpeg's full output, if it failed. */
  failure: string | undefined;
}

/** Reads a run's messages, line by line, as they come. */
export function readMessages(): {
  line(line: string): void;
  /** @param failure ffmpeg's full output if the run failed; otherwise an output may still be incomplete */
  report(failure?: string): FfmpegReport;
} {
  const announcedSec: number[] = [];
  const codecs: string[] = [];
  let input = -1;
  let isGuess = false;
  let complaint = '';
  let unwritten: string | undefined;
  let isSeekLost = false;
  return {
    line: (line) => {
      const opened = /^Input #(\d+), /.exec(line);
      if (opened) input = Number(opened[1]);
      if (/^Stream mapping:|^Output #/.test(line)) input = -1;
      const codec = /^(?: {2}){1,2}Stream #\d+:\d+.*?: Audio: (.*)$/.exec(line);
      if (codec && input >= 0) codecs[input] ??= codec[1]!;
      const duration = /^ {2}Duration: ([^,]+),/.exec(line);
      if (duration && input >= 0) {
        announcedSec[input] = isGuess ? Number.NaN : clockToSec(duration[1]!);
        isGuess = false;
      }
      if (/Estimating duration from bitrate/.test(line)) isGuess = true;
      if (COMPLAINT.test(line)) complaint ||= oneLine(line);
      if (UNWRITTEN.test(line)) unwritten ??= line;
      if (SEEK_LOST.test(line)) isSeekLost = true;
    },
    report: (failure = unwritten) => ({ announcedSec, codecs, complaint, isSeekLost, failure }),
  };
}

/** Why a file has no output; follows its name in the message. */
export function explain(failure: string): string {
  if (/matches no streams|does not contain any stream/.test(failure)) return 'has no audio stream';
  const format = refusedFormat(failure);
  if (format !== undefined) {
    return `is not a recording but of ${format}, which emoq does not open: it may name other files; give the recordings themselves`;
  }
  if (/moov atom not found/.test(failure)) return 'is truncated or not a video file (moov atom not found)';
  return `cannot be decoded (ffmpeg: ${mostTelling(failure)})`;
}

/** The most informative line; the last one is fluent-ffmpeg's own. */
export function mostTelling(failure: string): string {
  const lines = failure.trim().split('\n');
  const cause = lines.find((line) => /invalid|error|failed|not found|denied|no space/i.test(line));
  return oneLine(cause ?? lines.at(-1)!);
}

/** Drops the `[demuxer @ 0x55...]` prefix, whose address differs on each run, and keeps one line. */
export function oneLine(text: string): string {
  return text
    .replace(/\[[^\]]* @ 0x[0-9a-f]+\]\s*/g, '')
    .replace(/\s*[\r\n]+\s*/g, '; ')
    .trim()
    .slice(0, 200);
}

function clockToSec(clock: string): number {
  const match = /^(\d+):(\d\d):(\d\d(?:\.\d+)?)$/.exec(clock.trim());
  return match ? Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3]) : Number.NaN;
}
