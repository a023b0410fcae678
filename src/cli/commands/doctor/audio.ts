/** @file ffmpeg and ffprobe, and what this build of ffmpeg lacks. */

import { errorMessage } from '../../../base/index.js';
import {
  FFMPEG_PARTS,
  type FfmpegMetadata,
  findProgram,
  inspectFfmpeg,
  inspectProgram,
} from '../../../data/audio/index.js';
import { type Check, checked, installCommand } from './check.js';
import type { ProbeContext } from './probes.js';

/** An experiment of text alone hears nothing. */
export async function audioChecks({ experiment }: ProbeContext): Promise<Check[]> {
  return Promise.all([ffmpegCheck(experiment?.recipe.inputs !== 'text'), ffprobeCheck()]);
}

async function ffmpegCheck(needed: boolean): Promise<Check> {
  const path = await findProgram('ffmpeg');
  const named = process.env.FFMPEG_PATH;
  const ignored = named && path !== named ? `FFMPEG_PATH names ${named}, which does not exist; ` : '';
  if (path === undefined) {
    const found = `${ignored}there is none on the path`;
    return checked('ffmpeg', 'missing', found, { needed, mend: installCommand('ffmpeg') });
  }
  let facts: FfmpegMetadata;
  try {
    facts = await inspectFfmpeg(path);
  } catch (error) {
    const mend = path === named ? 'unset FFMPEG_PATH' : installCommand('ffmpeg');
    return checked('ffmpeg', 'missing', errorMessage(error), { needed, mend, facts: { path } });
  }
  const { version, missing } = facts;
  const rest = {
    needed,
    facts: {
      path,
      version,
      parts: FFMPEG_PARTS.map((part) => {
        const { kind, name, use } = part;
        return { kind, name, use, present: !missing.includes(part) };
      }),
    },
  };
  const found = `${ignored}${version}, ${path}`;
  if (missing.length > 0) {
    const lacks = [...new Set(missing.map(({ use }) => use))].map((use) => {
      const names = missing.filter((part) => part.use === use).map(({ kind, name }) => `${kind} ${name}`);
      return `${names.join(', ')} (${use})`;
    });
    const status = missing.some(({ essential }) => essential) ? 'missing' : 'warning';
    const mend = named === path ? 'unset FFMPEG_PATH' : installCommand('ffmpeg');
    return checked('ffmpeg', status, `${found}; was built without ${lacks.join(', ')}`, { ...rest, mend });
  }
  if (ignored) return checked('ffmpeg', 'warning', found, { ...rest, mend: 'unset FFMPEG_PATH' });
  return checked('ffmpeg', 'ok', `${found}, with all that emoq asks of it`, rest);
}

/** emoq itself does without it; its tests do not. */
async function ffprobeCheck(): Promise<Check> {
  const path = await findProgram('ffprobe');
  const mend = installCommand('ffmpeg');
  if (path === undefined) {
    return checked('ffprobe', 'warning', "there is none on the path; only emoq's tests use it", { mend });
  }
  try {
    const { version } = await inspectProgram(path);
    return checked('ffprobe', 'ok', `${version}, ${path}`, { facts: { path, version } });
  } catch (error) {
    const found = `${errorMessage(error)}; only emoq's tests use it`;
    return checked('ffprobe', 'warning', found, { mend, facts: { path } });
  }
}
