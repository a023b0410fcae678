/**
 * @file The schema of a recipe, which depends on its system, and its keys. A recipe has the same keys in YAML and in
 * TypeScript.
 */

import { z } from 'zod';
import { DEFAULT_SYSTEM, type Origin, type Recipe, systemNamed } from '../systems/index.js';

/** A leaf key of the schema. */
export interface RecipeKey {
  /** Dotted, as in `--set`. */
  readonly path: string;
  readonly origin: Origin;
  readonly description: string;
}

/** Every leaf key of a system's recipes, in schema order. @param system an unknown name means the default system */
export function recipeKeys(system: unknown = DEFAULT_SYSTEM): RecipeKey[] {
  return leafKeys(schemaOf(system), []);
}

/** The schema of a system's recipes; the default system's if the name is unknown. */
export function schemaOf(system: unknown): z.ZodType<Recipe> {
  return (systemNamed(system) ?? systemNamed(DEFAULT_SYSTEM)!).schema;
}

/** Keys of the section at `path` ([] is the recipe itself); undefined if it is not a section. */
export function sectionKeys(system: unknown, path: readonly PropertyKey[]): string[] | undefined {
  let schema: z.ZodType | undefined = schemaOf(system);
  for (const key of path) schema = schema && shapeOf(schema)?.[String(key)];
  const shape = schema && shapeOf(schema);
  return shape && Object.keys(shape);
}

function leafKeys(schema: z.ZodType, path: readonly string[]): RecipeKey[] {
  const shape = shapeOf(schema);
  if (shape) return Object.entries(shape).flatMap(([key, value]) => leafKeys(value, [...path, key]));
  const { origin, description } = schema.meta() ?? {};
  if (origin === undefined || description === undefined) {
    throw new Error(`recipe key ${path.join('.')} does not say whether the paper gives it`);
  }
  return [{ path: path.join('.'), origin, description }];
}

/** Keys and schemas of a section; undefined for a plain value. */
function shapeOf(schema: z.ZodType): Record<string, z.ZodType> | undefined {
  let inner: unknown = schema;
  while (inner instanceof z.ZodDefault || inner instanceof z.ZodPrefault || inner instanceof z.ZodNullable) {
    inner = inner.unwrap();
  }
  return inner instanceof z.ZodObject ? (inner.shape as Record<string, z.ZodType>) : undefined;
}
