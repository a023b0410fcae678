/**
 * @file Runs a script in a Node of its own in which onnxruntime-node finds CUDA: the stub. Returns what the stub counted
 * in each section, and what the script left behind.
 */

import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stubFolder } from '../cuda-stub/build.mjs';

/** Against a hang alone: a kernel whose loop depends on values that the stub does not compute. */
const LONGEST_MS = 1_800_000;

/**
 * @param script path of the script, which reads its task with `taskOfThisProcess`
 * @param task its task, as JSON; it also gets `folder`, an empty folder for files
 * @param options `memoryMib`: the memory of the device; `collect(folder)`: reads what the script left there
 * @returns `printed`, the script's output; `sections` of the ledger by name; `collected`
 * @throws Error with the end of the script's output if it fails
 */
export async function runOnStub(script, task, { memoryMib, collect } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'emoq-stub-'));
  const file = (name) => join(folder, name);
  try {
    writeFileSync(file('task.json'), JSON.stringify({ ...task, folder }));
    const output = openSync(file('printed.txt'), 'w');
    const child = spawn(process.execPath, [script], {
      stdio: ['ignore', output, output],
      timeout: LONGEST_MS,
      env: {
        ...process.env,
        LD_LIBRARY_PATH: [join(stubFolder, 'lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':'),
        EMOQ_STUB_LOG: file('ledger.jsonl'),
        EMOQ_STUB_SECTION: 'start',
        EMOQ_STUB_TASK: file('task.json'),
        ...(memoryMib !== undefined && { EMOQ_STUB_MIB: String(memoryMib) }),
      },
    });
    const [code, signal] = await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (...ended) => resolve(ended));
    });
    closeSync(output);
    const printed = readFileSync(file('printed.txt'), 'utf8');
    if (code !== 0)
      throw new Error(
        `a session on the CUDA stub failed (${signal ?? `exit code ${code}`}):\n${endOf(printed)}`,
      );
    const ledger = existsSync(file('ledger.jsonl')) ? readFileSync(file('ledger.jsonl'), 'utf8') : '';
    return { printed, sections: sectionsOf(ledger), collected: collect?.(folder) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The task that `runOnStub` started this process for. */
export function taskOfThisProcess() {
  return JSON.parse(readFileSync(process.env.EMOQ_STUB_TASK, 'utf8'));
}

/** Begins a section of the ledger: what is counted from here on. */
export function beginSection(name) {
  process.env.EMOQ_STUB_SECTION = name;
}

const LINES = 15;

/** An uncaught error with the beginning of its stack, else the last lines; without onnxruntime's own log. */
function endOf(printed) {
  const lines = printed.split('\n').filter((line) => !/^\S+ \S+ \[[VI]:onnxruntime/.test(line));
  const error = lines.findIndex((line) => /^\w*Error: /.test(line));
  const shown = error < 0 ? lines.slice(-LINES) : lines.slice(error, error + LINES);
  return shown.join('\n').slice(0, 4000);
}

function sectionsOf(ledger) {
  const sections = new Map();
  // A section goes over several lines: one for each of its entries.
  for (const part of ledger.split(/^(?=\{"section")/m).filter((part) => part.startsWith('{"section"'))) {
    const { section, usedBytes, peakBytes, entries } = JSON.parse(part);
    sections.set(section, { usedBytes, peakBytes, entries: entries.map(entryOf) });
  }
  return sections;
}

const entryOf = ([kind, label, count, amount]) => ({ kind, label, count, amount });
