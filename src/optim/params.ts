// Groups made from a model's parameter names: which of them weight decay should leave alone.
import { checkOptions, describe, nearest, typeError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';

/** What has named parameters: any `nn` module. */
export interface HasParameters {
  namedParameters(): Iterable<readonly [string, Tensor]>;
}

export interface ParamGroupsOptions {
  /**
   * Which parameters are not decayed. 'auto': biases, and all of at most one dimension, such as the scales of norm layers.
   * Or patterns: a string matches a name or a part of it between dots, a regular expression is searched in the name.
   */
  noDecay?: 'auto' | readonly (string | RegExp)[];
}

/** A group as optimizers take it. */
export interface ParamGroup {
  params: (readonly [string, Tensor])[];
  weightDecay?: number;
}

/**
 * Returns the parameters of `model` in at most two groups, each parameter in exactly one: those that are decayed as the
 * optimizer's options say, and those with `weightDecay: 0`.
 * @throws TypeError for a pattern that matches no parameter.
 * @example
 * new optim.AdamW(optim.paramGroups(model, { noDecay: 'auto' }), { lr: 3e-4, weightDecay: 0.1 });
 * new optim.SGD(optim.paramGroups(model, { noDecay: ['bias', /^embedding/] }), { lr: 0.1, weightDecay: 5e-4 });
 */
export function paramGroups(model: HasParameters, options: ParamGroupsOptions = {}): ParamGroup[] {
  const where = 'optim.paramGroups';
  checkOptions(where, options, ['noDecay']);
  const { noDecay = 'auto' } = options;
  if (typeof (model as Partial<HasParameters> | null)?.namedParameters !== 'function')
    throw typeError(where, `expected a model with namedParameters(), got ${describe(model)}`);
  const pairs = [...model.namedParameters()];
  const spared = noDecay === 'auto' ? isSmall : matcher(where, noDecay, pairs);
  const decayed = pairs.filter((pair) => !spared(pair));
  const rest = pairs.filter(spared);
  return [
    ...(decayed.length > 0 ? [{ params: decayed }] : []),
    ...(rest.length > 0 ? [{ params: rest, weightDecay: 0 }] : []),
  ];
}

type Pair = readonly [string, Tensor];

const isSmall = ([name, t]: Pair): boolean => t.ndim <= 1 || /(^|\.)bias$/.test(name);

const matches = (pattern: string | RegExp, name: string): boolean =>
  typeof pattern === 'string' ? `.${name}.`.includes(`.${pattern}.`) : name.search(pattern) >= 0;

function matcher(where: string, patterns: unknown, pairs: readonly Pair[]): (pair: Pair) => boolean {
  if (!Array.isArray(patterns))
    throw typeError(where, `noDecay must be "auto" or an array of patterns, got ${describe(patterns)}`);
  const names = pairs.map(([name]) => name);
  for (const pattern of patterns as unknown[]) {
    if (typeof pattern !== 'string' && !(pattern instanceof RegExp))
      throw typeError(where, `a pattern must be a string or a RegExp, got ${describe(pattern)}`);
    if (names.some((name) => matches(pattern, name))) continue;
    const close =
      typeof pattern === 'string'
        ? nearest(
            pattern,
            names.flatMap((n) => [n, ...n.split('.')]),
          )
        : undefined;
    throw typeError(
      where,
      `no parameter matches ${String(pattern)}`,
      close ? `did you mean "${close}"?` : undefined,
    );
  }
  return ([name]) => (patterns as (string | RegExp)[]).some((pattern) => matches(pattern, name));
}
