/**
 * @file What ffmpeg may open. It tells a format by a file's content, whatever its name, and some formats are lists of
 * other files or addresses (concat, HLS, DASH, SDP, image sequences, subtitles) or programs (lavfi): a recording that
 * somebody sent must not make ffmpeg read anything else. So formats and protocols are those named here, and no others.
 */

/** Demuxers of recordings that hold their sound in themselves, by ffmpeg's names. */
const FORMATS = [
  ...['wav', 'w64', 'aiff', 'au', 'caf', 'sox', 'voc', 'nistsphere', 'ircam', 'avr', 'iff', 'pvf'],
  ...['flac', 'ape', 'wv', 'tta', 'tak', 'shn', 'dsf', 'oma', 'mlp', 'truehd'],
  ...['mp3', 'aac', 'loas', 'ogg', 'ac3', 'eac3', 'dts', 'dtshd', 'mpc', 'mpc8', 'xwma', 'wve'],
  ...[
    'amr',
    'amrnb',
    'amrwb',
    'gsm',
    'g722',
    'g723_1',
    'g729',
    'qcp',
    'sln',
    'aptx',
    'sbc',
    'codec2',
    'spdif',
  ],
  ...['mov', 'mp4', 'm4a', '3gp', '3g2', 'mj2', 'matroska', 'webm', 'avi', 'asf', 'flv'],
  ...['mpeg', 'mpegts', 'mpegvideo', 'mxf', 'gxf', 'dv', 'rm', 'nut', 'wtv'],
] as const;

/** Options for an input that is a file. */
export const FILE_INPUT_OPTIONS: readonly string[] = restricted('file', FORMATS.join(','));

/** Options for an input that comes through a pipe in one format. */
export function pipeInputOptions(format: string): readonly string[] {
  return restricted('pipe', format);
}

function restricted(protocol: string, formats: string): string[] {
  return ['-protocol_whitelist', protocol, '-format_whitelist', formats];
}

/** The format, in words, of a file that ffmpeg refused because it is not on the list: newer versions do not name it. */
export function refusedFormat(said: string): string | undefined {
  const name = /^\[(\S+) @ [^\]]*\] Format not on whitelist/m.exec(said)?.[1];
  if (name === undefined) return undefined;
  return name.startsWith('in#') ? 'a format' : `the format "${name}"`;
}
