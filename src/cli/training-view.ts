/** @file Shows training on stderr: a small panel, updated in place, on a terminal; occasional lines in a log. */

import { formatBytes, formatDuration } from '../base/index.js';
import { figureText } from '../evaluation/index.js';
import type { TrainingReport } from '../training/index.js';

import type { ProgressScreen } from './progress.js';

import { errColor, note, showStatus } from './terminal-output.js';

/** Where training is shown; normally stderr, the clock and this process. */
export interface TrainingScreen extends ProgressScreen {
  /** Width of the terminal in characters. */
  columns(): number;
  /** Resident memory of this process, including the model. */
  memoryBytes(): number;
  /** Calls `paint` every second until the returned function is called. */
  everySecond(paint: () => void): () => void;
}

export interface TrainingView {
  update(report: TrainingReport): void;
  /** Called between two reports, during a validation. */
  validating(done: number, total: number): void;
  /** Removes the panel, and prints one summary line if the work took over two seconds. */
  finish(): void;
}

const TERMINAL_INTERVAL_SEC = 0.1;
const LOG_INTERVAL_SEC = 30;
const QUIET_SEC = 2;
/** Samples per second are averaged over this many seconds. */
const RATE_WINDOW_SEC = 30;
const BAR_WIDTH = 24;

/**
 * Starts showing the training of `label`, such as `stage 1, fold 2`.
 * @param start steps completed by earlier processes: they count as done but not towards the speed
 */
export function startTrainingView(
  label: string,
  start: { readonly step: number; readonly totalSteps: number },
  screen: TrainingScreen = stderrScreen,
): TrainingView {
  const startSec = screen.nowSec();
  const intervalSec = screen.isTerminal ? TERMINAL_INTERVAL_SEC : LOG_INTERVAL_SEC;
  let latest: TrainingReport | undefined;
  let validation: string | undefined;
  let shownSec = screen.isTerminal ? startSec + QUIET_SEC / 4 : startSec;
  let shown = false;
  const reports = [{ sec: startSec, samples: 0 }];

  const samplesPerSec = (): number => {
    const [first, last] = [reports[0]!, reports.at(-1)!];
    return last.sec > first.sec ? (last.samples - first.samples) / (last.sec - first.sec) : 0;
  };
  const paint = (): void => {
    const sec = screen.nowSec();
    if (sec - shownSec < intervalSec) return;
    shownSec = sec;
    shown = true;
    const { step, totalSteps } = latest ?? start;
    const left = ((totalSteps - step) * (sec - startSec)) / (step - start.step);
    const parts: PanelParts = {
      label,
      done: step / totalSteps,
      position: positionOf(latest, step, totalSteps),
      figures: figuresOf(latest?.figures ?? {}),
      pace: [
        ...(samplesPerSec() > 0 ? [`${rate(samplesPerSec())} samples/s`] : []),
        ...(Number.isFinite(left) ? [`${formatDuration(left)} left`] : [formatDuration(sec - startSec)]),
        `memory ${formatBytes(screen.memoryBytes())}`,
        ...bestOf(latest),
        ...(validation === undefined ? [] : [validation]),
      ],
    };
    if (screen.isTerminal) screen.status(panelOf(parts, screen.columns()).join('\n'));
    else screen.line(`${label}: ${[...parts.position, ...parts.figures, ...parts.pace].join(', ')}`);
  };
  const stopClock = screen.everySecond(paint);

  return {
    update(report) {
      latest = report;
      validation = undefined;
      const sec = screen.nowSec();
      reports.push({ sec, samples: report.samples });
      while (reports.length > 2 && sec - reports[1]!.sec > RATE_WINDOW_SEC) reports.shift();
      paint();
    },
    validating(done, total) {
      validation = `validating ${count(done)} of ${count(total)}`;
      paint();
    },
    finish() {
      stopClock();
      if (screen.isTerminal && shown) screen.status('');
      const sec = screen.nowSec() - startSec;
      if (sec < QUIET_SEC || latest === undefined) return;
      const { step, samples } = latest;
      screen.line(
        `${label}: ${count(step - start.step)} steps in ${formatDuration(sec)} (${rate(samples / sec)} samples/s)`,
      );
    },
  };
}

interface PanelParts {
  readonly label: string;
  /** Share of all steps that are done. */
  readonly done: number;
  readonly position: readonly string[];
  readonly figures: readonly string[];
  readonly pace: readonly string[];
}

/** The panel's lines, none wider than the terminal; a narrow terminal gets more lines and no bar. */
function panelOf({ label, done, position, figures, pace }: PanelParts, columns: number): string[] {
  const width = columns - 1;
  const percent = `${Math.floor(100 * done)}%`;
  const head = [label, percent, ...position].join('  ');
  const full = Math.round(BAR_WIDTH * done);
  const bar = `${errColor.cyan('█'.repeat(full))}${errColor.dim('░'.repeat(BAR_WIDTH - full))}`;
  const first =
    head.length + BAR_WIDTH + 2 <= width
      ? [[label, bar, percent, ...position].join('  ')]
      : wrapped([label, percent, ...position], width);
  return [...first, ...wrapped(figures, width), ...wrapped(pace, width).map((line) => errColor.dim(line))];
}

/** Joins parts with two spaces, wrapped to as many lines as needed. */
function wrapped(parts: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const joined = lines.length === 0 ? part : `${lines.at(-1)}  ${part}`;
    if (lines.length > 0 && joined.length <= width) lines[lines.length - 1] = joined;
    else lines.push(part);
  }
  return lines;
}

function positionOf(latest: TrainingReport | undefined, step: number, totalSteps: number): string[] {
  const steps = `step ${count(step)} of ${count(totalSteps)}`;
  return latest === undefined
    ? [steps, 'running the first steps']
    : [`epoch ${latest.epoch}/${latest.epochs}`, steps];
}

/** Loss with its parts, gradient norm, learning rate. */
function figuresOf(figures: Readonly<Record<string, number>>): string[] {
  const { loss, gradient_norm: norm, learning_rate_used: learningRate } = figures;
  const parts = Object.entries(figures).filter(([name]) => name.endsWith('_loss'));
  return [
    ...(loss === undefined ? [] : [`loss ${loss.toFixed(4)}`]),
    ...parts.map(([name, value]) => `${name.replace('_loss', '')} ${value.toFixed(4)}`),
    ...(norm === undefined ? [] : [`gradient norm ${norm.toPrecision(3)}`]),
    ...(learningRate === undefined ? [] : [`learning rate ${learningRate.toExponential(2)}`]),
  ];
}

function bestOf(latest: TrainingReport | undefined): string[] {
  const best = latest?.best;
  if (!best || best.value === null) return [];
  return [`best ${figureText(best.metric ?? '', best.value)} in epoch ${best.epoch}`];
}

function count(value: number): string {
  return value.toLocaleString('en');
}

function rate(perSec: number): string {
  return perSec < 10 ? perSec.toFixed(2) : perSec.toFixed(0);
}

const stderrScreen: TrainingScreen = {
  isTerminal: process.stderr.isTTY === true && process.env.TERM !== 'dumb',
  status: showStatus,
  line: note,
  nowSec: () => performance.now() / 1000,
  columns: () => process.stderr.columns || 80,
  memoryBytes: () => process.memoryUsage.rss(),
  everySecond(paint) {
    const timer = setInterval(paint, 1000);
    timer.unref();
    return () => clearInterval(timer);
  },
};
