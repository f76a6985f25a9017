// evaluate: means over samples, in evaluation mode.
import { expect, test } from 'vitest';
import { mseLoss, tensor, type Tensor } from '../../src/index.js';
import * as nn from '../../src/nn/index.js';
import { currentScope } from '../../src/memory/arena.js';
import { evaluate, type Pair } from '../../src/train/index.js';

/** Its outputs are its inputs. */
const identity = (x: Tensor): Tensor => x;

test('Loss and accuracy are means over samples, whatever the sizes of the batches.', async () => {
  const batches: Pair[] = [
    [
      tensor([
        [5, 0],
        [0, 5],
        [0, 5],
      ]),
      Int32Array.of(0, 1, 0),
    ],
    [tensor([[5, 0]]), [0]],
  ];
  const { loss, accuracy, samples } = await evaluate(identity, batches);
  const right = Math.log1p(Math.exp(-5));
  expect(loss).toBeCloseTo((3 * right + (5 + right)) / 4, 5);
  expect([accuracy, samples]).toEqual([0.75, 4]);
  expect(currentScope()).toBeNull();
});

test('Without class labels the accuracy is NaN.', async () => {
  const { loss, accuracy } = await evaluate(identity, [[tensor([[1], [2]]), tensor([[0], [0]])]], {
    loss: mseLoss,
  });
  expect(loss).toBeCloseTo(2.5, 6);
  expect(accuracy).toBeNaN();
});

test('The model is in evaluation mode meanwhile, and gets its mode back.', async () => {
  const modes: boolean[] = [];
  class Spy extends nn.Module {
    override forward(x: Tensor): Tensor {
      modes.push(this.training);
      return x;
    }
  }
  const model = new Spy();
  const batch: Pair = [tensor([[1, 0]]), [0]];
  await evaluate(model, [batch]);
  expect(model.training).toBe(true);
  model.eval();
  await evaluate(model, [batch]);
  expect([modes, model.training]).toEqual([[false, false], false]);
});

test('It stops between batches at a signal and refuses data without a batch.', async () => {
  const batch: Pair = [tensor([[1, 0]]), [0]];
  const { samples } = await evaluate(identity, [batch, batch], { signal: AbortSignal.abort() });
  expect(samples).toBe(1);
  await expect(evaluate(identity, [])).rejects.toThrow('evaluate: the data has no batch');
});
