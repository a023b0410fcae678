/** @file User tables through the commands: renamed columns, dialects, spellings, missing audio. */

import { execFileSync } from 'node:child_process';
import Papa from 'papaparse';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeWorkspace, toyRecipe } from './workspace.js';

const work = makeWorkspace('tables');
afterAll(() => work.remove());

/** Rows of a CSV by column, quotes and all. */
function rowsOf(file: string): Record<string, string>[] {
  const { data } = Papa.parse<Record<string, string>>(work.read(file).toString().trim(), { header: true });
  return data;
}

const sizes = {
  former: { queries: 4, pooling_heads: 4, head_hidden: 64 },
  stage1: { epochs: 1, batch_size: 8, learning_rate: 1e-3 },
};
const predict = (input: string, output: string, run: string, ...rest: string[]): string[] => {
  return ['predict', input, '-o', output, '--run', run, ...rest];
};

beforeAll(async () => {
  await work.smallRun('voice');
  const rows = rowsOf('toy/manifest.csv');
  const lines = rows.map(({ text, label, speaker, split }) => `"${text}",${label},${speaker},${split}`);
  work.file('said.csv', `text,label,speaker,split\n${lines.join('\n')}\n`);
});

describe('predict', () => {
  it('takes a recording, several of them and a folder, and refuses a URL', async () => {
    const three = [1, 2, 3].map((n) => `toy/audio/toy_0000${n}.wav`);
    for (const inputs of [three.slice(0, 1), three]) {
      await work.done('predict', ...inputs, '-o', 'listed.csv', '--run', 'voice');
      expect(rowsOf('listed.csv').map(({ path, error }) => [path, error])).toEqual(
        inputs.map((path) => [path, '']),
      );
    }
    await work.done(...predict('toy/audio', 'folder.csv', 'voice'));
    expect(rowsOf('folder.csv')).toHaveLength(20);
    expect(await work.refused(...predict('https://example.org/x.wav', 'x.csv', 'voice'))).toContain(
      'is a URL',
    );
    const told = await work.refused('prepare-csv', ...three, '--name', 'x');
    expect(told).toContain(
      'name that, with label beside them: (echo path; printf \'"%s"\\n\' toy/audio/toy_00001.wav',
    );
  });

  it('gets a table of several recordings from the command that prepare-csv answers with', async () => {
    const three = [1, 2, 3].map((n) => `toy/audio/toy_0000${n}.wav`);
    const many = [1, 2, 3, 4, 5, 6].map((n) => `few/it's ${n}.wav`);
    for (const [index, name] of many.entries()) work.file(name, work.read(three[index % 3]!));
    for (const clips of [three, many]) {
      const told = await work.refused('prepare-csv', ...clips, '--name', 'x');
      expect(told).toContain(`expected one table, got ${clips.length} files`);
      execFileSync('sh', ['-c', /beside them: (.*)$/.exec(told)![1]!], { cwd: work.dir });
      await work.done(...predict('table.csv', 'several.csv', 'voice'));
      expect(rowsOf('several.csv').map(({ path, error }) => [path, error])).toEqual(
        clips.map((path) => [path, '']),
      );
    }
  });

  it('reads the same rows alike from any dialect, with the answers of the plain table', async () => {
    const rows = rowsOf('toy/manifest.csv').slice(0, 3);
    const cells = rows.map(({ path, text }) => [`toy/${path}`, text!] as const);
    work.file('plain.csv', `path,text\n${cells.map(([path, text]) => `${path},"${text}"`).join('\n')}\n`);
    const excel = cells
      .map(([path, text]) => `${path.replaceAll('/', '\\')};"${text}";;\r\n;;;\r\n`)
      .join('');
    work.file('excel.csv', Buffer.from(`\ufeffsep=;\r\npath;text;;\r\n${excel}`, 'utf16le'));
    const pandas = cells.map(([path, text], index) => `${index},${path},"${text}",nan\n`).join('');
    work.file('pandas.csv', `,path,text,speaker\n${pandas}`);
    const answers = async (name: string) => {
      await work.done(...predict(`${name}.csv`, `${name}-out.csv`, 'voice'));
      return rowsOf(`${name}-out.csv`).map(({ path: _, speaker: __, ...rest }) => rest);
    };
    const plain = await answers('plain');
    expect(plain.map(({ error }) => error)).toEqual(['', '', '']);
    expect(await answers('excel')).toEqual(plain);
    expect(await answers('pandas')).toEqual(plain);
  });

  it('names columns that would go unread, files of nearly that name, and rows without a path', async () => {
    work.file('columns.csv', 'path,Transcript\na.wav,x\n');
    expect(await work.refused(...predict('columns.csv', 'x.csv', 'voice'))).toContain(
      'columns.csv, line 1: column "Transcript" would not be read: rename it to "text", or to something else if it is not that, or say --text-column "Transcript"',
    );
    work.file('wav.csv', 'Path,text\na.wav,x\n');
    expect(await work.refused(...predict('wav.csv', 'x.csv', 'voice'))).toContain('rename "Path" to "path"');
    work.file('utterance.csv', 'path,Utterance\ntoy/audio/toy_00001.wav,x\n');
    const hinted = await work.done(...predict('utterance.csv', 'utterance-out.csv', 'voice'));
    expect(hinted.stderr).toContain(
      'the table has no column "text"; if the transcripts are in "Utterance", say --text-column "Utterance"\n',
    );
    work.file('near.csv', 'path,text\nTOY/audio/toy_00001.WAV,x\nNaN,x\ntoy/audio/toy_00001.wav,NaN\n');
    const { stderr } = await work.done(...predict('near.csv', 'near-out.csv', 'voice'));
    expect(rowsOf('near-out.csv').map(({ error }) => error)).toEqual([
      expect.stringMatching(
        /does not exist; there is .*toy\/audio\/toy_00001\.wav, which is spelt a little differently$/,
      ),
      'line 3: column "path" is empty',
      '',
    ]);
    expect(stderr).toContain('1 of 3 rows have no transcript');
  });
});

describe('prepare-csv, stats and training', () => {
  it('tell of labels that look the same, and merge them where asked', async () => {
    const rows = rowsOf('toy/manifest.csv');
    const lines = rows.map(({ path, label, speaker }, index) => {
      return `toy/${path},${index === 0 ? `${label} \u200b` : label},${index === 1 ? speaker!.toUpperCase() : speaker}`;
    });
    work.file('calls.csv', `path,label,speaker\n${lines.join('\n')}\n`);
    const told = /warning: labels that look or mean the same are different classes: .*\\u200b/;
    const { stderr } = await work.done('prepare-csv', 'calls.csv', '--name', 'calls');
    expect(stderr).toMatch(told);
    expect(stderr).toMatch(/warning: speakers whose names look or mean the same/);
    const stats = await work.done('stats', '--manifest', 'data/calls/manifest.csv');
    expect(stats.stderr).toMatch(told);
    work.file('calls.yaml', toyRecipe('toy', { ...sizes, manifest: 'data/calls/manifest.csv' }));
    const dry = await work.done('stage1', '--recipe', 'calls.yaml', '--dry-run');
    expect(dry.stderr).toMatch(
      /warning: labels are left out that differ only in spelling .*\\u200b" \(1\) for/,
    );
    const trained = await work.done('stage1', '--recipe', 'calls.yaml', '--run', 'calls');
    expect(trained.stderr).toMatch(/warning: labels are left out that differ only in spelling/);
    const merged = await work.done('prepare-csv', 'calls.csv', '--name', 'merged', '--normalize-labels');
    expect(merged.stderr).not.toMatch(told);
    expect(merged.stderr).toMatch(/label ".*\\u200b" \(1\) merged into/);
  });
});

describe('eval', () => {
  it('refuses predictions and references without a value in common, and reports values that differ only in spelling', async () => {
    work.file('other.csv', 'id,reference,label\n1,0,0.0\n2,1,1.0\n');
    expect(await work.refused('eval', '--predictions', 'other.csv')).toContain(
      'reference and label have no value in common',
    );
    work.file('some.csv', 'id,reference,label\n1,joy,joy\n2,sad,Sad\n');
    const { stderr } = await work.done('eval', '--predictions', 'some.csv', '--resamples', '0');
    expect(stderr).toContain('warning: some.csv: the labels "Sad" and "sad" look or mean the same');
    work.file('mixed.csv', 'id,label\n1,joy\n2,SAD\n');
    work.file('plain.csv', 'id,reference,label\n1,joy,joy\n2,sad,sad\n');
    const compared = await work.done('eval', '--compare', 'plain.csv', 'mixed.csv', '--resamples', '0');
    expect(compared.stderr).toContain(
      'plain.csv and mixed.csv: the labels "sad" and "SAD" look or mean the same',
    );
    work.file('upper.csv', 'id,label\n1,JOY\n2,SAD\n');
    expect(await work.refused('eval', '--compare', 'some.csv', 'upper.csv')).toContain('no value in common');
    expect(await work.refused('eval', '--predictions', 'toy/audio/toy_00001.wav')).toContain(
      'is a recording (WAV)',
    );
  });
});

describe('a corpus of transcripts only', () => {
  let prepared: Awaited<ReturnType<typeof work.done>>;
  beforeAll(async () => {
    prepared = await work.done('prepare-csv', 'said.csv', '--name', 'said');
    const settings = { ...sizes, manifest: 'data/said/manifest.csv', inputs: 'text' };
    work.file('said.yaml', toyRecipe('toy', settings));
    await work.done('stage1', '--recipe', 'said.yaml', '--run', 'said');
  });

  it('is prepared, described, trained on, scored, predicted and reported without any audio', async () => {
    expect(prepared.stderr).toContain('the corpus has only transcripts, for experiments with inputs: text');
    const stats = await work.done('stats', '--manifest', 'data/said/manifest.csv');
    expect(stats.stdout).toContain('20 utterances');
    await work.done('eval', '--run', 'said', '--stage', '1', '--resamples', '0');
    const scored = new Map(rowsOf('said/stage1/predictions.csv').map((row) => [row.id, row]));
    await work.done(...predict('said.csv', 'said-out.csv', 'said'));
    const rows = rowsOf('said-out.csv');
    expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, i) => String(i + 1)));
    for (const [id, { label, prob_happy }] of scored) {
      const same = rows[Number(id) - 1]!;
      expect(same.label).toBe(label);
      expect(Number(same.prob_happy)).toBeCloseTo(Number(prob_happy), 5);
    }
    await work.done('report', '--run', 'said', '--stage', '1');
  });

  it('has rows that are named by id where there is one, and needs their transcripts', async () => {
    work.file('ids.csv', 'id,text\nx,Hello there.\ny,\n');
    await work.done(...predict('ids.csv', 'ids-out.csv', 'said'));
    expect(rowsOf('ids-out.csv')).toEqual([
      expect.objectContaining({ id: 'x', error: '' }),
      expect.objectContaining({ id: 'y', label: '', error: 'line 3: column "text" is empty' }),
    ]);
    work.file('none.csv', 'id,Text\nx,Hello\n');
    expect(await work.refused(...predict('none.csv', 'x.csv', 'said'))).toContain('rename "Text" to "text"');
  });

  it('is refused by what needs audio, naming its first utterance', async () => {
    work.file('both.yaml', toyRecipe('toy', { ...sizes, manifest: 'data/said/manifest.csv' }));
    expect(await work.refused('stage1', '--recipe', 'both.yaml', '--run', 'new')).toMatch(
      /data\/said\/manifest\.csv, line 2: utterance 1 has no audio: the corpus has only transcripts; set inputs to text/,
    );
    expect(await work.refused(...predict('said.csv', 'x.csv', 'voice'))).toContain(
      'line 1: missing column "path"',
    );
  });
});
