/** @file The sections of a report in their order; those without content are left out, with a list of why. */

import type { AbsentSection, Section } from './blocks.js';
import type { ReportData } from './report-data.js';
import type { PlotsBySection } from './report-plots.js';
import {
  absentSection,
  layerSection,
  metadataSection,
  promptSection,
  recipeSection,
  trainingSection,
} from './run-sections.js';
import {
  ablationSection,
  calibrationSection,
  classSection,
  confusionSection,
  headlineSection,
  noiseSection,
  spreadSection,
} from './score-sections.js';
import { mapSection, mistakeSection } from './utterance-sections.js';

export function sectionsOf(data: ReportData, plots: PlotsBySection): Section[] {
  const all = [
    headlineSection(data, plots),
    spreadSection(data, plots),
    confusionSection(data, plots),
    classSection(data, plots),
    calibrationSection(data, plots),
    noiseSection(data, plots),
    mapSection(data, plots),
    layerSection(data, plots),
    trainingSection(data, plots),
    ablationSection(data, plots),
    mistakeSection(data),
    recipeSection(data),
    promptSection(data),
    metadataSection(data),
  ].filter((each) => each !== null);
  const isAbsent = (each: Section | AbsentSection): each is AbsentSection => 'reason' in each;
  const present = all.filter((each): each is Section => !isAbsent(each));
  const absence = absentSection(all.filter(isAbsent));
  return absence === null ? present : [...present, absence];
}
