#!/usr/bin/env node
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 20)) {
  process.stderr.write(
    `emoq needs Node 20.20 or newer; this is ${process.version}. Install a newer Node and run again.\n`,
  );
  process.exit(2);
}
const { main } = await import('../dist/cli/index.js');
await main(process.argv);
