"""PyTorch's training steps: the models of models.ts, images channels-last, optimizers fused."""

import torch
import torch.nn.functional as F
from torch import nn

from pytorch_kernels import OPTIMIZERS


class Block(nn.Module):
    def __init__(self, c, k):
        super().__init__()
        stride = 1 if c == k else 2
        self.conv1 = nn.Conv2d(c, k, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(k)
        self.conv2 = nn.Conv2d(k, k, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(k)
        self.shortcut = None
        if c != k:
            self.shortcut = nn.Sequential(nn.Conv2d(c, k, 1, stride, bias=False), nn.BatchNorm2d(k))

    def forward(self, x):
        inner = F.relu(self.bn1(self.conv1(x)), inplace=True)
        past = x if self.shortcut is None else self.shortcut(x)
        return F.relu(self.bn2(self.conv2(inner)) + past, inplace=True)


class Layer(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x):
        n, length, width = x.shape
        qkv = self.qkv(x).view(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*qkv.unbind(0), is_causal=True)
        return self.out(y.transpose(1, 2).reshape(n, length, width))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, width, heads, layers, context, vocabulary):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids):
        x = self.layers(self.tokens(ids) + self.positions.weight)
        return self.head(self.norm(x)).flatten(0, 1)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(64, 128, 2), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.lstm(x)[0][-1])


def mlp(*sizes):
    layers = [part for a, b in zip(sizes, sizes[1:]) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 49, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    ).to(memory_format=torch.channels_last)


def resnet20():
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *(Block(c, k) for c, k in zip(widths, widths[1:])),
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(64, 10),
    ).to(memory_format=torch.channels_last)


def images(*shape):
    return torch.randn(*shape).to(memory_format=torch.channels_last)


# Model, input, number of classes: as in models.ts.
MODELS = {
    "tiny": lambda: (mlp(16, 32, 10), torch.randn(16, 16), 10),
    "mlp": lambda: (mlp(784, 512, 256, 10), torch.randn(128, 784), 10),
    "deep": lambda: (mlp(*[64] * 21, 10), torch.randn(32, 64), 10),
    "cnn": lambda: (cnn(), images(64, 1, 28, 28), 10),
    "resnet20": lambda: (resnet20(), images(32, 3, 32, 32), 10),
    "gpt": lambda: (GPT(128, 4, 2, 64, 1000), torch.randint(1000, (16, 64)), 1000),
    "recurrent": lambda: (Recurrent(), torch.randn(32, 32, 64), 10),
}


def make_step(make, optimizer, parameters, compiled):
    model, x, classes = make()
    count = sum(p.numel() for p in model.parameters())
    if count != parameters:
        raise ValueError(f"the model has {count} parameters, not {parameters}")
    with torch.no_grad():
        targets = torch.randint(classes, (len(model(x)),))
    update = OPTIMIZERS[optimizer](list(model.parameters()))

    def measure(x, targets):
        return F.cross_entropy(model(x), targets)

    forward = measure if compiled is None else compiled(measure)

    def run():
        update.zero_grad()
        loss = forward(x, targets)
        loss.backward()
        update.step()
        return loss.item()

    return run


def make_kinds(compiled):
    def kind(make):
        return lambda optimizer, parameters: make_step(make, optimizer, parameters, compiled)

    return {name: kind(make) for name, make in MODELS.items()}
