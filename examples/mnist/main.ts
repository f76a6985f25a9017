// `npm start`: MNIST with eleven optimizers. Prints its plan, trains, prints a table, writes reports/mnist.html.
import { train } from 'thalweg';
import { helpLines, runMain } from '#thalweg/cli/options';
import { describePlan, OPTIONS, readPlan } from './plan.js';
import { makeReport, saveReport, table } from './results.js';
import { runSetting, type Outcome } from './run.js';

/** Exit code of a program that Ctrl-C ended. */
const INTERRUPTED = 130;

/** A signal that Ctrl-C gives: once to end cleanly, twice to end now. */
function interruption(say: (text: string) => void): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(INTERRUPTED);
    say('stopping after this step; the report follows (Ctrl-C again ends at once)');
    controller.abort();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return controller.signal;
}

const summary = ({ run: { name, result } }: Outcome): string => {
  const accuracy = result.accuracy === null ? '–' : `${(result.accuracy * 100).toFixed(2)} %`;
  return `${name.padEnd(16)} ${accuracy.padStart(8)} in ${train.showDuration(result.seconds)}${result.stopped ? `. ${result.stopped}` : ''}`;
};

async function main(args: readonly string[]): Promise<number> {
  const began = performance.now();
  const plan = readPlan(args);
  if (!plan) {
    console.log(`Trains on MNIST and writes a report. Options:\n${helpLines(OPTIONS)}`);
    return 0;
  }
  const progress = plan.quiet ? null : new train.Progress();
  const say = (text: string): void => progress?.log(text);
  const signal = interruption(say);
  if (!plan.quiet) say(`${describePlan(plan)}\n`);

  const outcomes: Outcome[] = [];
  for (const [k, setting] of plan.settings.entries()) {
    if (signal.aborted) break;
    const label = `${k + 1}/${plan.settings.length} ${setting.name}`;
    const outcome = await runSetting(plan, setting, { progress, label }, signal);
    if (outcome.run.result.steps === 0) break;
    outcomes.push(outcome);
    say(summary(outcome));
  }
  const seconds = (performance.now() - began) / 1000;
  if (outcomes.length > 0) console.log(`\n${table(outcomes)}`);
  console.log(
    `\n${train.showDuration(seconds)} in all. Report: ${saveReport(makeReport(plan, outcomes, seconds, args), plan.out)}`,
  );
  return signal.aborted ? INTERRUPTED : 0;
}

void runMain(() => main(process.argv.slice(2)));
