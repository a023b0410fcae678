#!/usr/bin/env node
import module from 'node:module';
import v8 from 'node:v8';
import { nodeVersionProblem } from './node-version.js';

const problem = nodeVersionProblem(process.versions.node);
if (problem !== undefined) {
  process.stderr.write(`${problem}\n`);
  process.exit(2);
}
if (module.enableCompileCache) {
  module.enableCompileCache(); // in the folder for temporary files, or in NODE_COMPILE_CACHE
} else {
  // Node 20. Its V8 optimizes functions after a few calls, which takes a sixth of the processor time of a short command.
  // Ten times later, a long one optimizes the same functions.
  v8.setFlagsFromString('--interrupt-budget=675840');
}
const { main } = await import('../dist/cli/index.js');
await main(process.argv);
