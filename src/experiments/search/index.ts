/** @file Searches over recipe keys: random or Sobol' trials, median stopping, the best trial as a recipe. */

export { isSearch, readSearch, type SavedSearch, searchFiles } from './saved-search.js';
export { runSearch, titleOfTrial } from './search.js';
export { type SearchOutcome, searchObject } from './search-files.js';
export { readSpace } from './space.js';
export { planTrials, type RankingFigure, type SearchPlan, type Trial, type TrialResult } from './trials.js';
