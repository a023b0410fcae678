/** @file Searches over recipe keys: random or Sobol' trials, median stopping, the best trial as a recipe. */

export { runSearch, titleOfTrial } from './search.js';
export { type SearchOutcome, searchObject, valueText } from './search-files.js';
export { readSpace } from './space.js';
export { planTrials, type RankingFigure, type SearchPlan, type Trial, type TrialResult } from './trials.js';
