/** @file The documentation matches the code: links, commands, options, recipe keys and defaults, modules, packages. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { commandEntries } from '../src/cli/command-table.js';
import { createProgram } from '../src/cli/program.js';
import { loadRecipe } from '../src/recipe/index.js';
import { recipeKeys } from '../src/recipe/schema.js';
import { systemKinds } from '../src/systems/index.js';
import type { Recipe } from '../src/systems/settings.js';

const root = fileURLToPath(new URL('../', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => `docs/${path.replaceAll('\\', '/')}`)
    .sort(),
];

/** Code in a document: fenced lines (continuations joined), and text between backticks. */
function codeOf(markdown: string): string[] {
  const fences = [...markdown.matchAll(/^```.*\n([\s\S]*?)^```$/gm)].map((match) => match[1]!);
  const lines = fences.flatMap((fence) => fence.replace(/\\\n\s*/g, '').split('\n'));
  const prose = markdown.replace(/^```[\s\S]*?^```$/gm, '');
  return [...lines, ...[...prose.matchAll(/`([^`]+)`/g)].map((match) => match[1]!.replaceAll('\n', ' '))];
}

/** Cells of the table rows of a document, header and ruler rows left out. */
function tableRows(markdown: string): string[][] {
  const rows = markdown.split('\n').filter((line) => line.startsWith('|'));
  const cells = rows.map((row) =>
    row
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );
  return cells.filter((row, i) => !/^[-:]+$/.test(row[0] ?? '') && !/^[-:]+$/.test(cells[i + 1]?.[0] ?? ''));
}

/** Anchors of a document's headings, as GitHub makes them. */
function anchorsOf(markdown: string): string[] {
  const headings = markdown.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/^#+ (.+)$/gm);
  return [...headings].map((match) =>
    match[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** Links to missing files, and to missing headings. */
function brokenLinks(document: string, markdown: string): string[] {
  const links = [...markdown.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/\]\(([^)\s]+)\)/g)];
  return links.flatMap(([, target]) => {
    if (/^[a-z]+:/.test(target!)) return [];
    const [path = '', anchor] = target!.split('#');
    const file = path === '' ? document : relative(root, resolve(root, dirname(document), path));
    if (!existsSync(join(root, file))) return [`${document}: ${target}`];
    if (anchor === undefined || anchorsOf(path === '' ? markdown : read(file)).includes(anchor)) return [];
    return [`${document}: ${target}`];
  });
}

/** Uses of the command line: `emoq NAME --option ...`. */
function commandLines(markdown: string): { name: string; rest: string }[] {
  return codeOf(markdown).flatMap((code) => {
    const match = /(?:^|\s)emoq +([a-z][\w-]*)([^#|]*)/.exec(code);
    return match ? [{ name: match[1]!, rest: match[2]! }] : [];
  });
}

const programs = new Map<string, Command>();
async function commandNamed(name: string): Promise<Command | undefined> {
  if (!programs.has(name)) {
    const program = await createProgram(commandEntries, [name]);
    const command = program.commands.find((each) => each.name() === name);
    if (command) programs.set(name, command);
  }
  return programs.get(name);
}

async function commandProblems(document: string, markdown: string): Promise<string[]> {
  const problems: string[] = [];
  for (const { name, rest } of commandLines(markdown)) {
    const command = await commandNamed(name);
    if (command === undefined) problems.push(`${document}: there is no command emoq ${name}`);
    const known = ['--help', ...(command?.options.flatMap(({ long, short }) => [long, short]) ?? [])];
    for (const [option] of rest.matchAll(/(?<=\s)--?[a-z][\w-]*/g)) {
      if (command && !known.includes(option)) problems.push(`${document}: emoq ${name} has no ${option}`);
    }
  }
  return problems;
}

describe.each(documents)('%s', (document) => {
  const markdown = read(document);

  it('links to files and headings that are there', () => {
    expect(brokenLinks(document, markdown)).toEqual([]);
  });

  it('names commands and options that exist', async () => {
    expect(await commandProblems(document, markdown)).toEqual([]);
  });

  it('sets recipe keys that exist', () => {
    const keys = systemKinds.flatMap((kind) => recipeKeys(kind)).map(({ path }) => path);
    const set = codeOf(markdown).flatMap((code) =>
      [...code.matchAll(/--set '?([\w.]+)=/g)].map((m) => m[1]!),
    );
    expect(set.filter((key) => key !== 'key' && !keys.includes(key))).toEqual([]);
  });

  it('names targets that the Makefile has', () => {
    const targets = [...read('Makefile').matchAll(/^([a-z]+(?:-[a-z]+)*):/gm)].map((match) => match[1]!);
    const named = codeOf(markdown).flatMap((code) =>
      [...code.matchAll(/\bmake ([a-z]+(?:-[a-z]+)*)/g)].map((m) => m[1]!),
    );
    expect(named.filter((name) => !targets.includes(name))).toEqual([]);
  });
});

describe('the table of recipe keys', () => {
  const rows = new Map(
    tableRows(read('docs/recipes.md'))
      .filter((cells) => cells.length === 5)
      .map(([key, value, , origin]) => [key!.replaceAll('`', ''), { value: value!, origin: origin! }]),
  );

  it('has every key with its origin, and no others', () => {
    const documented = [...rows].map(([path, { origin }]) => `${path}: ${origin}`);
    const keys = systemKinds
      .flatMap((kind) => recipeKeys(kind))
      .map(({ path, origin }) => `${path}: ${origin}`);
    expect(documented.sort()).toEqual([...new Set(keys)].sort());
  });

  it('has the defaults that a recipe without them gets', async () => {
    const [emoq, probe] = [await bareRecipe('emoq'), await bareRecipe('linear-probe')];
    const qieemo = await bareRecipe('qieemo');
    const systemOf = (path: string) => {
      if (path.startsWith('probe.')) return probe;
      return /^(?:qieemo|align|emotion)\.|^encoder\.logits$/.test(path) ? qieemo : emoq;
    };
    const documented = [...rows].filter(([, { value }]) => value.startsWith('`') && !value.includes('<'));
    expect(documented.length).toBeGreaterThan(45);
    for (const [path, { value }] of documented) {
      const actual = path
        .split('.')
        .reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], systemOf(path));
      expect([path, actual]).toEqual([path, parse(value.replaceAll('`', ''))]);
    }
  });
});

const folder = mkdtempSync(join(tmpdir(), 'emoq-docs-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A recipe with only the required keys. */
async function bareRecipe(system: string): Promise<Recipe> {
  writeFileSync(join(folder, 'bare.yaml'), `system: ${system}\nlabels: [a, b]\n`);
  return loadRecipe({ path: join(folder, 'bare.yaml') });
}

describe('the README', () => {
  it('is short enough to be read, and shows small pictures', () => {
    const markdown = read('README.md');
    expect(markdown.trimEnd().split('\n').length).toBeLessThanOrEqual(200);
    const pictures = [...markdown.matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)].map((match) => match[1]!);
    expect(pictures).toEqual(['docs/report.png', 'docs/terminal.svg']);
    for (const path of pictures) expect(statSync(join(root, path)).size).toBeLessThan(120_000);
  });

  it('leads to every page of the documentation', () => {
    const pages = documents.filter((path) => /^docs\/[^/]+\.md$/.test(path));
    const markdown = read('README.md');
    expect(pages.filter((path) => !markdown.includes(`](${path}`))).toEqual([]);
  });

  it('has every command', () => {
    const named = commandLines(read('README.md')).map(({ name }) => name);
    const absent = commandEntries.map(({ name }) => name).filter((name) => !named.includes(name));
    // The demo makes the toy corpus, so the command need not be listed.
    expect(absent.filter((name) => name !== 'prepare-toy')).toEqual([]);
  });

  it("has the paper's figures as the recipes have them", async () => {
    for (const name of ['iemocap4', 'meld4', 'meld7']) {
      const { paper } = await loadRecipe({ dataset: name });
      const figures = [paper!, paper!.best_earlier!].flatMap(({ wa, ua, wf1 }) => [wa, ua, wf1]);
      const row = tableRows(read('README.md')).find(([recipe]) => recipe === `\`${name}\``);
      const shown = figures.map((value) => (value === null ? '' : value.toFixed(1)));
      expect(row).toEqual([`\`${name}\``, `table ${paper!.table}`, ...shown]);
    }
  });
});

describe('the architecture', () => {
  it('has every folder of src', () => {
    const folders = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'));
    const rows = tableRows(read('docs/architecture.md')).map(([cell]) => cell!.replaceAll('`', ''));
    expect(rows.filter((cell) => cell.startsWith('src/')).sort()).toEqual(folders.sort());
  });

  it('has the layers of the architecture test', () => {
    const source = /const layers[^=]*= \[([\s\S]*?)\n\];/.exec(read('test/architecture.test.ts'))![1]!;
    const layers = [...source.matchAll(/\[(.+)\]/g)].map((match) => match[1]!.replaceAll("'", ''));
    expect(read('docs/architecture.md')).toContain(`\`\`\`\n${layers.join('\n')}\n\`\`\``);
    const picture = read('docs/layers.svg');
    const modules = layers.flatMap((layer) => layer.split(', '));
    expect(modules.filter((name) => !picture.includes(`>${name}</`))).toEqual([]);
    const families = ['speech-encoders', 'decoders', 'text-encoders'].flatMap((kind) =>
      readdirSync(join(root, 'src/backbones', kind), { withFileTypes: true }).filter((entry) =>
        entry.isDirectory(),
      ),
    );
    expect(families.map(({ name }) => name).filter((name) => !picture.includes(name))).toEqual([]);
  });
});

describe('the dependencies', () => {
  it('are all accounted for, in their versions', () => {
    const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<
      'dependencies' | 'devDependencies',
      Record<string, string>
    >;
    const page = tableRows(read('docs/decisions/0001-dependencies.md'))
      .flatMap(([cell]) => cell!.split(', '))
      .sort();
    const declared = Object.entries({ ...dependencies, ...devDependencies });
    expect(page).toEqual(declared.map(([name, version]) => `${name} ${version}`).sort());
  });
});

describe('the decisions', () => {
  it('are all in their list, with context, decision and consequences', () => {
    const list = read('docs/decisions/README.md');
    for (const path of documents.filter((each) => /decisions\/\d/.test(each))) {
      expect(list).toContain(path.replace('docs/decisions/', ''));
      const headings = [...read(path).matchAll(/^## (.+)$/gm)].map((match) => match[1]);
      expect([path, headings]).toEqual([path, ['Context', 'Decision', 'Consequences']]);
    }
  });
});

describe('the checks themselves can fail', () => {
  it('on a link to nothing, a command, an option', async () => {
    const wrong = '[a](docs/nothing.md) [b](#no-such) [c](docs/recipes.md#nowhere)\n`emoq frobnicate`\n';
    expect(brokenLinks('README.md', wrong)).toHaveLength(3);
    expect(await commandProblems('README.md', wrong)).toHaveLength(1);
    expect(await commandProblems('README.md', '```sh\nemoq stats --frob\n```\n')).toHaveLength(1);
  });
});
