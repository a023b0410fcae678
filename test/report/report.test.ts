/** @file The report as text: complete without data, and safe against network access and injected markup. */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { breakable } from '../../src/report/blocks.js';
import { type ReportData, renderReport, reportPlots } from '../../src/report/index.js';
import { hostileReportData, hostileText, reportData } from './report-data.js';

const allSections = [
  'headline',
  'spread',
  'confusion',
  'classes',
  'calibration',
  'noise',
  'map',
  'training',
  'ablations',
  'mistakes',
  'recipe',
  'prompt',
  'metadata',
  'absent',
];

/** A run without any optional data. */
function bareData(): ReportData {
  const { scores, labels, utterances, baselines } = reportData({ utterances: 40 });
  return {
    name: 'bare',
    phase: 'stage 1',
    about: {
      system: 'emoq: a test',
      backbones: [],
      corpus: null,
      utterances: { train: null, dev: null, test: null },
      split: null,
    },
    layers: [],
    noise: null,
    isPrompted: false,
    labels,
    unfinished: [],
    missing: ['fold 3'],
    baselines,
    scores,
    intervals: null,
    calibration: null,
    paper: null,
    utterances: utterances.map((each) => ({ ...each, speaker: null, text: '', probabilities: null })),
    map: { kind: 'missing', reason: 'There is no map, because the run has no embeddings.' },
    curves: [],
    mistakes: [],
    ablations: [],
    recipe: '',
    prompt: null,
    versions: {},
    metadata: [],
  };
}

const kinds: [string, ReportData][] = [
  ['of one run', reportData()],
  ['of folds', reportData({ folds: 5, labels: ['neutral', 'happy', 'sad', 'angry'] })],
  ['of hostile names', hostileReportData()],
  ['of a run without anything', bareData()],
];

const idsOf = (html: string): string[] => [...html.matchAll(/\sid="([^"]+)"/g)].map((match) => match[1]!);

/** The sections that the data have something for; if they lack any, the last lists these. */
function expectedSections(data: ReportData): string[] {
  const isThere: Record<string, boolean> = {
    spread: data.scores.kind !== 'single',
    calibration: data.calibration !== null,
    noise: data.noise !== null,
    map: data.map.kind === 'map',
    training: data.curves.length > 0,
    ablations: data.ablations.length > 0,
    mistakes: data.mistakes.length > 0,
    recipe: data.recipe !== '',
    prompt: data.prompt !== null,
    metadata: data.metadata.length > 0,
  };
  const { noise: _, ...listed } = isThere; // noise is only named where it was measured
  isThere.absent = Object.values(listed).includes(false);
  return allSections.filter((name) => isThere[name] ?? true);
}

describe.each(kinds)('a report %s', (_, data) => {
  const sections = expectedSections(data);
  const html = renderReport(data);

  it('has every section, in order, each with a heading', () => {
    const found = [...html.matchAll(/<section id="([^"]+)"/g)].map((match) => match[1]);
    expect(found).toEqual(sections);
    const levels = [...html.matchAll(/<h([1-6])[\s>]/g)].map((match) => Number(match[1]));
    expect(levels[0]).toBe(1);
    expect(levels.filter((level) => level === 1)).toHaveLength(1);
    expect(levels.every((level, i) => i === 0 || level <= levels[i - 1]! + 1)).toBe(true);
  });

  it('has ids that are unique, and refers only to those', () => {
    const ids = idsOf(html);
    expect(new Set(ids).size).toBe(ids.length);
    const references = [...html.matchAll(/\s(?:aria-labelledby|aria-describedby)="([^"]+)"/g)].flatMap(
      (match) => match[1]!.split(' '),
    );
    const anchors = [...html.matchAll(/href="#([^"]+)"/g)].map((match) => match[1]!);
    const saved = [...html.matchAll(/data-save="([^"]+)"/g)].map((match) => `figure-${match[1]}`);
    expect(anchors).toHaveLength(sections.length + 1);
    for (const name of [...references, ...anchors, ...saved]) expect(ids).toContain(name);
  });

  it('refers to nothing outside itself', () => {
    const urls = [...html.matchAll(/\b(?:src|href|action|data|poster)="([^"]*)"/g)].map((match) => match[1]!);
    expect(urls.filter((url) => !url.startsWith('#') && !url.startsWith('data:'))).toEqual([]);
    expect(html.replaceAll('xmlns="http://www.w3.org/2000/svg"', '')).not.toMatch(
      /(?:https?:)?\/\/[a-z]+\.[a-z]/i,
    );
    expect(html).not.toMatch(/@import|url\(/);
  });

  it('allows its own script and style by checksum, and no other', () => {
    const policy = /<meta http-equiv="Content-Security-Policy" content="([^"]+)">/.exec(html)![1]!;
    const sha = (text: string): string => `sha256-${createHash('sha256').update(text).digest('base64')}`;
    const script = /<script type="module">([\s\S]*?)<\/script>/.exec(html)![1]!;
    const style = /<style>([\s\S]*?)<\/style>/.exec(html)![1]!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain(`script-src '${sha(script)}'`);
    expect(policy).toContain(`style-src '${sha(style)}'`);
    expect(policy).not.toContain('unsafe');
    // Such a policy refuses style attributes and handlers, so there must be none.
    const tags = html.replace(script, '').match(/<[a-z](?:"[^"]*"|[^">])*>/g)!;
    const names = tags.flatMap((tag) =>
      [...tag.replace(/"[^"]*"/g, '').matchAll(/\s([a-z-]+)/gi)].map((m) => m[1]!),
    );
    expect(names.length).toBeGreaterThan(100);
    expect(names.filter((name) => /^(?:style$|on)/i.test(name))).toEqual([]);
  });

  it('has tables with captions and headings', () => {
    const tables = html.match(/<table>[\s\S]*?<\/table>/g)!;
    for (const table of tables) {
      expect(table).toMatch(/^<table>\n<caption>[^<]+<\/caption>/);
      const columns = table.match(/<th scope="col"/g)!.length;
      for (const row of table.match(/<tr><th scope="row">.*<\/tr>/g) ?? []) {
        expect(row.match(/<t[hd][\s>]/g)).toHaveLength(columns);
      }
    }
  });

  it('is the same bytes for the same data, and draws no number that is none', () => {
    expect(renderReport(data) === html).toBe(true);
    const odd = reportPlots(data).filter(({ svg }) => /NaN|Infinity|undefined/.test(svg));
    expect(odd.map(({ name }) => name)).toEqual([]);
  });
});

describe('a report of runs whose training had not ended', () => {
  it('says so next to the figures, with the names of the runs', () => {
    const headline = (unfinished: string[]): string =>
      /<section id="headline"[\s\S]*?<\/section>/.exec(renderReport({ ...reportData(), unfinished }))![0];
    expect(headline(['runs/<a>/stage2'])).toContain(
      'The training of runs/&#60;a&#62;/stage2 had not ended: these are figures of the best epoch so far.',
    );
    expect(headline(['x', 'y'])).toContain(
      'The trainings of x, y had not ended: these are figures of their best epochs so far.',
    );
    expect(headline([])).not.toContain('had not ended');
  });
});

describe('a report without data', () => {
  const html = renderReport(bareData());
  const textOf = (name: string): string =>
    new RegExp(`<section id="${name}"[\\s\\S]*?</section>`)
      .exec(html)![0]
      .replace(/<svg[\s\S]*?<\/svg>|<[^>]+>/g, ' ');

  it('says in its headline what it lacks', () => {
    expect(textOf('headline')).toMatch(/no intervals.*no row of the paper/s);
  });

  it.each([
    ['training', 'Training', /no training curves, because/],
    ['calibration', 'Calibration', /because the predictions have no probabilities/],
    ['map', 'Map of the embeddings', /no map, because the run has no embeddings/],
    ['mistakes', 'Worst mistakes', /because the predictions have no probabilities/],
    ['spread', 'Folds and seeds', /because this is a single run/],
    ['ablations', 'Ablations', /because none was run/],
    ['recipe', 'Recipe', /no recipe/],
    ['prompt', 'Prompt', /stage 1 has no language model/],
    ['metadata', 'Versions and metadata', /No versions.*no further metadata/s],
  ])('has no section %s, and lists why', (name, title, reason) => {
    expect(html).not.toContain(`<section id="${name}"`);
    const row = new RegExp(`<tr><th scope="row"><bdi>${title}</bdi></th>.*</tr>`).exec(html)![0];
    expect(row.replace(/<[^>]+>/g, '')).toMatch(reason);
  });

  it('has the user part of utterances without a transcript where it is another', () => {
    const data = reportData({ utterances: 40 });
    const heading = 'User part without a transcript';
    expect(renderReport(data)).not.toContain(heading);
    const prompt = { ...data.prompt!, user_without_text: 'Nobody wrote it down.' };
    const html = renderReport({ ...data, prompt });
    expect(html.indexOf('Nobody wrote it down.')).toBeGreaterThan(html.indexOf(heading));
  });

  it('does not call a perfect result missing', () => {
    const data = reportData({ utterances: 40 });
    const perfect = { ...data, mistakes: [], scores: { ...data.scores, wa: 1 } } as ReportData;
    expect(renderReport(perfect).includes('every utterance was predicted correctly')).toBe(true);
  });

  it('distinguishes a list that was not requested from an impossible one', () => {
    const data = { ...reportData({ utterances: 40 }), mistakes: [] };
    expect(renderReport(data)).toContain('There is no list, because none was requested.');
    const utterances = data.utterances.map((each) =>
      each.predicted === each.reference ? each : { ...each, predicted: null },
    );
    expect(renderReport({ ...data, utterances })).toContain('every answered utterance was');
  });
});

describe('places where a line may break', () => {
  it('are after the separators of ids and paths, in checksums, and not in numbers', () => {
    const broken = (text: string): string[] => breakable(text).split('<wbr>');
    expect(broken('Ses01F_impro04_F012')).toEqual(['Ses01F_', 'impro04_', 'F012']);
    expect(broken('001_002')).toEqual(['001_', '002']);
    expect(broken('facebook/hubert-large-ll60k')).toEqual(['facebook/', 'hubert-', 'large-', 'll60k']);
    expect(broken('audio/a.wav')).toEqual(['audio/', 'a.', 'wav']);
    expect(broken('64.0 – 67.7, 0:05, 3-4, 1,000')).toHaveLength(1);
    expect(broken('ab'.repeat(32))).toEqual(Array(8).fill('abababab'));
    expect(broken('<b>_"x')).toEqual(['&#60;b&#62;_&#34;x']);
  });
});

describe('user-provided text', () => {
  const html = renderReport(hostileReportData());

  it('stays text: there are two script elements, and no image', () => {
    expect(html.match(/<script[\s>]/g)).toHaveLength(2);
    expect(html.match(/<\/script>/g)).toHaveLength(2);
    expect(html.match(/<img/g)).toBeNull();
  });

  it('is unchanged in the points of the map', () => {
    const json = /<script type="application\/json"[^>]*>([\s\S]*?)<\/script>/.exec(html)![1]!;
    const { labels, text, id } = JSON.parse(json) as Record<'labels' | 'text' | 'id', string[]>;
    expect([labels[0], text[0], id[0]]).toEqual([hostileText, hostileText, `${hostileText} 0`]);
  });
});

describe('the plots', () => {
  it('have names that make good file names, each once', () => {
    const names = reportPlots(reportData({ folds: 3 })).map(({ name }) => name);
    expect(names).toEqual([
      'headline',
      'confusion',
      ...[1, 2].flatMap((stage) =>
        ['loss', 'gradient-norm', 'learning-rate', 'validation'].map((plot) => `stage${stage}-${plot}`),
      ),
      'classes',
      'reliability',
      'noise',
      'map-labels',
      'map-correctness',
      'spread',
      'ablation-1',
    ]);
    expect(reportPlots(bareData()).map(({ name }) => name)).toEqual(['headline', 'confusion', 'classes']);
  });
});

describe('the types of the browser', () => {
  it('are used by the script of the page alone', () => {
    const folder = mkdtempSync(join(tmpdir(), 'emoq-types-'));
    const root = fileURLToPath(new URL('../../', import.meta.url));
    const config = {
      extends: join(root, 'tsconfig.json'),
      compilerOptions: { noEmit: true, incremental: false, tsBuildInfoFile: null, rootDir: root },
      include: [join(root, 'src')],
      exclude: [join(root, 'src/report/page-script.ts')],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const typeRoots = join(root, 'node_modules/@types');
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout, error } = spawnSync(
      process.execPath,
      [compiler, '-p', folder, '--typeRoots', typeRoots],
      {
        encoding: 'utf8',
      },
    );
    rmSync(folder, { recursive: true });
    expect(error).toBeUndefined();
    expect(stdout.split('\n').filter((line) => /Cannot find name|TS5\d{3}|TS18003/.test(line))).toEqual([]);
  });
});

describe('the table of validation figures', () => {
  const rowsWith = (runs: number): number => {
    const data = reportData({ epochs: 3 });
    const curve = { ...data.curves[0]!, selectedEpoch: 2 };
    const curves = Array.from({ length: runs }, (_, run) => ({ ...curve, title: `run ${run}` }));
    const html = renderReport({ ...data, curves });
    const table = /The validation figures as a table[\s\S]*?<\/details>/.exec(html)![0];
    return table.split('<tr>').length - 2; // everything before it, and the head
  };

  it('has every epoch of a few runs, and of many the one that was kept', () => {
    expect(rowsWith(8)).toBe(8 * 3);
    expect(rowsWith(9)).toBe(9);
  });
});
