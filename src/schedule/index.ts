// The namespace `schedule`: learning rates, and momentum, as pure functions of the step.
export type { Schedule, ScheduleValue } from './schedule.js';
export * from './cyclic.js';
export * from './decay.js';
export * from './finder.js';
export * from './join.js';
export * from './onecycle.js';
export * from './plateau.js';
export { warmRestarts, type WarmRestartsOptions } from './restarts.js';
export * from './warmup.js';
