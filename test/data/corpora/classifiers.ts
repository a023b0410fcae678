/** @file Small classifiers that look for leaks: each is fitted on one set of rows and scored on another. */

export interface Row<T> {
  readonly features: T;
  readonly label: string;
}

type Numbers = readonly number[];

/**
 * Accuracy on `test` of the better of nearest class mean and 5 nearest neighbours, with features standardised on
 * `train`.
 */
export function bestAccuracy(train: readonly Row<Numbers>[], test: readonly Row<Numbers>[]): number {
  const width = train[0]!.features.length;
  const moments = Array.from({ length: width }, (_, column) => {
    const values = train.map(({ features }) => features[column]!);
    const mean = average(values);
    return { mean, deviation: Math.sqrt(average(values.map((value) => (value - mean) ** 2))) || 1 };
  });
  const standardise = ({ features, label }: Row<Numbers>): Row<Numbers> => ({
    features: features.map((value, column) => (value - moments[column]!.mean) / moments[column]!.deviation),
    label,
  });
  const fitted = train.map(standardise);
  const asked = test.map(standardise);
  const labels = [...new Set(train.map(({ label }) => label))].sort();
  const means = labels.map((label) => {
    const members = fitted.filter((row) => row.label === label);
    const mean = Array.from({ length: width }, (_, column) =>
      average(members.map(({ features }) => features[column]!)),
    );
    return { features: mean, label };
  });
  return Math.max(
    accuracy(asked, (features) => nearest(means, features, 1)),
    accuracy(asked, (features) => nearest(fitted, features, 5)),
  );
}

/** Accuracy on `test` of naive Bayes over the words of a text. */
export function wordAccuracy(train: readonly Row<string>[], test: readonly Row<string>[]): number {
  const wordsOf = (text: string): Set<string> => new Set(text.toLowerCase().match(/[a-z]+/g));
  const labels = [...new Set(train.map(({ label }) => label))].sort();
  const known = labels.map((label) => {
    const members = train.filter((row) => row.label === label);
    const counts = new Map<string, number>();
    for (const { features } of members)
      for (const word of wordsOf(features)) counts.set(word, (counts.get(word) ?? 0) + 1);
    return { label, total: members.length, counts };
  });
  return accuracy(test, (text) => {
    const scores = known.map(({ total, counts }) =>
      [...wordsOf(text)].reduce(
        (sum, word) => sum + Math.log(((counts.get(word) ?? 0) + 0.5) / (total + 1)),
        0,
      ),
    );
    return labels[scores.indexOf(Math.max(...scores))]!;
  });
}

/** An accuracy that guessing exceeds about once in a thousand tries: chance plus three sigma. */
export function guessingBound(classes: number, rows: number): number {
  const chance = 1 / classes;
  return chance + 3 * Math.sqrt((chance * (1 - chance)) / rows);
}

function nearest(rows: readonly Row<Numbers>[], features: Numbers, count: number): string {
  const votes = rows
    .map((row) => ({
      label: row.label,
      distance: row.features.reduce((sum, value, column) => sum + (value - features[column]!) ** 2, 0),
    }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ label }) => label);
  const tally = (label: string): number => votes.filter((vote) => vote === label).length;
  return votes.reduce((best, label) => (tally(label) > tally(best) ? label : best));
}

function accuracy<T>(rows: readonly Row<T>[], predict: (features: T) => string): number {
  return average(rows.map(({ features, label }) => (predict(features) === label ? 1 : 0)));
}

function average(values: Numbers): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
