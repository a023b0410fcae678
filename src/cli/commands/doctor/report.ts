/** @file The doctor's report: lines for people, an object for programs. */

import { outColor } from '../../output.js';
import { emoqVersion } from '../../version.js';
import type { Check } from './check.js';

/** Names of what the main job lacks. */
export function lacking(checks: readonly Check[]): string[] {
  return checks.filter(({ status, needed }) => needed && status === 'missing').map(({ name }) => name);
}

/** In words: what nobody needs for the job is absent and not missing. @param job what is to run, such as `make demo` */
export function reportText(checks: readonly Check[], job: string): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap((check) => {
    const { name, found, mend } = check;
    const indent = ' '.repeat(width + 11);
    return [
      `${statusText(check)}  ${name.padEnd(width)}  ${found}`,
      ...(mend === null ? [] : [`${indent}${outColor.dim('mend:')} ${mend}`]),
    ];
  });
  const lacks = lacking(checks);
  const verdict =
    lacks.length === 0
      ? `${outColor.green('ready:')} ${job} can run`
      : `${outColor.red('not ready:')} ${job} cannot run for lack of ${[...new Set(lacks)].join(', ')}`;
  return [...lines, '', verdict].join('\n');
}

export function reportObject(checks: readonly Check[], job: string): object {
  return {
    ready: lacking(checks).length === 0,
    job,
    checks,
    versions: {
      emoq: emoqVersion(),
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
    },
  };
}

function statusText({ status, needed }: Check): string {
  const optional = status === 'missing' && !needed;
  const text = (optional ? 'absent' : status).padEnd(7);
  if (optional) return outColor.dim(text);
  return { ok: outColor.green, warning: outColor.yellow, missing: outColor.red }[status](text);
}
