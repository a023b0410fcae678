/** @file Downloads models one after the other with progress, and prints their folders or what would be downloaded. */

import { formatBytes, InputError, InterruptedError } from '../../base/index.js';
import {
  checkDiskSpace,
  fetchModel,
  type HubAccess,
  type ModelRequest,
  missingBytes,
  openHub,
  otherMain,
  type PullPlan,
  parseModelName,
  planPull,
  publishedModels,
} from '../../checkpoints/hub/index.js';
import { withInterrupts } from '../interrupt.js';
import { startProgress } from '../progress.js';
import { note, printJson, printResult, warn } from '../terminal-output.js';

interface PullRequest {
  /** If there is only one model. */
  readonly revision: string | undefined;
  /** List the files without downloading. */
  readonly dryRun: boolean;
  readonly json: boolean;
}

/**
 * Downloads missing files of the models and prints their folders.
 * @throws InputError if there is no such model or revision, InterruptedError after Ctrl-C
 */
export async function pullModels(
  names: readonly string[],
  { revision, dryRun, json }: PullRequest,
): Promise<void> {
  const requests = await requestsOf(names, revision);
  await withInterrupts('stopping', async (signal) => {
    try {
      const access = await openHub({ signal, onTrouble: note });
      const plans: PullPlan[] = [];
      for (const request of requests) plans.push(await planPull(access, request));
      for (const plan of plans) warnUnchecked(plan);
      if (dryRun) return printPlans(plans, json);
      await checkDiskSpace(access, plans);
      for (const plan of plans) {
        await fetchOne(access, plan);
        if (!json) printResult(plan.snapshot);
      }
      if (json) printJson({ models: plans.map((plan) => planObject(plan)) });
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new InterruptedError('stopped; downloaded data is kept, and the same command resumes');
    }
  });
}

async function fetchOne(access: HubAccess, plan: PullPlan): Promise<void> {
  const bytes = missingBytes(plan);
  const startedParts = plan.files.filter(
    ({ presentBytes, sizeBytes }) => presentBytes > 0 && presentBytes < sizeBytes,
  );
  for (const { path, presentBytes } of startedParts) {
    note(`${plan.id}: resuming with ${path}, ${formatBytes(presentBytes)} already downloaded`);
  }
  const progress = startProgress({ label: `fetching ${plan.id}`, unit: 'bytes' });
  try {
    await fetchModel(access, plan, (done, total) => progress.update(done, total));
  } finally {
    progress.finish();
  }
  note(
    `${plan.id} at commit ${plan.commit}: ${bytes === 0 ? 'complete' : `${formatBytes(bytes)} fetched`}, ${plan.files.length} files`,
  );
  const main = await otherMain(access, plan);
  if (main !== undefined) {
    warn(
      `${plan.id} without a revision still means commit ${main}, according to refs/main of the cache; give ${plan.snapshot} to use this one`,
    );
  }
}

function warnUnchecked({ id, commit, unchecked }: PullPlan): void {
  if (unchecked === undefined) return;
  warn(`${id} is present at commit ${commit}, not verified against the hub: ${unchecked}`);
}

function printPlans(plans: readonly PullPlan[], json: boolean): void {
  if (json) {
    printJson({ models: plans.map((plan) => planObject(plan)) });
    return;
  }
  for (const plan of plans) {
    printResult(`${plan.id} at commit ${plan.commit}`);
    const width = Math.max(...plan.files.map(({ path }) => path.length));
    for (const { path, sizeBytes, presentBytes } of plan.files) {
      const state = presentBytes === sizeBytes ? '  present' : presentBytes > 0 ? '  partial' : '';
      printResult(`  ${path.padEnd(width)}  ${formatBytes(sizeBytes).padStart(9)}${state}`);
    }
  }
  const bytes = plans.reduce((sum, plan) => sum + missingBytes(plan), 0);
  note(`${formatBytes(bytes)} to fetch`);
}

function planObject(plan: PullPlan): object {
  const { id, revision, commit, snapshot, unchecked, files } = plan;
  return {
    id,
    revision,
    commit,
    folder: snapshot,
    checked: unchecked === undefined,
    files: files.map(({ path, sizeBytes, presentBytes }) => ({
      path,
      bytes: sizeBytes,
      bytes_present_before: presentBytes,
    })),
  };
}

async function requestsOf(names: readonly string[], revision: string | undefined): Promise<ModelRequest[]> {
  if (revision !== undefined && (names.length > 1 || names[0]!.includes('@'))) {
    throw new InputError('--revision is for one model; write name@revision for each of several');
  }
  const requests: ModelRequest[] = [];
  for (const name of names) {
    const request = parseModelName(revision === undefined ? name : `${name}@${revision}`);
    if (!request) throw await unknownName(name);
    const isNew = requests.every((other) => other.id !== request.id || other.revision !== request.revision);
    if (isNew) requests.push(request);
  }
  return requests;
}

async function unknownName(name: string): Promise<InputError> {
  const { didYouMean } = await import('../../base/index.js');
  const known = Object.keys(publishedModels);
  return new InputError(
    `there is no model "${name}" among ${known.join(', ')}${didYouMean(name, known) || '; use owner/name for any other'}`,
  );
}
