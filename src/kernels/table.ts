// The kernel table: every kernel's name and facts. The engines must offer exactly these, with these arguments.
import type { KernelRow } from './row.js';
import { attention } from './table/attention.js';
import { convolution } from './table/conv.js';
import { groupNorms } from './table/groupnorm.js';
import { inplace } from './table/inplace.js';
import { losses } from './table/loss.js';
import { matmul } from './table/matmul.js';
import { move } from './table/move.js';
import { layers, norm } from './table/norm.js';
import { pointwise } from './table/pointwise.js';
import { pooling } from './table/pool.js';
import { random } from './table/random.js';
import { recurrent } from './table/recurrent.js';
import { reduce } from './table/reduce.js';
import { curvedSlopes, slopes } from './table/slopes.js';
import { updates } from './table/update.js';

const rows = {
  ...pointwise,
  ...slopes,
  ...curvedSlopes,
  ...inplace,
  ...reduce,
  ...move,
  ...matmul,
  ...convolution,
  ...pooling,
  ...norm,
  ...layers,
  ...groupNorms,
  ...losses,
  ...attention,
  ...recurrent,
  ...random,
  ...updates,
};

export type KernelName = keyof typeof rows;
export const table: Readonly<Record<KernelName, KernelRow>> = rows;
export const kernelNames = Object.keys(rows) as KernelName[];
