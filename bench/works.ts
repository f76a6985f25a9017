// All works, by group.
import { kernels } from './kernels.bench.js';
import { ops } from './ops.bench.js';
import { optimizers } from './optimizers.bench.js';
import type { Work } from './runner.js';
import { steps } from './steps.bench.js';

export const GROUPS: Readonly<Record<string, readonly Work[]>> = { kernels, ops, optimizers, steps };
