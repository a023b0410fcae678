/** @file What a pickle can hold, once it is read. */

/** What a pickle can hold. */
export type PickleValue = null | boolean | number | bigint | string | PickleTuple | PickleDict | PickleObject;

export type PickleTuple = readonly PickleValue[];

/** A dict or an OrderedDict. */
export type PickleDict = Map<PickleValue, PickleValue>;

/** Everything else; `kind` tells what it is, and no pickle can forge one. */
export interface PickleObject {
  readonly kind: string;
}

export interface PickleList extends PickleObject {
  readonly kind: 'list';
  readonly items: PickleValue[];
}

/** An allowed global that the pickle may call. */
export interface PickleFunction extends PickleObject {
  readonly kind: 'function';
  readonly call: (args: PickleTuple) => PickleValue;
}

export function isList(value: PickleValue): value is PickleList {
  return isObject(value) && value.kind === 'list';
}

export function isFunction(value: PickleValue): value is PickleFunction {
  return isObject(value) && value.kind === 'function';
}

/** True for what is no plain value, tuple or dictionary. */
export function isObject(value: PickleValue | undefined): value is PickleObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Map);
}

/** Text from a file for a message: JSON on one line, at most 80 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
