/** @file The display of a training stage, on a fake screen and clock. */

import { describe, expect, it } from 'vitest';
import { startTrainingView, type TrainingScreen } from '../../src/cli/training-view.js';
import { figureText } from '../../src/evaluation/index.js';
import type { TrainingReport } from '../../src/training/trainer.js';

interface FakeScreen extends TrainingScreen {
  sec: number;
  width: number;
  lines: string[];
  statuses: string[];
  tick: () => void;
  clockRuns: boolean;
}

function fakeScreen(isTerminal: boolean, width = 120): FakeScreen {
  const screen: FakeScreen = {
    ...{ isTerminal, width, sec: 0, lines: [], statuses: [], clockRuns: false, tick: () => undefined },
    status: (text) => void screen.statuses.push(text),
    line: (text) => void screen.lines.push(text),
    nowSec: () => screen.sec,
    columns: () => screen.width,
    memoryBytes: () => 1.24e9,
    everySecond(paint) {
      screen.tick = paint;
      screen.clockRuns = true;
      return () => {
        screen.clockRuns = false;
      };
    },
  };
  return screen;
}

const report = (step: number, more: Partial<TrainingReport> = {}): TrainingReport => ({
  ...{ step, totalSteps: 1000, epoch: Math.floor(step / 100) + 1, epochs: 10, samples: 8 * step },
  figures: {
    ...{ loss: 1.5, gradient_norm: 0.93456, learning_rate_used: 8.1e-6 },
    ...{ contrastive_loss: 1.25, focal_loss: 0.25 },
  },
  best: null,
  ...more,
});

/** Trains at ten steps a second. */
function train(screen: FakeScreen, from: number, to: number): void {
  const view = startTrainingView('stage 1', { step: from, totalSteps: 1000 }, screen);
  for (let step = from; step <= to; step++) {
    screen.sec = (step - from) / 10;
    view.update(report(step, { samples: 8 * (step - from) }));
  }
  view.finish();
}

describe('the view of a training stage', () => {
  it('on a terminal is a panel of position, figures and progress', () => {
    const screen = fakeScreen(true);
    train(screen, 0, 500);
    expect(screen.statuses.at(-2)!.split('\n')).toEqual([
      'stage 1  ████████████░░░░░░░░░░░░  50%  epoch 6/10  step 500 of 1,000',
      'loss 1.5000  contrastive 1.2500  focal 0.2500  gradient norm 0.935  learning rate 8.10e-6',
      '80 samples/s  50 s left  memory 1.24 GB',
    ]);
    expect(screen.statuses.at(-1)).toBe('');
    expect(screen.lines).toEqual(['stage 1: 500 steps in 50 s (80 samples/s)']);
    expect(screen.clockRuns).toBe(false);
  });

  it('is never wider than the terminal, and loses nothing but the bar', () => {
    for (const width of [200, 80, 60, 40, 28]) {
      const screen = fakeScreen(true, width);
      train(screen, 0, 500);
      const panel = screen.statuses.at(-2)!;
      for (const line of panel.split('\n')) expect(line.length).toBeLessThan(width);
      const words = panel.replace(/[█░]/g, '').split(/\s+/);
      for (const word of ['50%', '6/10', '1,000', '1.5000', '0.935', '8.10e-6', '80', '1.24'])
        expect(words, `${word} at ${width}`).toContain(word);
    }
  });

  it('in a log is a line now and then, with the same figures', () => {
    const screen = fakeScreen(false);
    train(screen, 0, 700);
    expect(screen.statuses).toEqual([]);
    expect(screen.lines).toEqual([
      'stage 1: epoch 4/10, step 300 of 1,000, loss 1.5000, contrastive 1.2500, focal 0.2500, gradient norm 0.935, learning rate 8.10e-6, 80 samples/s, 1 min 10 s left, memory 1.24 GB',
      expect.stringContaining('step 600 of 1,000'),
      'stage 1: 700 steps in 1 min 10 s (80 samples/s)',
    ]);
  });

  it('of under two seconds leaves no trace', () => {
    for (const isTerminal of [true, false]) {
      const screen = fakeScreen(isTerminal);
      train(screen, 0, 19);
      expect(screen.lines).toEqual([]);
      expect(screen.statuses.at(-1) ?? '').toBe('');
    }
  });

  it('does not count as speed what an earlier run did', () => {
    const screen = fakeScreen(false);
    train(screen, 900, 1000);
    expect(screen.lines).toEqual(['stage 1: 100 steps in 10 s (80 samples/s)']);
  });

  it('shows a sign of life before the first report, and the best epoch and the validation when they come', () => {
    const screen = fakeScreen(true);
    const view = startTrainingView('stage 2', { step: 0, totalSteps: 1000 }, screen);
    screen.sec = 65;
    screen.tick();
    expect(screen.statuses.at(-1)).toContain('0%  step 0 of 1,000  running the first steps');
    expect(screen.statuses.at(-1)).toContain('1 min 05 s  memory');
    screen.sec = 70;
    view.update(report(100, { best: { epoch: 1, metric: 'loss', value: 1.25 } }));
    screen.sec = 71;
    view.validating(64, 1109);
    expect(screen.statuses.at(-1)).toContain('best loss 1.2500 in epoch 1  validating 64 of 1,109');
    screen.sec = 72;
    view.update(report(100));
    expect(screen.statuses.at(-1)).not.toContain('validating');
  });

  it('shows scores in percent, as eval does, and losses as they are', () => {
    const screen = fakeScreen(true);
    const view = startTrainingView('stage 1', { step: 0, totalSteps: 1000 }, screen);
    screen.sec = 10;
    view.update(report(100, { best: { epoch: 2, metric: 'wf1', value: 0.8125 } }));
    expect(screen.statuses.at(-1)).toContain('best WF1 81.3 % in epoch 2');
    expect(figureText('ua', 0.5)).toBe('UA 50.0 %');
    expect(figureText('nll', 0.5)).toBe('nll 0.5000');
  });

  it('slows down with the work: samples per second are those of the last half minute', () => {
    const screen = fakeScreen(true);
    const view = startTrainingView('stage 1', { step: 0, totalSteps: 1000 }, screen);
    for (let sec = 1; sec <= 100; sec++) {
      screen.sec = sec;
      view.update(report(sec, { samples: sec <= 50 ? 100 * sec : 5000 + 10 * (sec - 50) }));
    }
    expect(screen.statuses.at(-1)).toMatch(/\n10 samples\/s {2}15 min 00 s left/);
  });
});
