/** @file The document around a page's content: its policy, styles and scripts, all in one file. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { userText } from './blocks.js';
import { escapeText } from './plots/index.js';
import { pageStyles } from './styles.js';

export interface Page {
  /** Heading, and title of the window, to which `kind` is added. */
  readonly title: string;
  readonly kind: string;
  /** Text of the link that skips to the content. */
  readonly skip: string;
  /** Between heading and content. */
  readonly lead: string;
  /** A table of contents, beside the content where there is room. */
  readonly contents?: string;
  readonly content: string;
  /** In the order in which they run. */
  readonly scripts: readonly PageScript[];
  /** Added to the style sheet of all pages. */
  readonly styles?: string;
  /** Where audio may come from; inlined by default. */
  readonly media?: string;
}

/** The compiled scripts of this folder. Each path is written out, so that the package gets the file. */
const scriptReaders = {
  'page-script': () => readFileSync(new URL('./page-script.js', import.meta.url), 'utf8'),
  'timeline-script': () => readFileSync(new URL('./timeline-script.js', import.meta.url), 'utf8'),
};

type PageScript = keyof typeof scriptReaders;

/**
 * The whole page. Its content security policy allows only its own scripts and style, by checksum, inlined images, and
 * the audio that it names. The browser blocks everything else, including the network.
 */
export function renderPage(page: Page): string {
  const { title, kind, skip, lead, contents = '', content, styles = '', media = 'data:' } = page;
  const scripts = page.scripts.map(scriptText);
  const style = `${pageStyles}${styles}`;
  const policy = [
    "default-src 'none'",
    `script-src ${scripts.map((script) => `'${checksum(script)}'`).join(' ')}`,
    `style-src '${checksum(style)}'`,
    'img-src data:',
    `media-src ${media}`,
    "base-uri 'none'",
    "form-action 'none'",
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy.join('; ')}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeText(title)} – ${escapeText(kind)}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body${contents === '' ? '' : ' class="with-contents"'}>
<a class="skip" href="#content">${escapeText(skip)}</a>
<header>
<h1>${userText(title)}</h1>
<button type="button" id="theme" title="Change the colours of this page">Dark</button>
</header>
${lead}
${contents}
<main id="content" tabindex="-1">
${content}
</main>
${scripts.map((script) => `<script type="module">${script}</script>`).join('\n')}
</body>
</html>
`;
}

function scriptText(name: PageScript): string {
  return scriptReaders[name]().replace(/^\/\/# sourceMappingURL=.*$/m, '');
}

function checksum(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`;
}
