import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/suite/longest-first.js';

// Tests import from src/ (so that types and editors work) and run the compiled dist/ (so that workers and
// relative files are found exactly as users have them). `make test` builds first.
const dist = fileURLToPath(new URL('./dist/', import.meta.url));

export default defineConfig({
  resolve: { alias: [{ find: /^(?:\.\.\/)+src\/(.*)\.js$/, replacement: `${dist}$1.js` }] },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/suite/temporary-folder.ts'],
    sequence: { sequencer: LongestFirst },
    pool: 'forks',
    maxWorkers: 2,
    // Modules are loaded once per worker and not once per file: no test changes what a module holds for good.
    isolate: false,
    // Against a hang alone, and far beyond what a busy machine needs: slowness is no failure.
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    server: { deps: { external: [/\/dist\//] } },
  },
});
