/**
 * @file prepare-meld against a plain loop that starts one ffmpeg per clip: `node test/bench/prepare-meld.mjs`. The
 * clips have the release's format (720p H.264 with 48 kHz AAC, 5.1 and stereo, about 3 s) and are made once and
 * hard-linked. Prints its figures as one line of JSON: wall-clock and processor seconds of each side, the better of two
 * rounds.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SPLITS = {
  train: ['train_splits', 96],
  dev: ['dev_splits_complete', 16],
  test: ['output_repeated_splits_test', 16],
};
const HEADER =
  'Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime';
const emoq = fileURLToPath(new URL('../../bin/emoq.js', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'emoq-bench-meld-'));
try {
  const root = join(folder, 'MELD.Raw');
  const clips = writeRelease(root);
  const rounds = [1, 2].map((round) => {
    const out = join(folder, `meld-${round}`);
    const loop = timed('sh', ['-c', plainLoop(root, join(folder, 'loop.wav'))]);
    const prepare = timed(process.execPath, [
      emoq,
      'prepare-meld',
      '--root',
      root,
      '--out',
      out,
      '--allow-incomplete',
    ]);
    const made = readdirSync(join(out, 'audio'), { recursive: true }).filter((name) => name.endsWith('.wav'));
    if (made.length !== clips) throw new Error(`prepare-meld made ${made.length} clips of ${clips}`);
    return { loop, prepare };
  });
  const best = (side) => rounds.map((round) => round[side]).sort((a, b) => a.wallSec - b.wallSec)[0];
  console.log(
    JSON.stringify({ clips, cores: availableParallelism(), loop: best('loop'), prepare: best('prepare') }),
  );
} finally {
  rmSync(folder, { recursive: true });
}

function writeRelease(root) {
  const kinds = [makeClip('surround.mp4', '5.1', 384), makeClip('stereo.mp4', 'stereo', 128)];
  let clips = 0;
  for (const [split, [name, count]] of Object.entries(SPLITS)) {
    mkdirSync(join(root, name), { recursive: true });
    const rows = Array.from({ length: count }, (_, i) => {
      linkSync(kinds[i % 3 === 0 ? 1 : 0], join(root, name, `dia${i}_utt0.mp4`));
      return `${i + 1},Hello.,Joey,neutral,neutral,${i},0,8,21,"00:00:01,000","00:00:04,200"`;
    });
    writeFileSync(join(root, `${split}_sent_emo.csv`), `${[HEADER, ...rows].join('\r\n')}\r\n`);
    clips += count;
  }
  return clips;
}

function makeClip(name, layout, kilobits) {
  const path = join(folder, name);
  const channels = layout === '5.1' ? 6 : 2;
  const sines = Array.from({ length: channels }, (_, i) => `0.3*sin(2*PI*${300 + 100 * i}*t)`).join('|');
  const sound = `aevalsrc=exprs='${sines}':channel_layout=${layout}:s=48000:d=3.2`;
  const picture = 'testsrc2=s=1280x720:r=23.976:d=3.2';
  execFileSync('ffmpeg', [
    ...['-v', 'error', '-f', 'lavfi', '-i', picture, '-f', 'lavfi', '-i', sound],
    ...['-c:v', 'libx264', '-preset', 'veryfast', '-c:a', 'aac', '-b:a', `${kilobits}k`, path],
  ]);
  return path;
}

/** The usual approach without emoq. */
function plainLoop(root, target) {
  const convert = `ffmpeg -nostdin -loglevel error -y -i "$clip" -vn -ac 1 -ar 16000 "${target}"`;
  return `for clip in "${root}"/*/*.mp4; do ${convert}; done`;
}

/** Wall-clock seconds, and processor seconds of the program and all its child processes. */
function timed(program, args) {
  const timing = 'TIMEFORMAT="%R %U %S"; time "$@"';
  const { status, stderr } = spawnSync('bash', ['-c', timing, 'bash', program, ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${program} failed: ${stderr}`);
  const [wallSec, user, system] = stderr.trim().split('\n').at(-1).split(' ').map(Number);
  return { wallSec, processorSec: user + system };
}
