/**
 * @file A section of the check in a process of its own: `node test/gpu/section.mjs NAME OPTIONS`. Each row of results is
 * a line of JSON on its standard output, so that what is done before a failure counts.
 */

import { resolveDevice } from '../../dist/engine/runtime/index.js';
import { sectionNamed } from './sections.mjs';
import { sizes } from './sizes.mjs';

const [name, text] = process.argv.slice(2);
const given = JSON.parse(text);
const section = sectionNamed(name);
const device = resolveDevice(given.device);
const options = { ...given, device, deviceName: given.device, models: sizes[given.size] };
const run = (await import(section.module))[section.run];
await run(options, (row) => console.log(JSON.stringify(row)));
