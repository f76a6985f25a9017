// Data: where batches come from.
export { ArrayDataset, type BatchOf, type Column, type Dataset } from './dataset.js';
export { DataLoader, type LoaderOptions, type LoaderState } from './loader.js';
export { readIdx, mnist, type Idx, type MnistDataset, type MnistOptions } from './idx.js';
