/** @file The licences of the packages that emoq's npm package contains. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Packages that ship no licence file say in their sources, or in `author`, whose they are. */
const HOLDERS = {
  'onnxruntime-node': 'Microsoft Corporation',
  'onnxruntime-common': 'Microsoft Corporation',
};

/** The licence that is at the top of one of its files; the rest of the package is under the licence of emoq. */
const IN_SOURCES = { '@bufbuild/protobuf': 'dist/esm/wire/varint.js' };

const mitLicence = (holder) => `MIT License

Copyright (c) ${holder}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`;

/**
 * The licences as one text. @param folders of the packages
 * @throws Error for a package that ships no licence file and is not under the MIT licence
 */
export async function licencesOf(folders) {
  const texts = await Promise.all(folders.map(licenceOf));
  const line = '-'.repeat(80);
  return `The npm package of emoq contains these packages.\n\n${texts.map((text) => `${line}\n${text}`).join('\n')}`;
}

async function licenceOf(folder) {
  const { name, version, license, author } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
  const own = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  if (IN_SOURCES[name] !== undefined) {
    const source = await readFile(join(folder, IN_SOURCES[name]), 'utf8');
    const header = /^(?:\/\/.*\n)+/.exec(source)[0].replace(/^\/\/ ?/gm, '');
    own.push(`Apache-2.0: see LICENSE. ${IN_SOURCES[name]}:\n\n${header}`);
  }
  if (own.length === 0 && license !== 'MIT') throw new Error(`${name} ships no licence (${license})`);
  const holder = HOLDERS[name] ?? author?.name ?? author ?? `the authors of ${name}`;
  return `${name} ${version} (${license})\n\n${own.length > 0 ? own.join('\n') : mitLicence(holder)}`;
}
