/**
 * @file Bundles dist/ and the packages that it uses into few files, because loading 700 modules takes longer than a
 * small model does. onnxruntime-node stays outside: it finds its native libraries beside itself.
 */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const dist = fileURLToPath(new URL('../dist/', import.meta.url));
/** The oldest supported version of Node. */
const TARGET = 'node20.20';
/** Whole names, which stack traces show; no comments. */
const COMMON = { bundle: true, platform: 'node', target: TARGET, legalComments: 'none', logLevel: 'warning' };

/** What `import ... from 'emoq'` finds, in dist/. */
export const LIBRARY = 'library/index';

/** The object z holds all of zod, messages in 50 languages included; a namespace holds what is used of it. */
const WHOLE_ZOD = /^import \{ z \} from 'zod'/m;

/** What packages in CommonJS take for granted. */
const FOR_COMMONJS = `import { createRequire as $createRequire } from 'node:module';
const require = $createRequire(import.meta.url), { dirname: __dirname, filename: __filename } = import.meta;`;

/** Files of dist/ that the code names relative to itself: threads and processes to start, and a script of a page. */
async function filesByPath(files) {
  const sources = await Promise.all(files.map((name) => readFile(join(dist, name), 'utf8')));
  const named = files.flatMap((file, index) =>
    [...sources[index].matchAll(/(readFileSync\()?new URL\('(\.\/[a-z-]+\.js)', import\.meta\.url\)/g)].map(
      ([, isRead, name]) => ({ name: join(dirname(file), name), isRead: isRead !== undefined }),
    ),
  );
  return {
    read: named.filter(({ isRead }) => isRead).map(({ name }) => name),
    started: named.filter(({ isRead }) => !isRead).map(({ name }) => name),
  };
}

/**
 * Files find others relative to their place in dist/, which a module loses in a bundle: its `import.meta.url` becomes
 * the place that it had. The module emoq:bundle must not end up in a file of a subfolder, hence `requireAtTop`.
 */
const ownPlaces = {
  name: 'own-places',
  setup({ onLoad, onResolve }) {
    onResolve({ filter: /^emoq:bundle$/ }, () => ({ path: 'bundle', namespace: 'emoq' }));
    onLoad({ filter: /^bundle$/, namespace: 'emoq' }, () => ({
      contents: 'export const bundleUrl = import.meta.url;',
    }));
    onLoad({ filter: /\.js$/ }, async ({ path }) => {
      if (!path.startsWith(dist)) return undefined;
      const source = (await readFile(path, 'utf8')).replace(WHOLE_ZOD, "import * as z from 'zod'");
      if (!source.includes('import.meta.url')) return { contents: source };
      const place = JSON.stringify(`./${relative(dist, path).split(sep).join('/')}`);
      const contents = source.replaceAll('import.meta.url', `new URL(${place}, bundleUrl).href`);
      return { contents: `import { bundleUrl } from 'emoq:bundle';\n${contents}` };
    });
  },
};

function requireAtTop({ outputs }, folder) {
  const [[file]] = Object.entries(outputs).filter(([, { inputs }]) => 'emoq:bundle' in inputs);
  if (dirname(join(process.cwd(), file)) !== folder)
    throw new Error(`${file} is not at the top of ${folder}`);
}

/** Writes the bundle to an empty folder. @returns the folders in node_modules of the packages that are in it */
export async function bundleEmoq(folder) {
  const files = (await readdir(dist, { recursive: true })).filter((name) => name.endsWith('.js'));
  const { read, started } = await filesByPath(files);
  const { metafile } = await build({
    ...COMMON,
    entryPoints: [...new Set(['cli/index.js', `${LIBRARY}.js`, ...started])].map((name) => join(dist, name)),
    outbase: dist,
    outdir: folder,
    splitting: true,
    format: 'esm',
    external: ['onnxruntime-node'],
    plugins: [ownPlaces],
    metafile: true,
    banner: { js: FOR_COMMONJS },
  });
  requireAtTop(metafile, folder);
  for (const name of read) {
    const text = await readFile(join(dist, name), 'utf8');
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text.replace(/^\/\/# sourceMappingURL=.*$/m, ''));
  }
  const packages = Object.keys(metafile.inputs).map(
    (path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0],
  );
  return [...new Set(packages.filter((path) => path !== undefined))].sort();
}

/** Writes onnxruntime-node's JavaScript with onnxruntime-common as one file. @param from the package's folder */
export async function bundleOnnxruntime(from, file) {
  const nativeLibrary = {
    name: 'native-library',
    setup({ onLoad }) {
      onLoad({ filter: /binding\.js$/ }, async ({ path }) => {
        const source = await readFile(path, 'utf8');
        if (!source.includes('require(`../bin/')) throw new Error(`${path} loads its library in another way`);
        return { contents: source.replace('require(`../bin/', 'nativeRequire(`../bin/') };
      });
    },
  };
  await build({
    ...COMMON,
    entryPoints: [join(from, 'dist/index.js')],
    outfile: file,
    format: 'cjs',
    plugins: [nativeLibrary],
    banner: { js: 'const nativeRequire = require;' },
  });
}
