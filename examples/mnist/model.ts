// The two models of the MNIST job. Pooling stands before batch norm, so that norm and ReLU see a quarter of the data.
import { nn } from 'thalweg';

export const MODELS = {
  cnn: {
    text: 'Conv2d(1, 8, 5), MaxPool2d(2), BatchNorm2d(8), ReLU, Conv2d(8, 16, 5), MaxPool2d(2), BatchNorm2d(16), ReLU, Flatten, Linear(256, 10)',
    build: () =>
      new nn.Sequential(
        new nn.Conv2d(1, 8, 5),
        new nn.MaxPool2d(2),
        new nn.BatchNorm2d(8),
        new nn.ReLU(),
        new nn.Conv2d(8, 16, 5),
        new nn.MaxPool2d(2),
        new nn.BatchNorm2d(16),
        new nn.ReLU(),
        new nn.Flatten(),
        new nn.Linear(256, 10),
      ),
  },
  mlp: {
    text: 'Flatten, Linear(784, 128), ReLU, Linear(128, 10)',
    build: () =>
      new nn.Sequential(new nn.Flatten(), new nn.Linear(784, 128), new nn.ReLU(), new nn.Linear(128, 10)),
  },
} as const;

export type ModelName = keyof typeof MODELS;

export const parameterCount = (model: nn.Module): number =>
  [...model.parameters()].reduce((sum, t) => sum + t.size, 0);
