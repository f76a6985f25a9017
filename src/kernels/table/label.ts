// Sizes of kernel calls in words, where several rows share the way.

/** The sizes of the result without leading ones, and the strides of an operand that is not as dense as it. */
export function binaryLabel(v: readonly number[]): string {
  const [n0, n1, n2] = v as [number, number, number];
  const dims = [n0, n1, n2].slice(n0 > 1 ? 0 : n1 > 1 ? 1 : 2);
  const isDense = (strides: readonly number[]): boolean =>
    [n1 * n2, n2, 1].every((stride, k) => v[k] === 1 || strides[k] === stride);
  const strided = (name: string, from: number): string => {
    const strides = v.slice(from, from + 3);
    return isDense(strides) ? '' : `, ${name} by ${strides.slice(-dims.length).join(' ')}`;
  };
  return dims.join('x') + strided('a', 3) + strided('b', 6);
}
