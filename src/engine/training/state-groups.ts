/**
 * @file How the trained parameters are laid out. Parameters that share a tensor are updated by one set of nodes, and
 * cross the bus as one transfer; a model has hundreds of them.
 */

import { concat, int64Vector, named, reshape, split, type Value } from '../onnx/index.js';
import type { StatePart } from '../runtime/index.js';
import { elementCount } from '../tensor/index.js';

/** A parameter's key and shape. */
export interface ParameterShape {
  readonly key: string;
  readonly shape: readonly number[];
  /** Its learning rate relative to that of the run; default 1. */
  readonly rateFactor?: number;
}

/** Parameters that are one tensor of the training state. */
export interface StateGroup {
  /** The key of its only member, or the name of the shared tensor. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly members: readonly ParameterShape[];
  /** Whether weight decay applies to its members. */
  readonly decays: boolean;
  /** Their learning rate relative to that of the run. */
  readonly rateFactor: number;
}

/** Biases and normalisation scales, which have fewer than two axes, are exempt from weight decay. */
const decays = ({ shape }: ParameterShape): boolean => shape.length >= 2;

/**
 * Widths of shared tensors, of which a parameter takes the first that divides its size. onnxruntime's CUDA kernels for
 * Split and Concat upload 8 bytes for each row.
 */
const WIDTHS = [4096, 64, 1] as const;

/**
 * Groups parameters: those with fewer than `sharedBelow` elements share tensors [rows, width], with weight decay and
 * without, and by learning rate; each of the others is a tensor of its own.
 */
export function stateGroups(parameters: readonly ParameterShape[], sharedBelow: number): StateGroup[] {
  const shares = ({ shape }: ParameterShape): boolean => elementCount(shape) < sharedBelow;
  const alone = parameters
    .filter((parameter) => !shares(parameter))
    .map((parameter) => ({
      name: parameter.key,
      shape: parameter.shape,
      members: [parameter],
      decays: decays(parameter),
      rateFactor: factorOf(parameter),
    }));
  const factors = [...new Set(parameters.map(factorOf))].sort((a, b) => a - b);
  const shared = factors.flatMap((rateFactor) =>
    [true, false].flatMap((decaying) =>
      WIDTHS.flatMap((width): StateGroup[] => {
        const members = parameters.filter(
          (each) =>
            shares(each) &&
            factorOf(each) === rateFactor &&
            decays(each) === decaying &&
            widthOf(each) === width,
        );
        const rate = rateFactor === 1 ? '' : `_at_rate_times_${rateFactor}`;
        const name = `shared_${decaying ? 'with' : 'without'}_decay${rate}_${width}`;
        return portions(members).map((portion, index) => {
          const rows = portion.reduce((total, { shape }) => total + elementCount(shape) / width, 0);
          return {
            name: `${name}_${index}`,
            shape: [rows, width],
            members: portion,
            decays: decaying,
            rateFactor,
          };
        });
      }),
    ),
  );
  return [...alone, ...shared];
}

const factorOf = ({ rateFactor = 1 }: ParameterShape): number => rateFactor;

/** Elements of a shared tensor, unless it is one larger parameter: the update's intermediate results are as large. */
const MAX_SHARED = 1 << 24;

/** Parameters in order, cut where a portion would have too many elements. */
function portions(members: readonly ParameterShape[]): ParameterShape[][] {
  const cut: ParameterShape[][] = [];
  let elements = 0;
  for (const member of members) {
    const size = elementCount(member.shape);
    if (cut.length === 0 || elements + size > MAX_SHARED) {
      cut.push([]);
      elements = 0;
    }
    cut.at(-1)!.push(member);
    elements += size;
  }
  return cut;
}

function widthOf({ shape }: ParameterShape): number {
  return WIDTHS.find((width) => elementCount(shape) % width === 0)!;
}

/** Where the members lie in the group's tensor, under the names that files know them by. */
export function partsOf({ members }: StateGroup, nameOf: (key: string) => string): StatePart[] {
  let offset = 0;
  return members.map(({ key, shape }) => {
    const part = { name: nameOf(key), offset, shape };
    offset += elementCount(shape);
    return part;
  });
}

/** The members' own tensors, cut from the groups' values. One Split serves a shared tensor. */
export function membersOf(groups: readonly StateGroup[], values: readonly Value[]): Map<string, Value> {
  return new Map(
    groups.flatMap(({ name, members, shape }, position): [string, Value][] => {
      const whole = values[position]!;
      if (members.length === 1 && members[0]!.key === name) return [[name, whole]];
      const rows = members.map((member) => elementCount(member.shape) / shape[1]!);
      const pieces = split(whole, 0, rows, int64Vector(whole.graph, rows));
      return members.map(({ key, shape: own }, index) => [key, named(reshape(pieces[index]!, own), key)]);
    }),
  );
}

/** The groups' values of one value per member, such as their gradients. */
export function gathered(
  groups: readonly StateGroup[],
  memberValue: (parameter: ParameterShape) => Value,
): Value[] {
  return groups.map(({ members, shape }) => {
    if (members.length === 1) return reshape(memberValue(members[0]!), shape);
    return concat(
      members.map((member) =>
        reshape(memberValue(member), [elementCount(member.shape) / shape[1]!, shape[1]!]),
      ),
      0,
    );
  });
}
