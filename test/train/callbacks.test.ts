// EarlyStopping: when it stops, and which weights it leaves.
import { describe, expect, test } from 'vitest';
import { mseLoss, tensor, type Tensor } from '../../src/index.js';
import * as nn from '../../src/nn/index.js';
import * as optim from '../../src/optim/index.js';
import { EarlyStopping, fit, type EpochEvent, type History } from '../../src/train/index.js';

/** One weight that the training raises by about 1 an epoch. */
function climber(): { model: nn.Linear; optimizer: optim.SGD } {
  const model = new nn.Linear(1, 1, { bias: false });
  model.loadStateDict({ weight: tensor([[0]]) });
  return { model, optimizer: new optim.SGD(model.parameters(), { lr: 1 }) };
}

const batch: [Tensor, Tensor] = [tensor([[1]]), tensor([[0]])];
/** Its gradient is -1 everywhere. */
const rise = (y: Tensor): Tensor => y.mul(-1).sum();

async function run(values: number[], stopping: EarlyStopping): Promise<[History, number]> {
  const { model, optimizer } = climber();
  const history = await fit(model, [batch], {
    optimizer,
    loss: rise,
    epochs: values.length,
    callbacks: [stopping],
  });
  return [history, model.weight.item()];
}

/** A monitor that reads from a list. */
const from =
  (values: number[]) =>
  ({ epoch }: EpochEvent): number =>
    values[epoch - 1]!;

describe('EarlyStopping', () => {
  test('stops after patience epochs without better and puts the best weights back', async () => {
    const values = [5, 4, 3, 3.5, 3.2, 3.1, 2, 1];
    const stopping = new EarlyStopping({ monitor: from(values), patience: 2 });
    const [history, weight] = await run(values, stopping);
    expect(history).toMatchObject({
      steps: 6,
      stopped: 'callback',
      message: 'no better for 3 epochs: the best was 3 in epoch 3',
    });
    expect([stopping.best, stopping.bestEpoch, weight]).toEqual([3, 3, 3]);
  });

  test('puts the best weights back when the training ends for another reason', async () => {
    const values = [5, 1, 2, 2];
    const [history, weight] = await run(values, new EarlyStopping({ monitor: from(values), patience: 9 }));
    expect([history.stopped, weight]).toEqual(['epochs', 2]);
  });

  test('leaves the last weights if restoreBest is false', async () => {
    const values = [5, 1, 2, 2];
    const stopping = new EarlyStopping({ monitor: from(values), patience: 9, restoreBest: false });
    expect((await run(values, stopping))[1]).toBe(4);
  });

  test('takes a change below minDelta, and NaN, for none', async () => {
    const values = [5, 4.95, NaN, 4.92];
    const stopping = new EarlyStopping({ monitor: from(values), minDelta: 0.1, patience: 1 });
    const [history] = await run(values, stopping);
    expect([history.steps, stopping.bestEpoch]).toEqual([3, 1]);
  });

  test('looks for the largest value in mode max, above a baseline, from a later epoch on', async () => {
    const values = [9, 0.1, 0.3, 0.6, 0.5, 0.4];
    const stopping = new EarlyStopping({
      monitor: from(values),
      mode: 'max',
      baseline: 0.25,
      startFromEpoch: 2,
      patience: 1,
    });
    const [history] = await run(values, stopping);
    expect([history.steps, stopping.best, stopping.bestEpoch]).toEqual([6, 0.6, 4]);
  });

  test('watches the validation by name', async () => {
    const { model, optimizer } = climber();
    const stopping = new EarlyStopping({ monitor: 'validationLoss' });
    const history = await fit(model, [batch], {
      optimizer,
      loss: mseLoss,
      validation: [batch],
      epochs: 5,
      callbacks: [stopping],
    });
    expect(history.steps).toBe(2);
    await expect(fit(model, [batch], { optimizer, loss: mseLoss, callbacks: [stopping] })).rejects.toThrow(
      /^EarlyStopping: validationLoss needs validation data; pass validation to fit/,
    );
  });

  test('refuses what it cannot do', async () => {
    expect(() => new EarlyStopping({ patiance: 2 } as object)).toThrow(/did you mean "patience"\?/);
    expect(() => new EarlyStopping({ monitor: 'accuracy' as 'loss' })).toThrow(/monitor must be one of/);
    const w = tensor([1], { requiresGrad: true });
    const optimizer = new optim.SGD([w], { lr: 1 });
    await expect(
      fit(() => w, [batch], { optimizer, loss: rise, callbacks: [new EarlyStopping()] }),
    ).rejects.toThrow(/^EarlyStopping: the model is a plain function/);
  });
});
