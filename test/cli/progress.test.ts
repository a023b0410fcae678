/** @file Progress lines, interruptions and error reports, without a terminal. */

import { afterEach, describe, expect, it, vi } from 'vitest';
import { formatDuration } from '../../src/base/checksums.js';
import { formatBytes, InputError, InterruptedError, UnavailableError } from '../../src/base/index.js';
import { type ProgressScreen, startProgress } from '../../src/cli/progress.js';
import { reportError } from '../../src/cli/terminal-output.js';

import { run } from './command-line.js';

interface FakeScreen extends ProgressScreen {
  sec: number;
  lines: string[];
  statuses: string[];
}

function fakeScreen(isTerminal: boolean): FakeScreen {
  const screen: FakeScreen = {
    isTerminal,
    sec: 0,
    lines: [],
    statuses: [],
    status: (text) => void screen.statuses.push(text),
    line: (text) => void screen.lines.push(text),
    nowSec: () => screen.sec,
  };
  return screen;
}

function work(screen: FakeScreen, seconds: number, perSec: number, from = 0): void {
  const progress = startProgress({ label: 'converting', unit: 'clips' }, screen);
  const total = from + seconds * perSec;
  for (let tenth = 0; tenth <= seconds * 10; tenth++) {
    screen.sec = tenth / 10;
    progress.update(from + Math.floor((tenth / 10) * perSec), total);
  }
  progress.finish();
}

describe('progress', () => {
  it('of under two seconds leaves no trace', () => {
    for (const isTerminal of [true, false]) {
      const screen = fakeScreen(isTerminal);
      work(screen, 1.9, 10);
      expect(screen.lines).toEqual([]);
      expect(screen.statuses.at(-1) ?? '').toBe('');
    }
  });

  it('on a terminal is one moving line with rate and time left, then a summary', () => {
    const screen = fakeScreen(true);
    work(screen, 60, 20);
    expect(screen.statuses).toContain('converting: 600 of 1,200 clips, 20 clips/s, 30 s left');
    expect(screen.statuses.at(-1)).toBe('');
    expect(screen.lines).toEqual(['converting: 1,200 clips in 1 min 00 s (20 clips/s)']);
  });

  it('in a log is a line now and then', () => {
    const screen = fakeScreen(false);
    work(screen, 100, 20);
    expect(screen.statuses).toEqual([]);
    expect(screen.lines).toHaveLength(4);
    expect(screen.lines[0]).toBe('converting: 600 of 2,000 clips, 20 clips/s, 1 min 10 s left');
  });

  it('does not count as speed what was done before', () => {
    const screen = fakeScreen(true);
    work(screen, 10, 20, 1_000_000);
    expect(screen.lines).toEqual(['converting: 1,000,200 clips in 10 s (20 clips/s)']);
  });

  it('of an unknown total has no time left', () => {
    const screen = fakeScreen(false);
    const progress = startProgress({ label: 'reading', unit: 'rows' }, screen);
    progress.update(0, null);
    screen.sec = 40;
    progress.update(80, null, 'part 2');
    expect(screen.lines).toEqual(['reading: 80 rows, 2.00 rows/s, part 2']);
  });

  it('of bytes reads as files do', () => {
    const screen = fakeScreen(true);
    const progress = startProgress({ label: 'fetching a/b', unit: 'bytes' }, screen);
    progress.update(500_000_000, 2.5e9);
    screen.sec = 10;
    progress.update(1.0e9, 2.5e9);
    expect(screen.statuses.at(-1)).toBe('fetching a/b: 1 GB of 2.5 GB, 50 MB/s, 30 s left');
    screen.sec = 40;
    progress.update(2.5e9, 2.5e9);
    progress.finish();
    expect(screen.lines).toEqual(['fetching a/b: 2.5 GB in 40 s (50 MB/s)']);
    expect([0, 999, 1000, 28_123, 999_600, 377_569_754, 3.946e9, 1.52e12].map(formatBytes)).toEqual([
      ...['0 bytes', '999 bytes', '1 kB', '28.1 kB', '1 MB', '378 MB', '3.95 GB', '1,520 GB'],
    ]);
  });

  it('says durations as people do', () => {
    expect([0.44, 9.94, 36.2, 59.7, 250, 3599.9, 3900, 7199].map(formatDuration)).toEqual([
      '0.4 s',
      '9.9 s',
      '36 s',
      '1 min 00 s',
      '4 min 10 s',
      '1 h 00 min',
      '1 h 05 min',
      '2 h 00 min',
    ]);
  });
});

describe('errors', () => {
  afterEach(() => vi.restoreAllMocks());

  function reported(error: unknown, debug = false): { code: number; text: string } {
    let text = '';
    vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
      text += chunk;
      return true;
    });
    return { code: reportError(error, debug), text };
  }

  it('of input are exit code 2 and a line for each mistake', () => {
    expect(reported(new InputError('one\ntwo'))).toEqual({ code: 2, text: 'error: one\nerror: two\n' });
  });

  it('of the world outside are exit code 1 and one line', () => {
    expect(reported(new UnavailableError('no network'))).toEqual({ code: 1, text: 'error: no network\n' });
  });

  it('of interruption are exit code 130 and say how to resume', () => {
    expect(reported(new InterruptedError('saved; run again'))).toEqual({
      code: 130,
      text: 'saved; run again\n',
    });
    expect(reported(new DOMException('x', 'AbortError')).code).toBe(130);
  });

  it('of a file that may not be written name it, without its temporary name', () => {
    const error = new Error("EACCES: permission denied, open 'runs/a/report.html.42-0a1b2c3d.tmp'");
    expect(reported(error)).toEqual({
      code: 1,
      text: 'error: no permission for runs/a/report.html (EACCES, open); change that, or choose another path\n',
    });
    expect(reported(new Error("EROFS: read-only file system, mkdir '/mnt/runs'")).text).toBe(
      'error: the file system is read-only: /mnt/runs (EROFS, mkdir); change that, or choose another path\n',
    );
  });

  it('of any other kind are exit code 1, one line, and a stack under --debug only', () => {
    const error = new TypeError('broken\nwith details');
    expect(reported(error)).toEqual({
      code: 1,
      text: 'error: broken\nRun again with --debug to see where.\n',
    });
    expect(reported(error, true).text).toContain('    at ');
    expect(reported('a string')).toMatchObject({ code: 1 });
  });
});

describe('Ctrl-C', () => {
  const script = (work: string) => `
    import { withInterrupts } from ${JSON.stringify(new URL('../../dist/cli/interrupt.js', import.meta.url).href)};
    const done = await withInterrupts('finishing this step', async (signal) => {
      ${work}
    });
    console.log(done);`;
  const node = (work: string) => run(process.execPath, ['--input-type=module', '-e', script(work)]);

  it('once lets the work end and save', async () => {
    const outcome = await node(`
      process.kill(process.pid, 'SIGINT');
      while (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5));
      return 'saved';`);
    expect(outcome).toMatchObject({
      code: 0,
      stdout: 'saved\n',
      stderr: 'finishing this step; press Ctrl-C again to exit at once\n',
    });
  });

  it('twice leaves at once with 130', async () => {
    const outcome = await node(`
      process.kill(process.pid, 'SIGINT');
      signal.addEventListener('abort', () => setTimeout(() => process.kill(process.pid, 'SIGINT'), 5));
      await new Promise((resolve) => setTimeout(resolve, 60_000));
      return 'never';`);
    expect(outcome).toMatchObject({ code: 130, stdout: '' }); // without what it says when its wait is over
  });

  it('twice ends a step in native code with the signal', async () => {
    const outcome = await node(`
      const { Worker } = await import('node:worker_threads');
      const step = "require('node:crypto').pbkdf2Sync('a', 'b', 60_000_000, 64, 'sha512')"; // for a quarter of a minute
      const worker = new Worker(step, { eval: true, execArgv: [] });
      worker.on('online', () => setTimeout(() => process.kill(process.pid, 'SIGINT'), 200));
      signal.addEventListener('abort', () => setTimeout(() => process.kill(process.pid, 'SIGINT'), 5));
      await new Promise((resolve) => setTimeout(resolve, 60_000));
      return 'never';`);
    expect(outcome).toMatchObject({ code: null, stdout: '' }); // 130 would mean that it waited for the step
  }, 60_000);

  it('afterwards belongs to Node again', async () => {
    const outcome = await node(`return process.listenerCount('SIGINT') + process.listenerCount('SIGTERM');`);
    expect(outcome.stdout).toBe('2\n');
  });
});
