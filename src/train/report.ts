// The report of a training: what a run is when it is saved, and one HTML page that opens anywhere without a network.
import { checkNumber, describe, typeError } from '../tensor/errors.js';
import { renderPage } from './reportpage.js';

/** A point of a curve that is not measured at every step. */
export interface CurvePoint {
  step: number;
  value: number;
}

/** One training among those that a report compares. */
export interface ReportRun {
  name: string;
  /** The optimizer's settings in words: `lr 0.003, betas 0.9 and 0.999`. */
  settings: string;
  /** Why these settings. */
  why?: string;
  /** Loss of each step; null where it was not finite. */
  loss: (number | null)[];
  /** Learning rate of each step. */
  lr: number[];
  /** Momentum (or first beta) of each step, where a schedule moves it. */
  momentum?: number[];
  /** Test accuracy as it rose, 0 to 1. */
  accuracy: CurvePoint[];
  result: {
    /** Test accuracy at the end, 0 to 1; null if the run did not get that far. */
    accuracy: number | null;
    loss: number | null;
    steps: number;
    seconds: number;
    samplesPerSecond: number;
    /** First measured step at or above the report's target accuracy. */
    stepsToTarget: number | null;
    /** One clause: why the run stopped, and what else there is to say about it. */
    stopped: string;
  };
}

/** Small grey pictures that a run got wrong. */
export interface ReportMistakes {
  run: string;
  /** How many it got wrong out of how many; `items` may hold fewer. */
  wrong: number;
  of: number;
  width: number;
  height: number;
  items: {
    /** One byte a pixel, row by row, 255 is ink; in base64. */
    pixels: string;
    truth: string;
    predicted: string;
    /** The probability that the model gave to what it predicted. */
    confidence: number;
  }[];
}

/** A saved report: plain JSON. */
export interface Report {
  format: 'thalweg-report';
  version: 1;
  title: string;
  lead: string;
  /** When it was made, ISO 8601. */
  created: string;
  /** The test accuracy, 0 to 1, that `stepsToTarget` counts to. */
  target: number;
  seconds: number;
  /** What was planned and on what machine, in rows of a list. */
  facts: [label: string, text: string][];
  runs: ReportRun[];
  mistakes: ReportMistakes | null;
}

/** Rounds for JSON: five significant digits are more than a chart can show; null where there is no number. */
export const roundForReport = (x: number): number | null =>
  Number.isFinite(x) ? Number(x.toPrecision(5)) : null;

const isList = (value: unknown): value is unknown[] => Array.isArray(value);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !isList(value);

function checkRun(where: string, run: unknown, k: number): void {
  const bad = (problem: string): TypeError =>
    typeError(where, `run ${k} ${problem}`, 'it is not a saved report');
  if (!isObject(run)) throw bad(`must be an object, got ${describe(run)}`);
  for (const name of ['name', 'settings'])
    if (typeof run[name] !== 'string') throw bad(`needs "${name}", a string`);
  for (const name of ['loss', 'lr', 'accuracy'])
    if (!isList(run[name])) throw bad(`needs "${name}", an array`);
  const { result } = run;
  if (!isObject(result)) throw bad('needs "result", an object');
  for (const name of ['steps', 'seconds', 'samplesPerSecond'])
    checkNumber(where, `run ${k} ${name}`, result[name]);
}

/**
 * Reads a saved report.
 * @param where what the text came from, for messages
 * @throws TypeError with one sentence if it is not one
 */
export function parseReport(where: string, text: string): Report {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw typeError(
      where,
      `not JSON: ${(error as Error).message}`,
      'pass the .json file that a training saved',
    );
  }
  if (!isObject(value) || value['format'] !== 'thalweg-report')
    throw typeError(where, 'not a saved report', 'pass the .json file that a training saved');
  if (value['version'] !== 1)
    throw typeError(where, `report version ${describe(value['version'])} is unknown, this reads version 1`);
  for (const name of ['title', 'lead', 'created'])
    if (typeof value[name] !== 'string') throw typeError(where, `"${name}" must be a string`);
  checkNumber(where, 'target', value['target'], { min: 0, max: 1 });
  checkNumber(where, 'seconds', value['seconds'], { min: 0 });
  const { facts, runs, mistakes } = value;
  if (!isList(facts) || !facts.every((f) => isList(f) && f.length === 2))
    throw typeError(where, '"facts" must be an array of pairs');
  if (!isList(runs)) throw typeError(where, `"runs" must be an array, got ${describe(runs)}`);
  runs.forEach((run, k) => checkRun(where, run, k));
  if (mistakes !== null && !(isObject(mistakes) && isList(mistakes['items'])))
    throw typeError(where, '"mistakes" must be null or hold "items"');
  return value as unknown as Report;
}

/** The report as one HTML page: styles, script and data inline, nothing fetched. */
export const renderReport = (report: Report): string => renderPage(report);
