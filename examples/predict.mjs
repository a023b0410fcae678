// Predicts emotions with a bundle, in Node: npm install emoq, and ffmpeg.
//
//   node predict.mjs BUNDLE RECORDING...
//
// Prints a line of JSON for each recording, as soon as it is judged.

import { openBundle } from 'emoq';

const [folder, ...paths] = process.argv.slice(2);
const bundle = await openBundle(folder, { onWarning: console.warn });
try {
  for await (const { recording, label, probabilities, notes, error } of bundle.predict(paths)) {
    console.log(JSON.stringify({ path: recording, label, probabilities, notes, error }));
  }
} finally {
  await bundle.close();
}
