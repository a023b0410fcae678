/** @file Seeded damage to JSON values and bytes, for scripts that check that bad files give clear errors. */

import { peakMemoryBytes } from '../../dist/base/index.js';

/** Number literals that may confuse a parser; some are not valid JSON. */
const NUMBERS = [
  ...['-1', '-0', '0', '1', '2', '3', '7', '8', '64', '1e0', '2.0', '1.5', '1e3', '0.1', '-1e-9', '1e-320'],
  ...['255', '4096', '65537', '2147483648', '4294967296', '9007199254740991', '9007199254740993'],
  ...[
    '18446744073709551615',
    '18446744073709551616',
    '1e308',
    '-1e308',
    '1e999',
    'NaN',
    'Infinity',
    '01',
    '1.',
    '+1',
  ],
];
const STRINGS = [
  '',
  'a',
  'F32',
  'U8',
  'f32',
  '__proto__',
  'constructor',
  'toString',
  'length',
  '\ud800',
  'é\n"\\',
  '4',
];

/** JSON text of a value of the wrong type. */
export function nonsenseText(random) {
  const kinds = [
    () => random.pick(NUMBERS),
    () => random.pick(NUMBERS),
    () => JSON.stringify(random.pick(STRINGS)),
    () => random.pick(['null', 'true', 'false', '[]', '{}', '[[]]', '[null]', '{"a":1}', '""']),
    () => `[${Array.from({ length: random.integer(5) }, () => random.pick(NUMBERS)).join(',')}]`,
    () => JSON.stringify('x'.repeat(10 ** random.integer(5))),
    () => {
      const depth = 10 ** random.integer(5);
      return random.pick([
        () => '['.repeat(depth) + ']'.repeat(depth),
        () => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`,
      ])();
    },
  ];
  return random.pick(kinds)();
}

/** Bytes damaged at one position: changed, inserted, removed, repeated or cut off. */
export function damagedBytes(bytes, random) {
  const at = random.integer(bytes.length + 1);
  const length = random.integer(24);
  const noise = Buffer.from(Array.from({ length: 1 + random.integer(4) }, () => random.integer(256)));
  const before = bytes.subarray(0, at);
  const after = bytes.subarray(at);
  return random.pick([
    () => Buffer.concat([before, noise, after.subarray(noise.length)]),
    () => Buffer.concat([before, noise, after]),
    () => Buffer.concat([before, after.subarray(length)]),
    () => Buffer.concat([before, after.subarray(0, length), after]),
    () => before,
    () =>
      Buffer.concat([
        before,
        Buffer.from(random.pick([' ', '\n', '\0', '"', '{', '}', ',', ':', '\ufeff'])),
        after,
      ]),
  ])();
}

/** JSON text of `value` in which a few nested values are wrong, missing, duplicated or swapped. */
export function damagedJson(value, random) {
  const root = { value: structuredClone(value) };
  const texts = new Map();
  const placeholder = (text) => {
    const place = `PLACE-${texts.size}-OF-DAMAGE`;
    texts.set(place, text);
    return place;
  };
  for (let count = 1 + random.integer(3); count > 0; count--) {
    const entries = entriesIn(root);
    const [holder, key] = random.pick(entries);
    random.pick([
      () => {
        holder[key] = placeholder(nonsenseText(random));
      },
      () => {
        if (Array.isArray(holder)) holder.splice(Number(key), 1);
        else if (holder !== root) delete holder[key];
      },
      () => {
        const [other, from] = random.pick(entries);
        holder[key] = structuredClone(other[from]);
      },
      () => {
        const inner = holder[key];
        if (Array.isArray(inner)) inner.push(placeholder(nonsenseText(random)));
        else if (typeof inner === 'object' && inner !== null)
          inner[random.pick(['more', 'a\nb', 'toString', 'x'.repeat(9999)])] = placeholder(
            nonsenseText(random),
          );
        else holder[key] = typeof inner === 'number' ? String(inner) : [inner];
      },
    ])();
  }
  let text = JSON.stringify(root.value, null, random.integer(3)) ?? 'null';
  for (const [place, wrong] of texts) text = text.replace(`"${place}"`, () => wrong);
  if (random.uniform() < 0.05) text = text.replace(/"(\w+)":/, (key, name) => `"${name}":1,${key}`);
  return random.uniform() < 0.2 ? damagedBytes(Buffer.from(text), random) : text;
}

/** Every nested value, as its parent object and key; only the first few of long lists. */
function entriesIn(root) {
  const entries = [];
  const waiting = [root];
  for (let holder = waiting.pop(); holder !== undefined; holder = waiting.pop()) {
    for (const key of Object.keys(holder).slice(0, MOST_PLACES)) {
      entries.push([holder, key]);
      if (typeof holder[key] === 'object' && holder[key] !== null) waiting.push(holder[key]);
    }
  }
  return entries;
}
const MOST_PLACES = 40;

/** Text with a special meaning in YAML. */
const YAML_MARKS = [
  ...[
    '&a ',
    '*a',
    '*nothing',
    '<<: ',
    '<<: *a\n',
    '? ',
    '- ',
    ': ',
    ' #',
    '|\n',
    '>-\n',
    '!!set ',
    '!thing ',
  ],
  ...[
    '!!binary ',
    '[',
    ']',
    '{',
    '}',
    ',',
    '"',
    "'",
    '\t',
    '\n',
    '\n\n',
    '  ',
    '---\n',
    '...\n',
    '%YAML 9\n',
  ],
  ...[
    '~',
    'null',
    'yes',
    '.nan',
    '.inf',
    '0x1f',
    '0o17',
    '1_000',
    '2001-01-01',
    '@',
    '`',
    '\0',
    '\ufeff',
    '\u2028',
  ],
];

/** A small YAML text that expands enormously. */
function aliasBomb(random) {
  const [levels, width] = [2 + random.integer(8), 2 + random.integer(9)];
  const names = Array.from({ length: levels }, (_, level) => `x${level}`);
  return names
    .map((name, level) => {
      const inner = Array(width).fill(level === 0 ? 'x' : `*${names[level - 1]}`);
      return `${name}: &${name} [${inner.join(',')}]`;
    })
    .join('\n');
}

/** A YAML value that nests, refers to itself, expands or is not a plain value. */
export function oddYaml(random) {
  return random.pick([
    () => nonsenseText(random),
    () => random.pick(YAML_MARKS),
    () => random.pick(YAML_MARKS) + random.pick(YAML_MARKS) + nonsenseText(random),
    () => '- '.repeat(10 ** random.integer(5)),
    () => random.pick(['[', '{a: ', '? ', '&a [', '!!seq [', '"']).repeat(10 ** random.integer(5)),
    () => random.pick(['&a [*a]', '&a {b: *a}', '[&a x, *a]', '{<<: &a {b: 1}}', '{<<: [1]}', '{? [a] : 1}']),
    () =>
      random.pick([
        '!!set {a, b}',
        '!!omap [a: 1]',
        '!!binary aGk=',
        '!!timestamp 2001-01-01',
        '{__proto__: {a: 1}}',
      ]),
    () => aliasBomb(random).replaceAll('\n', ', ').replace(/^/, '{').concat('}'),
  ])();
}

/** Damaged YAML text: a value replaced, a special mark inserted, a line moved, repeated or indented, bytes changed. */
export function damagedYaml(text, random) {
  let lines = text.split('\n');
  const line = () => random.integer(lines.length);
  for (let count = 1 + random.integer(2); count > 0; count--) {
    const at = line();
    random.pick([
      () => {
        lines[at] = lines[at].replace(/:.*$/, () => `: ${oddYaml(random)}`);
      },
      () => {
        lines[at] = lines[at].replace(/[^\s:-][^:]*/, () => oddYaml(random));
      },
      () => {
        const column = random.integer(lines[at].length + 1);
        lines[at] = lines[at].slice(0, column) + random.pick(YAML_MARKS) + lines[at].slice(column);
      },
      () => {
        lines[at] = ' '.repeat(1 + random.integer(500)) + lines[at];
      },
      () => lines.splice(at, 1 + random.integer(3)),
      () => lines.splice(at, 0, lines[line()]),
      () => lines.splice(at, 0, ...aliasBomb(random).split('\n')),
      () => {
        lines = lines.slice(0, at);
      },
    ])();
    if (lines.length === 0) lines = [''];
  }
  const damaged = lines.join('\n');
  return random.uniform() < 0.3 ? damagedBytes(Buffer.from(damaged), random) : damaged;
}

/** Peak resident memory of this process so far, MiB. */
export function peakMiB() {
  return peakMemoryBytes() / 2 ** 20;
}
