/** @file A timeline of two short recordings. */

import type { TimelineRecording } from '../../src/report/index.js';

const labels = ['neutral', 'happy', 'angry', 'sad'];

/** Windows of 4 s with half a second of silence between them; the third is not judged. */
function windowsOf(count: number): TimelineRecording['windows'] {
  return Array.from({ length: count }, (_, i) => {
    const times = { startSec: 4.5 * i, endSec: 4.5 * i + 4 };
    if (i === 2) return { ...times, label: null, probabilities: null, error: 'the features are damaged' };
    const label = (3 * i + 1) % labels.length;
    const probabilities = labels.map((_, k) => (k === label ? 0.7 : 0.1));
    return { ...times, label: labels[label]!, probabilities };
  });
}

export function timelineData(): { title: string; labels: string[]; recordings: TimelineRecording[] } {
  const whole = { label: 'happy', probabilities: [0.15, 0.55, 0.2, 0.1] };
  return {
    title: 'calls.csv',
    labels,
    recordings: [
      { name: 'calls/one.wav', audio: 'calls/one.wav', windows: windowsOf(5), whole, durationSec: 24 },
      { name: 'calls/two.wav', audio: 'calls/two.wav', windows: windowsOf(8), whole },
    ],
  };
}
