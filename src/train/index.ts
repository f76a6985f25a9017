// Training: the loop, its events, evaluation, callbacks, progress and reports.
export { fit, type History } from './fit.js';
export {
  events,
  type Callback,
  type EndEvent,
  type EpochEvent,
  type Run,
  type StepEvent,
  type StopReason,
  type TrainEvent,
  type TrainOptions,
} from './events.js';
export { evaluate, type EvaluateOptions, type Evaluation, type Loss } from './evaluate.js';
export type { Input, Pair, Target, TrainData } from './batches.js';
export type { Model } from './model.js';
export {
  EarlyStopping,
  showProgress,
  type EarlyStoppingOptions,
  type ShowProgressOptions,
} from './callbacks.js';
export { bar, canRedraw, Progress, showCount, showDuration, type ProgressOptions } from './progress.js';
export {
  parseReport,
  renderReport,
  roundForReport,
  type CurvePoint,
  type Report,
  type ReportMistakes,
  type ReportRun,
} from './report.js';
