/** @file Seeded damage to JSON values and to bytes, for scripts that show that bad files give clear errors. */

/** Text of a number that a parser may stumble over; some are no JSON. */
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

/** JSON text of a value of the wrong kind, as a string. */
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

/** Bytes damaged in one place: changed, inserted, removed, repeated or cut off. */
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

/** Peak resident memory of this process so far, MiB. */
export function peakMiB() {
  return process.resourceUsage().maxRSS / 1024;
}
