/** @file Checks for ffmpeg and ffprobe, and for components this build of ffmpeg lacks. */

import { errorMessage } from '../../../base/index.js';
import {
  FFMPEG_PARTS,
  type FfmpegMetadata,
  findProgram,
  inspectFfmpeg,
  inspectProgram,
} from '../../../data/audio/index.js';
import { type CheckResult, checked, installCommand } from './check-result.js';

/** @param needed false for an experiment that uses text only */
export async function ffmpegChecks(needed: boolean): Promise<CheckResult[]> {
  return Promise.all([ffmpegCheck(needed), ffprobeCheck()]);
}

async function ffmpegCheck(needed: boolean): Promise<CheckResult> {
  const path = await findProgram('ffmpeg');
  const named = process.env.FFMPEG_PATH;
  const ignored = named && path !== named ? `FFMPEG_PATH names ${named}, which does not exist; ` : '';
  if (path === undefined) {
    const found = `${ignored}not found on the PATH`;
    return checked('ffmpeg', 'missing', found, { needed, fix: installCommand('ffmpeg') });
  }
  let build: FfmpegMetadata;
  try {
    build = await inspectFfmpeg(path);
  } catch (error) {
    const fix = path === named ? 'unset FFMPEG_PATH' : installCommand('ffmpeg');
    return checked('ffmpeg', 'missing', errorMessage(error), { needed, fix, details: { path } });
  }
  const { version, missing } = build;
  const rest = {
    needed,
    details: {
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
    const withoutParts = [...new Set(missing.map(({ use }) => use))].map((use) => {
      const names = missing.filter((part) => part.use === use).map(({ kind, name }) => `${kind} ${name}`);
      return `${names.join(', ')} (${use})`;
    });
    const status = missing.some(({ essential }) => essential) ? 'missing' : 'warning';
    const fix = named === path ? 'unset FFMPEG_PATH' : installCommand('ffmpeg');
    return checked('ffmpeg', status, `${found}; was built without ${withoutParts.join(', ')}`, {
      ...rest,
      fix,
    });
  }
  if (ignored) return checked('ffmpeg', 'warning', found, { ...rest, fix: 'unset FFMPEG_PATH' });
  return checked('ffmpeg', 'ok', `${found}, with all components that emoq uses`, rest);
}

/** Only emoq's tests need it. */
async function ffprobeCheck(): Promise<CheckResult> {
  const path = await findProgram('ffprobe');
  const fix = installCommand('ffmpeg');
  if (path === undefined) {
    return checked('ffprobe', 'warning', "not found on the PATH; only emoq's tests use it", { fix });
  }
  try {
    const { version } = await inspectProgram(path);
    return checked('ffprobe', 'ok', `${version}, ${path}`, { details: { path, version } });
  } catch (error) {
    const found = `${errorMessage(error)}; only emoq's tests use it`;
    return checked('ffprobe', 'warning', found, { fix, details: { path } });
  }
}
