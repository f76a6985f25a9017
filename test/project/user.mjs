// What a first user does: trains a tiny model. .ci/run copies this file beside an installed copy of the package and calls
// it with the library as `import` gives it, and as `require` does.

/**
 * Fits XOR and throws when it does not.
 * @param {typeof import('thalweg')} thalweg
 * @param {string} how
 */
export function train({ backend, manualSeed, mseLoss, nn, optim, sigmoid, tensor, trainStep }, how) {
  manualSeed(1);
  const model = new nn.Sequential(new nn.Linear(2, 8), new nn.Tanh(), new nn.Linear(8, 1));
  const x = tensor([
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ]);
  const y = tensor([[0], [1], [1], [0]]);
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.05 });
  const step = trainStep(() => mseLoss(sigmoid(model.forward(x)), y), optimizer);
  let loss = Infinity;
  for (let k = 0; k < 500; k++) loss = step();
  if (!(loss < 0.01)) throw new Error(`${how}: the loss is still ${loss}`);
  console.log(`${how}: XOR in 500 steps on ${backend.name}, loss ${loss.toExponential(1)}`);
}
