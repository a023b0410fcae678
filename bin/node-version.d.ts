/** @file Types of node-version.js. */

export declare const SUPPORTED_NODES: string;
export declare const NODE_RANGE: string;
export declare function nodeVersionProblem(version: string): string | undefined;
