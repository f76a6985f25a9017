// Folds what follows a product into the product's own last step: a bias that is added to every row, then an activation.
import { accesses, changed, redirected, type Graph, type Launch } from '../graph.js';
import { ACTIVATIONS } from '../../kernels/table/matmul.js';
import { Draft, type Single } from '../uses.js';

/** Arguments of `matmul`. */
const [OUT, BIAS, BATCH, M, N, LDC, SC, ACT] = [0, 3, 4, 5, 6, 12, 15, 16] as const;

/** Whether a product fills its output without gaps. */
const isDense = ({ args }: Launch): boolean =>
  args[LDC] === args[N] && (args[BATCH] === 1 || args[SC] === args[M]! * args[N]!);

const sizeOf = ({ args }: Launch): number => args[BATCH]! * args[M]! * args[N]!;

export function foldEpilogues(graph: Graph): Graph {
  const draft = new Draft(graph);
  graph.instructions.forEach((_, at) => {
    const launch = draft.launches[at];
    if (launch?.kernel !== 'matmul' || !isDense(launch)) return;
    fold(draft, at, withBias);
    fold(draft, at, withActivation);
  });
  return draft.done();
}

/** The product with the launch `next` in it, or null; `input` is the pointer of `next` that is the product's output. */
type Rule = (product: Single, next: Single, input: number) => Single | null;

/** Folds the only reader of the product's output into the product, if the rule can. */
function fold(draft: Draft, at: number, rule: Rule): void {
  const product = draft.launches[at]!;
  const [buffer, from] = [product.owners[OUT]!, product.args[OUT]!];
  const uses = draft.of(buffer);
  const reader = uses[1];
  if (!draft.isInner(buffer) || from !== 0 || uses.length !== 2 || uses[0]!.at !== at || !reader?.reads)
    return;
  const next = draft.launches[reader.at]!;
  const folded = next.part === product.part ? rule(product, next, reader.arg) : null;
  if (!folded) return;
  const [result] = accesses(next);
  // The product writes the result earlier than it was written, and reads the bias earlier than it was read.
  const early = draft.of(result!.owner).some((use) => use.at < reader.at && use.at >= at);
  const late = accesses(next).some((access) => access.reads && draft.touched(access, at, reader.at, true));
  if (!draft.isComputed(result!.owner) || result!.from !== 0 || early || late) return;
  draft.replace(reader.at, null);
  draft.replace(at, { ...folded, origins: [...product.origins, ...next.origins] });
}

const withActivation: Rule = (product, next) => {
  const act = ACTIVATIONS.indexOf(next.kernel as (typeof ACTIVATIONS)[number]);
  if (act <= 0 || product.args[ACT] !== 0 || next.args[2] !== sizeOf(product)) return null;
  const args = product.args.slice();
  args[ACT] = act;
  return redirected(changed(product, { args }), OUT, next.owners[0]!, next.args[0]!);
};

/** add(out, a, b, sizes[3], strides of a[3], strides of b[3]): the bias repeats for every row. */
const withBias: Rule = (product, next, input) => {
  if (
    next.kernel !== 'add' ||
    product.owners[BIAS] !== -1 ||
    product.args[BIAS] !== 0 ||
    product.args[ACT] !== 0
  )
    return null;
  const [rows, n] = [product.args[BATCH]! * product.args[M]!, product.args[N]!];
  const sizes = next.args.slice(3, 6);
  const own = next.args.slice(input === 1 ? 6 : 9, input === 1 ? 9 : 12);
  const other = next.args.slice(input === 1 ? 9 : 6, input === 1 ? 12 : 9);
  const is = (got: readonly number[], want: readonly number[]): boolean => want.every((v, k) => got[k] === v);
  if (!is(sizes, [1, rows, n]) || !is(own.slice(1), [n, 1]) || !is(other.slice(1), [0, 1])) return null;
  const bias = input === 1 ? 2 : 1;
  const moved = redirected(product, OUT, next.owners[0]!, next.args[0]!);
  return redirected(moved, BIAS, next.owners[bias]!, next.args[bias]!);
};
