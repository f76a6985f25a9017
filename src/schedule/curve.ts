// The curves that schedules are made of, on [0, 1]; both ends are hit exactly, not to a rounding error.

/** `from (1 - p) + to p`. */
export const mix = (from: number, to: number, p: number): number => from * (1 - p) + to * p;

/** `(1 - cos(pi p)) / 2`: half a cosine, from 0 up to 1. */
export const halfCosine = (p: number): number => (1 - Math.cos(Math.PI * p)) / 2;
