/** @file What a report says of how its runs were made. */

import { formatDuration, formatMemory } from '../../base/index.js';
import { figureText } from '../../evaluation/index.js';
import type { RunTimes } from '../../training/runs/index.js';
import { phaseKeys } from '../../training/runs/index.js';
import type { ReadRuns } from './evaluated-runs.js';

/** Name and value of each fact, in the order to show. */
export function reportMetadata(parts: readonly ReadRuns[]): [name: string, value: string][] {
  const [first] = parts;
  const facts = parts.flatMap((part) => part.facts);
  const { manifest, labels } = facts[0]!;
  const seeds = parts.flatMap(({ seed, facts: [fact] }) => [seed ?? fact!.seed]);
  const distinct = (of: (fact: (typeof facts)[number]) => string): string =>
    [...new Set(facts.map(of))].join('; ');
  return [
    ...Object.entries(phaseKeys(facts[0]!)).map(([key, value]): [string, string] => [key, String(value)]),
    ['labels', labels.join(', ')],
    ['manifest', manifest.path],
    ['manifest SHA-256', distinct((fact) => fact.manifest.sha256)],
    ...(['train', 'dev', 'test'] as const).map((part): [string, string] => [
      `${{ train: 'training', dev: 'validation', test: 'test' }[part]} utterances`,
      range(facts.map(({ utterances }) => utterances[part])),
    ]),
    ['training clips cut to max_audio_sec', range(facts.map(({ cropped }) => cropped))],
    ['training transcripts cut for the Former', range(facts.map(({ cut_texts = 0 }) => cut_texts))],
    ...(facts[0]!.prompt?.speaker === undefined
      ? []
      : ([['speaker in the prompt', distinct(({ prompt }) => prompt?.speaker ?? 'name')]] satisfies [
          string,
          string,
        ][])),
    ...(first!.folds === undefined
      ? []
      : ([['folds', String(first!.facts.length)]] satisfies [string, string][])),
    [seeds.length > 1 ? 'seeds' : 'seed', seeds.join(', ')],
    ['trained parameters', range(facts.map(({ parameters }) => parameters.trainable))],
    ['frozen parameters', range(facts.map(({ parameters }) => parameters.frozen))],
    // Without `trained` it is a run that is under way, or of an earlier emoq.
    ['steps', range(facts.map(({ trained, steps }) => trained?.steps ?? steps))],
    ['kept epoch', distinct(({ selected }) => keptEpoch(selected))],
    ...timeMetadata(parts.flatMap(({ times }) => times).filter((each) => each !== null)),
    ['device', distinct(({ device }) => device)],
    ['threads', distinct(({ threads }) => (threads === null ? 'one for each core' : String(threads)))],
    ...(facts[0]!.startedFrom === null
      ? []
      : ([['stage-1 checkpoint SHA-256', distinct((fact) => fact.startedFrom ?? 'none')]] satisfies [
          string,
          string,
        ][])),
    ['trained with', distinct(({ versions }) => versionsText(versions))],
  ];
}

/** When the runs were trained, in what time, how fast and in how much memory. */
function timeMetadata(times: readonly RunTimes[]): [name: string, value: string][] {
  if (times.length === 0) return [];
  const between = (values: readonly number[], text: (value: number) => string): string => {
    const [least, most] = [text(Math.min(...values)), text(Math.max(...values))];
    return least === most ? least : `${least} to ${most}`;
  };
  const day = (time: string): string => `${time.slice(0, 16).replace('T', ' ')} UTC`;
  const [first, last] = [times.map(({ started }) => started).sort(), times.map(({ ended }) => ended).sort()];
  const speeds = times.flatMap(({ utterancesPerSec }) => utterancesPerSec ?? []);
  return [
    ['trained', `${day(first[0]!)} to ${day(last.at(-1)!)}`],
    [
      'time of a run',
      between(
        times.map(({ durationSec }) => durationSec),
        formatDuration,
      ),
    ],
    ...(speeds.length === 0
      ? []
      : ([
          [
            'utterances trained on in a second',
            between(speeds, (value) => String(Number(value.toPrecision(3)))),
          ],
        ] satisfies [string, string][])),
    [
      'peak memory of a run',
      between(
        times.map(({ peakMemoryBytes }) => peakMemoryBytes),
        formatMemory,
      ),
    ],
  ];
}

function range(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const text = (value: number): string => value.toLocaleString('en');
  return least === most ? text(least) : `${text(least)} to ${text(most)}`;
}

function keptEpoch(selected: ReadRuns['facts'][number]['selected']): string {
  if (selected === null) return 'the run is not finished';
  const { epoch, metric, value } = selected;
  return metric === null || value === null
    ? `${epoch}, the last`
    : `${epoch} (validation ${figureText(metric, value)})`;
}

function versionsText(versions: Readonly<Record<string, string>>): string {
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
}
