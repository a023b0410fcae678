/** @file Repository rules that import lines can show: layers, entry points, cycles, allowed packages, file headers. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { basename, dirname, join, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));

/** Layers, top first. Imports go down the list, never up or sideways. */
const layers: readonly (readonly string[])[] = [
  ['cli'],
  ['library', 'experiments'],
  ['inference'],
  ['training'],
  ['report'],
  ['report/plots'],
  ['evaluation'],
  ['recipe'],
  ['systems'],
  ['evaluation/metrics'],
  ['data/features', 'data/corpora', 'data/toy-backbones'],
  ['backbones'],
  ['data/audio', 'data/tables', 'data/text'],
  ['nn'],
  ['checkpoints'],
  ['checkpoints/hub'],
  ['engine/training'],
  ['engine/autodiff', 'engine/runtime'],
  ['engine/onnx'],
  ['engine/tensor'],
  ['base'],
];

/** Modules that must not import each other although the layers would allow it, with the exceptions. */
const apart: readonly { from: string; to: string; except?: string }[] = [
  { from: 'data', to: 'nn' },
  { from: 'data/audio', to: 'backbones' },
  { from: 'data/tables', to: 'backbones' },
  { from: 'data/text', to: 'backbones' },
  { from: 'data/corpora', to: 'backbones' },
  { from: 'backbones', to: 'data/audio' },
  { from: 'backbones', to: 'data/tables' },
];

/** Packages that only some folders or files may import; packages not listed here may be used anywhere. */
const importers: Readonly<Record<string, readonly string[]>> = {
  'onnxruntime-node': ['src/engine/runtime/onnxruntime.ts'],
  'onnxruntime-common': [],
  'onnx-buf': ['src/engine/onnx/'],
  '@bufbuild/protobuf': ['src/engine/onnx/'],
  'fluent-ffmpeg': ['src/data/audio/ffmpeg.ts'],
  '@huggingface/tokenizers': ['src/data/text/tokenizer.ts'],
  papaparse: ['src/data/tables/csv-table.ts', 'src/evaluation/predictions.ts'],
  tinyglobby: ['src/data/tables/recording-list.ts'],
  yauzl: ['src/checkpoints/', 'src/engine/runtime/provider-installation.ts'],
  'tar-stream': ['src/data/corpora/'],
  'umap-js': ['src/evaluation/statistics/'],
  commander: ['src/cli/'],
  chalk: ['src/cli/'],
  '@bomb.sh/tab': ['src/cli/'],
  yaml: ['src/recipe/', 'src/data/corpora/', 'src/inference/bundle/'],
};

const MAX_LINES = 450;

interface SourceFile {
  /** From the repository root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

const files: SourceFile[] = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => join(entry.parentPath, entry.name))
  .map((path) => ({ path: relative(root, path).replaceAll('\\', '/'), text: readFileSync(path, 'utf8') }))
  .sort((a, b) => (a.path < b.path ? -1 : 1));

/** Module names in import, export-from and dynamic import expressions. */
function importsOf(text: string): string[] {
  const code = withoutComments(text);
  const patterns = [
    /^\s*(?:import|export)\b[^'";]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"`]([^'"`]+)['"`]\s*\)/g,
    /\brequire\(\s*['"]([^'"]+)['"]\s*\)/g,
  ];
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map((match) => match[1]!));
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`])\/\/.*$/gm, '$1');
}

/** The source file that a relative import names. */
function resolveImport(from: string, name: string): string {
  return posix.join(dirname(from), name).replace(/\.js$/, '.ts');
}

/** Index in `layers` of the innermost module that holds a path; -1 outside them all. */
function layerOf(path: string): number {
  let best = { layer: -1, length: 0 };
  for (const [layer, modules] of layers.entries()) {
    for (const name of modules) {
      if (path.startsWith(`src/${name}/`) && name.length > best.length) best = { layer, length: name.length };
    }
  }
  return best.layer;
}

/** The name in `layers` of the module that holds a path. */
function moduleOf(path: string): string {
  const modules = layers.flat().filter((name) => path.startsWith(`src/${name}/`));
  return modules.sort((a, b) => b.length - a.length)[0] ?? '';
}

/** The folder through whose index.ts `path` is imported: the nearest that has one. */
function entryFolderOf(path: string, hasIndex: (folder: string) => boolean): string {
  for (let folder = dirname(path); folder !== 'src'; folder = dirname(folder))
    if (hasIndex(folder)) return folder;
  return path.split('/').slice(0, 2).join('/');
}

function layeringProblem(from: string, to: string): string | undefined {
  const [above, below] = [layerOf(from), layerOf(to)];
  if (above < 0) return `${from} is in no module of the list`;
  if (below < 0) return `${from} imports ${to}, which is in no module of the list`;
  const [fromModule, toModule] = [moduleOf(from), moduleOf(to)];
  if (fromModule === toModule) return undefined;
  const inside = (name: string, folder: string): boolean => name === folder || name.startsWith(`${folder}/`);
  const barred = apart.find(
    (pair) => inside(fromModule, pair.from) && inside(toModule, pair.to) && fromModule !== pair.except,
  );
  if (barred) return `${from} imports ${to}: ${barred.from} does not use ${barred.to}`;
  if (below > above) return undefined;
  return `${from} imports ${to}: ${fromModule} may not use ${toModule}`;
}

function packageOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}

function packageProblem(from: string, name: string, declared: readonly string[]): string | undefined {
  if (name.startsWith('node:')) return undefined;
  if (builtinModules.includes(packageOf(name))) return `${from} imports ${name} without node:`;
  const owner = packageOf(name);
  if (!declared.includes(owner)) return `${from} imports ${owner}, which package.json does not depend on`;
  const allowed = importers[owner];
  if (!allowed || allowed.some((place) => from.startsWith(place))) return undefined;
  return `${from} imports ${owner}, which only ${allowed.join(', ')} may import`;
}

/** Import cycles, each as its files starting with the alphabetically first. */
function circlesIn(imports: readonly { readonly from: string; readonly to: string }[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to } of imports) targets.set(from, [...(targets.get(from) ?? []), to]);
  const circles = new Set<string>();
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      const circle = trail.slice(start);
      const first = circle.indexOf([...circle].sort()[0]!);
      circles.add([...circle.slice(first), ...circle.slice(0, first)].join(' -> '));
      return;
    }
    if (done.has(path)) return;
    for (const to of targets.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of targets.keys()) visit(path, []);
  return [...circles];
}

/** Folders whose subfolders are all of one kind: families or systems. Their files have the same names. */
const KINDS = ['backbones/speech-encoders', 'backbones/decoders', 'backbones/text-encoders', 'systems'];

/** File names that occur in several folders, except for those of one kind. */
function sharedNames(paths: readonly string[]): string[] {
  const byName = new Map<string, string[]>();
  for (const path of paths) byName.set(basename(path), [...(byName.get(basename(path)) ?? []), path]);
  byName.delete('index.ts');
  const ofOneKind = (same: readonly string[]): boolean =>
    KINDS.some((kind) => same.every((path) => path.startsWith(`src/${kind}/`)));
  const isFamily = (name: string): boolean => name === 'family.ts'; // one in each folder of a kind
  return [...byName]
    .filter(([name, same]) => same.length > 1 && !ofOneKind(same) && !isFamily(name))
    .map(([, same]) => same.join(' and '));
}

const present = (problem: string | undefined): problem is string => problem !== undefined;
const relativeImports = files.flatMap(({ path, text }) =>
  importsOf(text)
    .filter((name) => name.startsWith('.'))
    .map((name) => ({ from: path, to: resolveImport(path, name) })),
);

describe('imports', () => {
  it('go down the layers only', () => {
    expect(relativeImports.map(({ from, to }) => layeringProblem(from, to)).filter(present)).toEqual([]);
  });

  it('enter another module by its index.ts', () => {
    const hasIndex = (folder: string): boolean => existsSync(join(root, folder, 'index.ts'));
    const broken = relativeImports.filter(({ from, to }) => {
      const folder = entryFolderOf(to, hasIndex);
      return !from.startsWith(`${folder}/`) && to !== `${folder}/index.ts`;
    });
    expect(broken.map(({ from, to }) => `${from} imports ${to} past its index.ts`)).toEqual([]);
  });

  it('run in no circle, types included', () => {
    expect(circlesIn(relativeImports)).toEqual([]);
  });

  it('name files that exist', () => {
    const missing = relativeImports.filter(({ to }) => !existsSync(join(root, to)));
    expect(missing.map(({ from, to }) => `${from} imports ${to}, which does not exist`)).toEqual([]);
  });

  it('use a package only where it belongs, and only declared ones', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    const problems = files.flatMap(({ path, text }) =>
      importsOf(text)
        .filter((name) => !name.startsWith('.'))
        .map((name) => packageProblem(path, name, Object.keys(dependencies))),
    );
    expect(problems.filter(present)).toEqual([]);
  });
});

describe('the scripts beside the tests', () => {
  const scripts = readdirSync(join(root, 'test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.mjs'))
    .map((entry) => join(entry.parentPath, entry.name));

  it.each(scripts.map((path) => [relative(root, path), path]))(
    '%s imports what is there',
    async (_, path) => {
      const imports = readFileSync(path, 'utf8').matchAll(
        /^import \{([^}]*)\} from '(\.[^']*\/dist\/[^']*)';$/gm,
      );
      for (const [, names = '', module = ''] of imports) {
        const file = join(dirname(path), module);
        expect(existsSync(file), `${module} (make build makes it)`).toBe(true);
        const exported = Object.keys((await import(file)) as object);
        const wanted = names.split(',').map((name) => name.trim().split(' as ')[0]!);
        expect(exported).toEqual(expect.arrayContaining(wanted.filter((name) => name !== '')));
      }
    },
  );
});

describe('files', () => {
  it('start with a one-line account of themselves', () => {
    const silent = files.filter(({ text }) => !/^(?:#!.*\n)?\/\*\*\s(?:\n? \* )?@file \S/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  it(`have at most ${MAX_LINES} lines`, () => {
    const long = files.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }));
    expect(long.filter(({ lines }) => lines > MAX_LINES)).toEqual([]);
  });

  it('have names of their own, but for what each family or each system has', () => {
    expect(sharedNames(files.map(({ path }) => path))).toEqual([]);
  });

  it('are named in kebab case, by what they hold', () => {
    const odd = files.filter(
      ({ path }) =>
        !/^[a-z0-9]+(?:-[a-z0-9]+)*\.ts$/.test(basename(path)) ||
        /util|helper|manager|misc|common/.test(basename(path)),
    );
    expect(odd.map(({ path }) => path)).toEqual([]);
  });

  it('outside the command line neither print nor end the process', () => {
    const loud = files.filter(
      ({ path, text }) =>
        !path.startsWith('src/cli/') &&
        /\bconsole\.|\bprocess\.(?:exit|exitCode|stdout|stderr)\b/.test(withoutComments(text)),
    );
    expect(loud.map(({ path }) => path)).toEqual([]);
  });
});

describe('the rules themselves can fail', () => {
  it('finds circles, of two files and of more', () => {
    const imports = ['a>b', 'b>c', 'c>a', 'd>e', 'e>d', 'a>e'].map((edge) => {
      const [from = '', to = ''] = edge.split('>');
      return { from, to };
    });
    expect(circlesIn(imports)).toEqual(['a -> b -> c', 'd -> e']);
    expect(circlesIn(imports.filter(({ to }) => to !== 'a' && to !== 'd'))).toEqual([]);
  });

  it('finds names that are used twice', () => {
    const families = ['llama', 'qwen2'].map((family) => `src/backbones/decoders/${family}/family.ts`);
    expect(sharedNames([...families, 'src/nn/index.ts', 'src/base/index.ts'])).toEqual([]);
    expect(sharedNames([...families, 'src/systems/family.ts'])).toEqual([]);
    expect(sharedNames(['src/systems/emoq/loss.ts', 'src/nn/loss.ts'])).toHaveLength(1);
    expect(sharedNames(['src/base/files.ts', 'src/data/text/files.ts'])).toHaveLength(1);
  });

  it('finds every form of import', () => {
    const text = `
      import a from './a.js';
      import type { B } from '../b/index.js';
      import {
        c,
        d,
      } from 'c';
      export * from './e.js';
      import './f.js';
      // import g from 'g';
      /* import h from 'h'; */
      const i = await import('../i/index.js');
    `;
    expect(importsOf(text).sort()).toEqual(
      ['./a.js', '../b/index.js', 'c', './e.js', './f.js', '../i/index.js'].sort(),
    );
  });

  it.each([
    ['src/engine/onnx/graph.ts', 'src/nn/index.ts'],
    ['src/engine/tensor/dtype.ts', 'src/engine/onnx/index.ts'],
    ['src/engine/runtime/session.ts', 'src/engine/autodiff/index.ts'],
    ['src/data/corpora/meld.ts', 'src/backbones/index.ts'],
    ['src/nn/former/former.ts', 'src/data/text/index.ts'],
    ['src/checkpoints/checkpoint.ts', 'src/nn/index.ts'],
    ['src/recipe/recipe.ts', 'src/training/index.ts'],
    ['src/evaluation/metrics.ts', 'src/training/index.ts'],
    ['src/recipe/recipe.ts', 'src/cli/index.ts'],
    ['src/base/files.ts', 'src/engine/tensor/index.ts'],
    ['src/elsewhere/x.ts', 'src/base/index.ts'],
  ])('%s may not import %s', (from, to) => {
    expect(layeringProblem(from, to)).toBeDefined();
  });

  it.each([
    ['src/cli/commands/eval-command.ts', 'src/evaluation/index.ts'],
    ['src/data/features/extract.ts', 'src/backbones/index.ts'],
    ['src/backbones/decoders/decoder.ts', 'src/engine/onnx/index.ts'],
    ['src/training/loop.ts', 'src/evaluation/index.ts'],
    ['src/engine/runtime/session.ts', 'src/engine/tensor/index.ts'],
  ])('%s may import %s', (from, to) => {
    expect(layeringProblem(from, to)).toBeUndefined();
  });

  it('misplaced packages, undeclared ones and bare builtins are found', () => {
    const declared = ['chalk', 'fluent-ffmpeg'];
    expect(packageProblem('src/training/loop.ts', 'chalk', declared)).toContain(
      'which only src/cli/ may import',
    );
    expect(packageProblem('src/data/audio/decode.ts', 'fluent-ffmpeg', declared)).toContain(
      'which only src/data/audio/ffmpeg.ts',
    );
    expect(packageProblem('src/train/loop.ts', 'lodash/fp', declared)).toContain('does not depend on');
    expect(packageProblem('src/train/loop.ts', 'fs/promises', declared)).toContain('without node:');
    expect(packageProblem('src/cli/terminal-output.ts', 'chalk', declared)).toBeUndefined();
  });
});
