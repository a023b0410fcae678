/** @file The table of a check, as Markdown: what was measured, and what it is held against. */

const GIB = 2 ** 30;

/** The table of all rows, with a line about the machine before and one about failures behind it. */
export function markdownOf(result) {
  const rows = result.sections.flatMap((section) => section.rows);
  const rates = matrixRates(rows);
  const lines = result.sections.flatMap((section) => sectionLines(section, rates, rows));
  const failed = rows.filter(({ ok }) => !ok).length;
  const unfinished = result.sections.filter(({ status }) => status !== 'done').length;
  return [
    `${machineText(result, rows)}`,
    '',
    '| what | measured | beside it |',
    '|---|---|---|',
    ...lines.map((cells) => `| ${cells.map(cellOf).join(' | ')} |`),
    '',
    `${failed} failed, ${unfinished} sections not finished, ${total(result.sections).toFixed(0)} s.`,
    '',
  ].join('\n');
}

const cellOf = (text = '') => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
const total = (sections) => sections.reduce((sum, { seconds }) => sum + seconds, 0);

function machineText({ date, size, quick, device }, rows) {
  const found = rows.find(({ kind }) => kind === 'machine');
  const day = date.slice(0, 10);
  const how = `${size === 'full' ? '' : `; ${size} models, whose rates mean nothing`}${quick ? '; quick' : ''}`;
  if (found === undefined) return `${day}, ${device}${how}.`;
  const { card, cores, processor, memoryBytes, node, onnxruntime } = found;
  const about = card
    ? `${card.name} (${gib(card.memoryBytes)}, driver ${card.driver})`
    : `${device}${device === 'cpu' ? '' : ', of which nvidia-smi says nothing'}`;
  const host = `${cores} x ${processor}, ${gib(memoryBytes)}`;
  return `${day}: ${about}; ${host}; onnxruntime ${onnxruntime}, Node ${node}${how}.`;
}

/** TFLOP/s of products alone, in the type that steps of a precision have most of their products in. */
function matrixRates(rows) {
  const rateOf = (dtype) =>
    rows.find((row) => row.kind === 'matrix' && row.dtype === dtype && row.teraflopPerSec > 0)
      ?.teraflopPerSec;
  return { bfloat16: rateOf('bfloat16'), float32: rateOf('float32') };
}

function sectionLines({ title, status, note, rows }, rates, all) {
  const own = rows.filter(({ kind, ok }) => kind !== 'machine' && !(kind === 'parity' && ok));
  return [
    ...parityLines(rows.filter(({ kind }) => kind === 'parity')),
    ...own.map((row) => [row.what, ...texts[row.kind](row, rates, all)]),
    ...(status === 'done' ? [] : [[title, `**${status}**`, note ?? '']]),
  ];
}

/** One line for all that agrees, of a kind and precision. */
function parityLines(rows) {
  const groups = Map.groupBy?.(rows, keyOf) ?? groupBy(rows, keyOf);
  return [...groups.values()].map((all) => {
    const compared = all.filter(({ ok, error }) => ok && error !== undefined);
    const { group, precision, quantity } = all[0];
    const what = group === 'rules' ? `gradient rules, ${precision}` : `models, ${quantity}, ${precision}`;
    const without = all.reduce((sum, row) => sum + (row.withoutKernel ?? 0), 0);
    const kernels = without ? `, ${without} cases without a bfloat16 kernel` : '';
    const tried = all.filter(({ ok, error }) => !ok || error !== undefined).length;
    const numbers = `${compared.length} of ${tried} within the bound${kernels}`;
    if (compared.length === 0) return [what, numbers, ''];
    const worst = compared.reduce((most, row) => (row.error > most.error ? row : most));
    return [
      what,
      `largest error ${exponent(worst.error)} (${worst.what})`,
      `bound ${exponent(worst.bound)}; ${numbers}`,
    ];
  });
}

const keyOf = ({ group, precision, quantity }) => [group, precision, quantity].join();

/** Map.groupBy, which Node 20 does not have. */
function groupBy(rows, key) {
  const groups = new Map();
  for (const row of rows) groups.set(key(row), [...(groups.get(key(row)) ?? []), row]);
  return groups;
}

const exponent = (value) => (value === null ? 'no number' : value.toExponential(1));
const gib = (bytes) => `${(bytes / GIB).toFixed(1)} GiB`;
const seconds = (value) => `${value < 0.1 ? `${(1000 * value).toFixed(1)} ms` : `${value.toFixed(2)} s`}`;
const plain = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const failure = ({ note }) => `**failed**${note ? `: ${note}` : ''}`;
const joined = (...parts) => parts.filter((part) => part !== undefined && part !== '').join('; ');

/** `measured` and `beside it` of each kind of row. */
const texts = {
  failure: (row) => [failure(row), ''],
  skipped: ({ note }) => ['not there', note],
  doctor: ({ status, found }) => [status, found],
  parity: ({ quantity, precision, error, bound, worstCase }) => [
    `**differs** by ${exponent(error)} (${joined(quantity, precision)})`,
    joined(`bound ${exponent(bound)}`, worstCase),
  ],
  matrix: (row) => [row.ok ? rateText(row.teraflopPerSec, 'TFLOP/s') : failure(row), ''],
  step: stepTexts,
  peer: peerTexts,
  toy: ({ seconds: took, metrics, losses, sameLabels, beside }) => [
    joined(`WA ${percent(metrics.wa)}, UA ${percent(metrics.ua)}`, lossText(losses)),
    joined(
      Object.entries(took)
        .map(([command, sec]) => `${command} ${sec.toFixed(1)} s`)
        .join(', '),
      sameLabels === undefined ? undefined : `${percent(sameLabels)} of the labels as on the CPU`,
      beside &&
        `CPU: WA ${percent(beside.metrics.wa)}, UA ${percent(beside.metrics.ua)}, ${lossText(beside.losses)}`,
    ),
  ],
  encoder: (row) => [
    row.ok
      ? `${plain(row.audioSecPerSec)} s of audio per second`
      : failure({ note: 'features that are no numbers' }),
    joined(
      `${plain(row.audioSecPerSec / 3600)} hours a second`,
      row.peakBytes && `${gib(row.peakBytes)} on the card`,
    ),
  ],
  rows: (row) => [
    row.ok
      ? rateText(row.rowsPerSec, 'rows per second')
      : failure({ note: 'probabilities that are no numbers' }),
    row.peakBytes ? `${gib(row.peakBytes)} on the card` : '',
  ],
};

function stepTexts(row, rates) {
  const { stepSec, utterancesPerSec, teraflopPerSec, precision, peakBytes, estimateBytes, runSec } = row;
  if (stepSec <= 0) return [joined('too short to be timed', row.ok ? undefined : failure(row)), ''];
  const rate = rates[precision];
  const share = rate === undefined ? '' : ` (${percent(teraflopPerSec / rate)} of products alone)`;
  const memory = peakBytes === undefined ? undefined : `${gib(peakBytes)} on the card`;
  const estimate = estimateBytes === undefined ? undefined : `${gib(estimateBytes)} estimated`;
  return [
    joined(
      `${seconds(stepSec)}, ${plain(utterancesPerSec)} utterances per second`,
      row.ok ? undefined : failure(row),
    ),
    joined(
      `${plain(teraflopPerSec)} TFLOP/s${share}`,
      memory,
      estimate,
      `${seconds(runSec)} for each run besides`,
    ),
  ];
}

/** PyTorch's figure, and how many times as fast emoq was in the same row, if it ran. */
function peerTexts(row, _rates, all) {
  if (!row.ok) return [failure(row), ''];
  const ours = all.find(({ kind, what }) => kind !== 'peer' && `PyTorch: ${what}` === row.what);
  const [isStep, both] = [row.stepSec !== undefined, ours?.ok === true];
  const ratio = isStep ? row.stepSec / ours?.stepSec : ours?.audioSecPerSec / row.audioSecPerSec;
  return [
    isStep ? `${seconds(row.stepSec)} per step` : `${plain(row.audioSecPerSec)} s of audio per second`,
    joined(
      both && ratio > 0 ? `emoq ${ratio.toFixed(2)} times as fast` : undefined,
      row.peakBytes ? `${gib(row.peakBytes)} reserved` : undefined,
      `torch ${row.torch}`,
    ),
  ];
}

const rateText = (rate, unit) => (rate > 0 ? `${plain(rate)} ${unit}` : 'too short to be timed');
const percent = (fraction) => `${(100 * fraction).toFixed(fraction < 0.1 ? 1 : 0)} %`;
const lossText = ({ stage1, stage2 }) =>
  `last loss ${stage1.last?.toPrecision(4)} (stage 1), ${stage2.last?.toPrecision(4)} (stage 2)`;
