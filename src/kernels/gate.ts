// The first thing that a kernel with threads does: multiply a few arguments and go straight to the plain export if there is
// little to do. A function with the kernel's own number of parameters costs 3 to 7 ns, one with a rest parameter 20 to 45, so
// the commonest shapes are written out.
import type { Kernel } from './reference.js';
import { workOf } from './split.js';
import type { Split } from './row.js';

/** When threads are used. Tests change these. */
export const limits = {
  /** Nanoseconds of work below which a call is never shared. */
  work: 2500,
  /** Nanoseconds of work, in calls close together, for which parked workers are woken. */
  wake: 60_000,
  /** Nanoseconds of work worth sharing before workers start: about what starting one costs. */
  start: 30e6,
};

type Gate = (alone: Kernel, shared: Kernel, cost: number) => Kernel;

/** By number of arguments and the places whose product is the work. */
const GATES: Readonly<Record<string, Gate>> = {
  '3: 2': (alone, shared, cost) => (a, b, c) =>
    c! * cost < limits.work ? alone(a!, b!, c!) : shared(a!, b!, c!),
  '4: 3': (alone, shared, cost) => (a, b, c, d) =>
    d! * cost < limits.work ? alone(a!, b!, c!, d!) : shared(a!, b!, c!, d!),
  '4: 2,3': (alone, shared, cost) => (a, b, c, d) =>
    c! * d! * cost < limits.work ? alone(a!, b!, c!, d!) : shared(a!, b!, c!, d!),
  '5: 4': (alone, shared, cost) => (a, b, c, d, e) =>
    e! * cost < limits.work ? alone(a!, b!, c!, d!, e!) : shared(a!, b!, c!, d!, e!),
  '5: 3,4': (alone, shared, cost) => (a, b, c, d, e) =>
    d! * e! * cost < limits.work ? alone(a!, b!, c!, d!, e!) : shared(a!, b!, c!, d!, e!),
  '5: 2,3,4': (alone, shared, cost) => (a, b, c, d, e) =>
    c! * d! * e! * cost < limits.work ? alone(a!, b!, c!, d!, e!) : shared(a!, b!, c!, d!, e!),
  '12: 3,4,5': (alone, shared, cost) => (o, a, b, n0, n1, n2, a0, a1, a2, b0, b1, b2) =>
    n0! * n1! * n2! * cost < limits.work
      ? alone(o!, a!, b!, n0!, n1!, n2!, a0!, a1!, a2!, b0!, b1!, b2!)
      : shared(o!, a!, b!, n0!, n1!, n2!, a0!, a1!, a2!, b0!, b1!, b2!),
  '7: 6': (alone, shared, cost) => (a, b, c, d, e, f, n) =>
    n! * cost < limits.work ? alone(a!, b!, c!, d!, e!, f!, n!) : shared(a!, b!, c!, d!, e!, f!, n!),
  '18: 5,6,7,8':
    (alone, shared, cost) => (c, a, b, bias, res, batch, m, n, k, ta, tb, lda, ldb, ldc, sa, sb, sc, act) =>
      batch! * m! * n! * k! * cost < limits.work
        ? alone(c!, a!, b!, bias!, res!, batch!, m!, n!, k!, ta!, tb!, lda!, ldb!, ldc!, sa!, sb!, sc!, act!)
        : shared(
            c!,
            a!,
            b!,
            bias!,
            res!,
            batch!,
            m!,
            n!,
            k!,
            ta!,
            tb!,
            lda!,
            ldb!,
            ldc!,
            sa!,
            sb!,
            sc!,
            act!,
          ),
};

/** `alone` for little work, `shared` for much. */
export function gate(parameters: number, split: Split, alone: Kernel, shared: Kernel): Kernel {
  const plain = split.over ? undefined : GATES[`${parameters}: ${split.work.join()}`];
  if (plain) return plain(alone, shared, split.cost);
  return (...args) => (workOf(split, args) < limits.work ? alone(...args) : shared(...args));
}
