/** @file Runs of a stage in processes of their own, several at a time, with a line of progress for each. */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ComputationError, InputError, InterruptedError, UnavailableError } from '../../base/index.js';
import { figureText } from '../../evaluation/index.js';
import type { StageOutcome, TrainingReport } from '../../train/index.js';
import { type Progress, sharedScreen, startProgress } from '../progress.js';
import { note, warn } from '../terminal-output.js';
import type { RunMessage, RunOrder, RunTask, SentError } from './run-messages.js';
import { epochLine } from './stage-run.js';

const WORKER = fileURLToPath(new URL('./run-worker.js', import.meta.url));

/** Trains one run in a process of its own; `name` is what it is called on the screen. */
export type RunTrainer = (name: string, task: RunTask) => Promise<StageOutcome>;

/**
 * Starts a place where runs are shown side by side.
 * @param stop aborted, makes every run finish the steps in hand and save
 */
export function startRunPool(stop: AbortSignal): RunTrainer {
  const nextScreen = sharedScreen();
  return (name, task) => {
    let progress: Progress | undefined;
    let validation: string[] = [];
    return trainInProcess(task, stop, (message) => {
      if (message.kind === 'note') note(`${name}: ${message.text}`);
      else if (message.kind === 'warning') warn(`${name}: ${message.text}`);
      else if (message.kind === 'start') {
        progress = startProgress({ label: name, unit: 'steps' }, nextScreen());
        progress.update(message.step, message.totalSteps);
      } else if (message.kind === 'report') {
        const { report } = message;
        if (report.validation !== undefined) validation = bestOf(report);
        if (report.epochEnded) note(epochLine(name, report));
        progress?.update(report.step, report.totalSteps, [...courseOf(report), ...validation].join(', '));
      }
    }).finally(() => progress?.finish());
  };
}

/** @throws what was thrown in the process, or an Error when it ended without a word */
async function trainInProcess(
  task: RunTask,
  stop: AbortSignal,
  listen: (message: RunMessage) => void,
): Promise<StageOutcome> {
  const child = fork(WORKER, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const order = (message: RunOrder): void => {
    if (child.connected) child.send(message, () => undefined); // gone already: `close` tells
  };
  const onStop = (): void => order({ kind: 'stop' });
  const kill = (): void => void child.kill('SIGKILL'); // a second Ctrl-C leaves at once
  stop.addEventListener('abort', onStop);
  process.on('exit', kill);
  let lastWords = '';
  child.stderr!.on('data', (chunk) => {
    lastWords = (lastWords + String(chunk)).slice(-MOST_LAST_WORDS);
  });
  try {
    return await new Promise<StageOutcome>((resolve, reject) => {
      child.on('message', (message: RunMessage) => {
        if (message.kind === 'ended') resolve(message.outcome);
        else if (message.kind === 'failed') reject(revived(message.error));
        else listen(message);
      });
      child.on('error', reject);
      child.on('close', (code, signal) => reject(new ComputationError(endOf(code, signal, lastWords))));
      order({ kind: 'train', task });
      if (stop.aborted) onStop();
    });
  } finally {
    stop.removeEventListener('abort', onStop);
    process.off('exit', kill);
  }
}

const MOST_LAST_WORDS = 2000;

function endOf(code: number | null, signal: NodeJS.Signals | null, lastWords: string): string {
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  const why = signal === 'SIGKILL' ? '; where memory ran out, use fewer --jobs' : '';
  const line = lastWords.split('\n').findLast((words) => words.trim() !== '');
  return `its process was ended ${how}${why}${line === undefined ? '' : `: ${line.trim()}`}. Run the same command again to go on from the last saved state`;
}

/** Errors that are a line for the user keep their class, and so their exit code. */
function revived({ name, message, stack }: SentError): Error {
  const classes = [InputError, InterruptedError, UnavailableError, ComputationError];
  const known = classes.find((each) => each.name === name);
  const error = known === undefined ? new Error(message) : new known(message);
  if (stack !== undefined) error.stack = stack;
  return error;
}

function courseOf({ epoch, epochs, figures }: TrainingReport): string[] {
  return [
    `epoch ${epoch}/${epochs}`,
    ...(figures?.loss === undefined ? [] : [`loss ${figures.loss.toFixed(4)}`]),
  ];
}

function bestOf({ best }: TrainingReport): string[] {
  return !best || best.value === null
    ? []
    : [`best ${figureText(best.metric ?? '', best.value)} in epoch ${best.epoch}`];
}
