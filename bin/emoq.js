#!/usr/bin/env node
import module from 'node:module';
import { nodeVersionProblem } from './node-version.js';

const problem = nodeVersionProblem(process.versions.node);
if (problem !== undefined) {
  process.stderr.write(`${problem}\n`);
  process.exit(2);
}
// Keeps compiled code between runs, in the folder for temporary files or in NODE_COMPILE_CACHE; from Node 22 on.
module.enableCompileCache?.();
const { main } = await import('../dist/cli/index.js');
await main(process.argv);
