// The training loop: every way data can come, every reason to end, and what is left behind.
import { describe, expect, test } from 'vitest';
import '../../src/index.js';
import * as data from '../../src/data/index.js';
import * as nn from '../../src/nn/index.js';
import { manualSeed, mseLoss, mul, square, sum, tensor, type Tensor } from '../../src/index.js';
import * as optim from '../../src/optim/index.js';
import { currentScope } from '../../src/memory/arena.js';
import { evaluate, events, fit, type Pair, type TrainEvent } from '../../src/train/index.js';

/** Points of y = 2x - 1. */
const XS = [-2, -1, -0.5, 0, 0.5, 1, 1.5, 2];
const line = (x: number): number => 2 * x - 1;

const lineModel = (): { model: nn.Linear; optimizer: optim.SGD } => {
  manualSeed(3);
  const model = new nn.Linear(1, 1);
  return { model, optimizer: new optim.SGD(model.namedParameters(), { lr: 0.1 }) };
};

const column = (values: number[]): Tensor => tensor(values, { shape: [values.length, 1] });
const full: Pair = [column(XS), column(XS.map(line))];

const learnt = (model: nn.Linear): void => {
  expect(model.weight.item()).toBeCloseTo(2, 2);
  expect(model.bias!.item()).toBeCloseTo(-1, 2);
};

describe('fit takes data in every form', () => {
  test('mini-batches from a loader, shuffled anew each epoch', async () => {
    const { model, optimizer } = lineModel();
    const set = new data.ArrayDataset(full[0] as Tensor, full[1] as Tensor);
    const loader = new data.DataLoader(set, { batchSize: 4, shuffle: true, seed: 1 });
    const history = await fit(model, loader, { optimizer, loss: mseLoss, epochs: 60 });
    learnt(model);
    expect(history).toMatchObject({ steps: 120, samples: 480, stopped: 'epochs', message: '60 epochs done' });
    expect(history.epochs).toHaveLength(60);
    expect(history.loss).toHaveLength(120);
    expect(history.lr.every((lr) => lr === 0.1)).toBe(true);
    expect(currentScope()).toBeNull();
  });

  test('one pair at a time from an asynchronous stream', async () => {
    const { model, optimizer } = lineModel();
    async function* stream(): AsyncGenerator<Pair> {
      for (let k = 0; k < 400; k++) {
        await Promise.resolve();
        const x = XS[k % XS.length]!;
        yield [[x], [line(x)]];
      }
    }
    const history = await fit(model, stream(), { optimizer, loss: mseLoss, online: true });
    learnt(model);
    expect(history).toMatchObject({ steps: 400, samples: 400, stopped: 'epochs' });
  });

  test('a pair with a number as y is a single example without being told', async () => {
    manualSeed(1);
    const model = new nn.Linear(2, 3);
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.5 });
    const pairs: Pair[] = [
      [[1, 0], 0],
      [[0, 1], 1],
      [[-1, -1], 2],
    ];
    const history = await fit(model, pairs, { optimizer, epochs: 40 });
    expect(history.samples).toBe(120);
    const { accuracy, samples } = await evaluate(model, pairs);
    expect([accuracy, samples]).toEqual([1, 3]);
  });

  test('the full batch in pieces has the gradient of the full batch', async () => {
    const whole = lineModel();
    await fit(whole.model, [full], { optimizer: whole.optimizer, loss: mseLoss, epochs: 5 });
    const pieces = lineModel();
    const set = new data.ArrayDataset(full[0] as Tensor, full[1] as Tensor);
    const loader = new data.DataLoader(set, { batchSize: 2 });
    const history = await fit(pieces.model, loader, {
      optimizer: pieces.optimizer,
      loss: mseLoss,
      epochs: 5,
      accumulate: 4,
    });
    expect(history.steps).toBe(5);
    expect(pieces.model.weight.item()).toBeCloseTo(whole.model.weight.item(), 5);
    expect(pieces.model.bias!.item()).toBeCloseTo(whole.model.bias!.item(), 5);
  });

  test('micro-batches left over at the end of an epoch count in the next one', async () => {
    const { model, optimizer } = lineModel();
    const batches = [full, full, full];
    const history = await fit(model, batches, { optimizer, loss: mseLoss, epochs: 4, accumulate: 2 });
    expect(history.steps).toBe(6);
    expect(optimizer.stepCount).toBe(6);
    expect(history.epochs.map((e) => e.step)).toEqual([1, 3, 4, 6]);
  });

  test('a function that opens a new stream for each epoch', async () => {
    const { model, optimizer } = lineModel();
    let opened = 0;
    const open = function* (): Generator<Pair> {
      opened++;
      yield full;
    };
    const history = await fit(model, open, { optimizer, loss: mseLoss, epochs: 3 });
    expect([opened, history.steps]).toEqual([3, 3]);
  });
});

describe('fit ends', () => {
  test('where the gradient is about zero', async () => {
    const w = tensor([3, -2], { requiresGrad: true });
    const optimizer = new optim.SGD([w], { lr: 0.1 });
    const history = await fit(() => mul(w, [1, 2]), [[0, 0] as unknown as Pair], {
      optimizer,
      loss: (y) => sum(square(y)),
      epochs: 1000,
      gradTolerance: 1e-3,
    });
    expect(history.stopped).toBe('gradient');
    expect(history.message).toMatch(/^the gradient's norm is \S+ at step \d+, below 0.001$/);
    expect(history.gradNorm.at(-1)).toBeLessThanOrEqual(1e-3);
    expect(history.gradNorm.at(-2)).toBeGreaterThan(1e-3);
    expect(Math.hypot(...(w.toArray() as number[]))).toBeLessThan(1e-3);
  });

  test('only after several flat steps in a row if it is asked for', async () => {
    const run = async (gradPatience: number): Promise<number> => {
      const w = tensor([1], { requiresGrad: true });
      const options = { optimizer: new optim.SGD([w], { lr: 0.1 }), gradTolerance: 1e-2, gradPatience };
      const pairs: Pair[] = [[[1], [0]]];
      return (await fit(() => w, pairs, { ...options, loss: (y) => sum(square(y)), epochs: 500 })).steps;
    };
    expect(await run(6)).toBe((await run(1)) + 5);
  });

  test('after the current step when the signal says so, keeping what was done', async () => {
    const { model, optimizer } = lineModel();
    const controller = new AbortController();
    const history = await fit(model, [full], {
      optimizer,
      loss: mseLoss,
      epochs: 100,
      signal: controller.signal,
      callbacks: [
        {
          onStep: ({ step }) => {
            if (step === 7) controller.abort();
          },
        },
      ],
    });
    expect(history).toMatchObject({
      steps: 7,
      stopped: 'signal',
      message: 'stopped from outside after step 7',
    });
    expect(history.epochs).toHaveLength(6);
    expect(history.loss).toHaveLength(7);
  });

  test('before the first step when the signal has spoken already', async () => {
    const { model, optimizer } = lineModel();
    const before = model.weight.item();
    const history = await fit(model, [full], { optimizer, loss: mseLoss, signal: AbortSignal.abort() });
    expect(history).toMatchObject({ steps: 0, stopped: 'signal' });
    expect(model.weight.item()).toBe(before);
  });

  test('at a signal that comes from a timer while it works', async () => {
    const { model, optimizer } = lineModel();
    const controller = new AbortController();
    setImmediate(() => controller.abort());
    const history = await fit(model, () => forever(), {
      optimizer,
      loss: mseLoss,
      signal: controller.signal,
    });
    expect(history.stopped).toBe('signal');
    expect(history.steps).toBeGreaterThan(0);
  });

  test('at a loss that is not finite, naming the step, with the parameters as they were', async () => {
    const { model, optimizer } = lineModel();
    const poisoned: Pair[] = [full, full, [column([NaN]), column([1])], full];
    const history = await fit(model, poisoned, { optimizer, loss: mseLoss, epochs: 2 });
    expect(history.stopped).toBe('nonFinite');
    expect(history.message).toBe(
      'the loss became NaN at step 3 (epoch 1), and the parameters were left as they were; the gradient of "weight" is not finite',
    );
    expect(history.steps).toBe(3);
    expect(Number.isFinite(model.weight.item())).toBe(true);
  });

  test('with an error at such a loss, or not at all, if that is asked for', async () => {
    const poisoned: Pair[] = [full, [column([NaN]), column([1])], full];
    const a = lineModel();
    const throwing = fit(a.model, poisoned, { optimizer: a.optimizer, loss: mseLoss, onNonFinite: 'throw' });
    await expect(throwing).rejects.toThrow(/^fit: the loss became NaN at step 2 \(epoch 1\)/);
    const b = lineModel();
    const skipping = await fit(b.model, poisoned, {
      optimizer: b.optimizer,
      loss: mseLoss,
      onNonFinite: 'skip',
    });
    expect(skipping).toMatchObject({ steps: 3, stopped: 'epochs' });
    expect(b.optimizer.stepCount).toBe(2);
    const c = lineModel();
    await fit(c.model, poisoned, { optimizer: c.optimizer, loss: mseLoss, onNonFinite: 'propagate' });
    expect(c.model.weight.item()).toBeNaN();
  });

  test('after maxSteps, in the middle of an epoch too', async () => {
    const { model, optimizer } = lineModel();
    const history = await fit(model, [full, full, full], {
      optimizer,
      loss: mseLoss,
      epochs: 9,
      maxSteps: 4,
      validation: [full],
    });
    expect(history).toMatchObject({ steps: 4, stopped: 'maxSteps', message: '4 steps were asked for' });
    expect(history.epochs).toHaveLength(2);
    expect(history.epochs[1]!.validation!.loss).toBeGreaterThan(0);
  });
});

function* forever(): Generator<Pair> {
  for (;;) yield full;
}

describe('the stream of events', () => {
  test('has every step, every epoch and one end', async () => {
    const { model, optimizer } = lineModel();
    const seen: string[] = [];
    for await (const event of events(model, [full, full], { optimizer, loss: mseLoss, epochs: 2 }))
      seen.push(event.type);
    expect(seen).toEqual(['step', 'step', 'epoch', 'step', 'step', 'epoch', 'end']);
  });

  test('may be left at any time: data are closed, callbacks end, the mode is put back', async () => {
    const { model, optimizer } = lineModel();
    model.eval();
    let [closed, ended] = [false, false];
    function* source(): Generator<Pair> {
      try {
        yield* forever();
      } finally {
        closed = true;
      }
    }
    let last: TrainEvent | null = null;
    const callbacks = [{ onEnd: () => void (ended = true) }];
    for await (const event of events(model, source, { optimizer, loss: mseLoss, callbacks })) {
      last = event;
      expect(model.training).toBe(true);
      if (event.step === 5) break;
    }
    expect(last).toMatchObject({ type: 'step', step: 5, epoch: 1 });
    expect([closed, ended, model.training]).toEqual([true, true, false]);
  });

  test('follows the schedule of the learning rate', async () => {
    const model = new nn.Linear(1, 1);
    const lr = { name: 'half', options: {}, at: (step: number) => ({ lr: 0.1 / (step + 1) }) };
    const optimizer = new optim.SGD(model.parameters(), { lr });
    const history = await fit(model, [full, full, full], { optimizer, loss: mseLoss });
    expect(history.lr).toEqual([0.1, 0.05, 0.1 / 3]);
  });

  test('lets a second training run in between without mixing their memory', async () => {
    const [a, b] = [lineModel(), lineModel()];
    const set = new data.ArrayDataset(full[0] as Tensor, full[1] as Tensor);
    const run = ({ model, optimizer }: ReturnType<typeof lineModel>): Promise<unknown> =>
      fit(model, new data.DataLoader(set, { batchSize: 2 }), { optimizer, loss: mseLoss, epochs: 20 });
    await Promise.all([run(a), run(b)]);
    expect(a.model.weight.item()).toBe(b.model.weight.item());
    learnt(a.model);
    expect(currentScope()).toBeNull();
  });
});

describe('fit refuses', () => {
  const call = (options: object, source: unknown = [full]): Promise<unknown> => {
    const { model, optimizer } = lineModel();
    return (async () => fit(model, source as Pair[], { optimizer, loss: mseLoss, ...options }))();
  };
  test.each([
    [{ epoch: 2 }, [full], /^fit: unknown option "epoch"; did you mean "epochs"\?/],
    [{ epochs: 0 }, [full], /^fit: epochs must be an integer >= 1, got 0/],
    [{ optimizer: 'adam' }, [full], /^fit: optimizer must be an optimizer, got "adam"/],
    [{ gradTolerance: NaN }, [full], /^fit: gradTolerance must be a finite number >= 0, got NaN/],
    [{ signal: 'stop' }, [full], /^fit: signal must be an AbortSignal, got "stop"/],
    [
      { epochs: 2 },
      forever(),
      /^fit: epochs is 2 and the data can be gone through only once; pass a function/,
    ],
    [{}, 7, /^fit: data must be a loader, an iterable of \[x, y\] or a function that returns one, got 7/],
    [{}, [], /^fit: the data has no batch in epoch 1/],
    [{}, [5], /^fit: data must give pairs \[x, y\], got 5/],
  ])('%o', async (options, source, message) => {
    await expect(call(options, source)).rejects.toThrow(message);
  });

  test('a model that cannot be called', async () => {
    const { optimizer } = lineModel();
    await expect(async () => fit({} as nn.Linear, [full], { optimizer })).rejects.toThrow(
      /^fit: model must be a module or a function, got an? Object/i,
    );
  });
});
