// The report as HTML. All text from a report is escaped here; the page forbids itself every network access.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { showCount, showDuration } from './progress.js';
import type { CurvePoint, Report, ReportMistakes, ReportRun } from './report.js';
import { SCRIPT } from './reportscript.js';
import { PALETTE, STYLE } from './reportstyle.js';

/** Points a curve keeps on the page: about one a pixel. */
const POINTS = 420;

const escapeText = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const percent = (fraction: number | null): string =>
  fraction === null ? '–' : `${(fraction * 100).toFixed(2)} %`;

const colour = (k: number): string => `--c:var(--run${k % PALETTE.light.length})`;

const dot = (k: number): string => `<span class="dot" style="${colour(k)}"></span>`;

/** The index of the run with the best test accuracy; -1 when none has one. */
export const bestRun = (runs: readonly ReportRun[]): number =>
  runs.reduce((best, run, k) => {
    const a = run.result.accuracy;
    return a !== null && (best < 0 || a > runs[best]!.result.accuracy!) ? k : best;
  }, -1);

/** About {@link POINTS} step numbers, the first and the last among them. */
function sampleSteps(length: number): number[] {
  const count = Math.min(length, POINTS);
  return Array.from({ length: count }, (_, k) => Math.round((k * (length - 1)) / Math.max(1, count - 1)));
}

/** An exponential moving average that starts without bias, as Adam corrects its own. */
export function smooth(values: readonly (number | null)[], window: number): (number | null)[] {
  const keep = 1 - 1 / window;
  let [sum, weight] = [0, 0];
  return values.map((v) => {
    if (v === null) return null;
    sum = keep * sum + (1 - keep) * v;
    weight = keep * weight + (1 - keep);
    return sum / weight;
  });
}

const short = (x: number | null): number | null => (x === null ? null : Number(x.toPrecision(4)));

/** Steps over which the page smooths the loss: a fortieth of the longest run, at most 50. */
const smoothing = (runs: readonly ReportRun[]): number =>
  Math.max(1, Math.min(50, Math.round(Math.max(0, ...runs.map((r) => r.loss.length)) / 40)));

type Curve = [steps: number[], values: (number | null)[]];

/** Picks the sampled steps of a value that every step has; steps count from 1. */
function curve(values: readonly (number | null)[]): Curve {
  const at = sampleSteps(values.length);
  return [at.map((k) => k + 1), at.map((k) => short(values[k]!))];
}

/** Accuracy as error in percent, so that a logarithmic axis gives each nine the same room. */
const errorCurve = (points: readonly CurvePoint[]): Curve => [
  points.map((p) => p.step),
  points.map((p) => short(Math.max(100 - 100 * p.value, 0.01))),
];

function chartData(report: Report): object {
  const window = smoothing(report.runs);
  return {
    names: report.runs.map((r) => r.name),
    colours: PALETTE.light.length,
    loss: report.runs.map((r) => curve(smooth(r.loss, window))),
    error: report.runs.map((r) => errorCurve(r.accuracy)),
    lr: report.runs.map((r) => curve(r.lr)),
    momentum: report.runs.map((r) => (r.momentum ? curve(r.momentum) : null)),
  };
}

const tile = (title: string, value: string, text: string): string =>
  `<div class="tile"><i>${escapeText(title)}</i><b>${escapeText(value)}</b><span>${escapeText(text)}</span></div>`;

function tiles(report: Report): string {
  const { runs } = report;
  const best = runs[bestRun(runs)];
  const reached = runs.filter((r) => r.result.stepsToTarget !== null);
  const fewest = Math.min(...reached.map((r) => r.result.stepsToTarget!));
  const quickest = reached.filter((r) => r.result.stepsToTarget === fewest);
  const steps = runs.reduce((sum, r) => sum + r.result.steps, 0);
  const fastest = Math.max(0, ...runs.map((r) => r.result.samplesPerSecond));
  return [
    best ? tile('Best test accuracy', percent(best.result.accuracy), best.name) : '',
    quickest.length > 0
      ? tile(
          `First to ${+(report.target * 100).toFixed(2)} %`,
          `${showCount(fewest)} steps`,
          quickest.length > 3
            ? `${quickest.length} of ${runs.length} runs`
            : quickest.map((r) => r.name).join(', '),
        )
      : '',
    tile(
      'Time',
      showDuration(report.seconds),
      `${runs.length} ${runs.length === 1 ? 'run' : 'runs'}, ${showCount(steps)} steps`,
    ),
    tile('Speed', `${showCount(fastest)}/s`, 'samples in training, evaluation apart'),
  ].join('');
}

function resultRow(run: ReportRun, k: number, best: boolean): string {
  const { result } = run;
  const cell = (sort: number | null, text: string): string =>
    `<td class="num" data-sort="${sort ?? ''}">${text}</td>`;
  const notes = [run.why, result.stopped].filter(Boolean).map((t) => `<small>${escapeText(t!)}</small>`);
  return `<tr${best ? ' class="best"' : ''}><td class="name" data-sort="${k}">${dot(k)}${escapeText(run.name)}</td>${[
    cell(result.accuracy, `<b>${percent(result.accuracy)}</b>`),
    cell(result.loss, result.loss === null ? '–' : result.loss.toFixed(4)),
    cell(result.stepsToTarget, result.stepsToTarget === null ? '–' : showCount(result.stepsToTarget)),
    cell(result.steps, showCount(result.steps)),
    cell(result.seconds, showDuration(result.seconds)),
    cell(result.samplesPerSecond, showCount(result.samplesPerSecond)),
  ].join('')}<td class="set">${escapeText(run.settings)}${notes.join('')}</td></tr>`;
}

function resultTable(report: Report): string {
  const best = bestRun(report.runs);
  const order = report.runs
    .map((run, k) => [run, k] as const)
    .sort((a, b) => (b[0].result.accuracy ?? -1) - (a[0].result.accuracy ?? -1));
  const head = (title: string, sort = ''): string =>
    `<th class="num"${sort}><button type="button">${title}</button></th>`;
  return `<div class="scroll"><table><thead><tr><th><button type="button">Optimizer</button></th>${[
    head('Test accuracy', ' aria-sort="descending"'),
    head('Test loss'),
    head(`Steps to ${+(report.target * 100).toFixed(2)} %`),
    head('Steps'),
    head('Time'),
    head('Samples/s'),
  ].join('')}<th>Settings</th></tr></thead><tbody>${order
    .map(([run, k]) => resultRow(run, k, k === best))
    .join('')}</tbody></table></div>`;
}

const figure = (id: string, title: string, text: string): string =>
  `<figure><figcaption><b>${escapeText(title)}</b><span>${escapeText(text)}</span></figcaption>` +
  `<div class="plot" id="${id}" role="img" aria-label="${escapeText(title)}"></div></figure>`;

function charts(report: Report): string {
  const window = smoothing(report.runs);
  const moved = report.runs.some((r) => r.momentum);
  return [
    figure(
      'loss',
      'Training loss',
      window > 1 ? `Cross-entropy, averaged over about ${window} steps` : 'Of each step',
    ),
    figure('error', 'Test accuracy', 'Each nine has the same height: 90, 99, 99.9 %'),
    figure('lr', 'Learning rate', 'What the optimizer used at each step'),
    moved ? figure('momentum', 'Momentum', 'Where a schedule moves it') : '',
  ].join('');
}

/** Never 100 %: a model that is wrong was not that sure. */
const sureness = (p: number): string =>
  p >= 0.995 ? `${Math.min(99.9, p * 100).toFixed(1)} %` : `${(p * 100).toFixed(0)} %`;

function gallery(mistakes: ReportMistakes): string {
  const { items, wrong, of, width, height } = mistakes;
  const shown = items.length < wrong ? `; the ${items.length} it was surest of are shown` : '';
  const cards = items.map(
    (m) =>
      `<div class="digit"><canvas width="${width}" height="${height}" data-pixels="${escapeText(m.pixels)}"></canvas>` +
      `<b>${escapeText(m.truth)}</b> → <em>${escapeText(m.predicted)}</em><br>${sureness(m.confidence)} sure</div>`,
  );
  return (
    `<h2>What the best run gets wrong</h2><p class="note">${escapeText(mistakes.run)} misreads ${showCount(wrong)} of ` +
    `${showCount(of)} test images${shown}. Below each: the label, what the model read, and how sure it was.</p>` +
    `<div class="digits">${cards.join('')}</div>`
  );
}

const asset = (name: string): string =>
  readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${name}`), 'utf8');

/** A script's text may not end its own element. */
const inline = (script: string): string => script.replace(/<\/(?=script)/gi, '<\\/');

const data = (value: object): string => JSON.stringify(value).replace(/</g, '\\u003c');

/** The whole page; see `renderReport`. */
export function renderPage(report: Report): string {
  const chips = report.runs.map(
    (run, k) =>
      `<button class="chip" type="button" aria-pressed="true" data-run="${k}">${dot(k)}${escapeText(run.name)}</button>`,
  );
  const facts = report.facts.map(
    ([label, text]) => `<dt>${escapeText(label)}</dt><dd>${escapeText(text)}</dd>`,
  );
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';style-src 'unsafe-inline';script-src 'unsafe-inline'">
<title>${escapeText(report.title)}</title>
<style>${asset('uPlot.min.css')}${STYLE}</style></head>
<body><main>
<header><p class="eyebrow">thalweg · training report</p><h1>${escapeText(report.title)}</h1>
<p class="lead">${escapeText(report.lead)}</p></header>
<div class="tiles">${tiles(report)}</div>
<div class="legend" role="group" aria-label="Runs shown">${chips.join('')}</div>
<div class="charts">${charts(report)}</div>
<h2>Results</h2><p class="note">Sorted by test accuracy; a click on a heading sorts by it.</p>
${resultTable(report)}
${report.mistakes && report.mistakes.items.length > 0 ? gallery(report.mistakes) : ''}
<h2>How it was run</h2><dl>${facts.join('')}</dl>
<footer>Made by thalweg on ${escapeText(report.created.slice(0, 16).replace('T', ' '))} UTC. Everything is in this file; nothing is fetched.</footer>
</main>
<script type="application/json" id="data">${data(chartData(report))}</script>
<script>${inline(asset('uPlot.iife.min.js'))}</script>
<script>${inline(SCRIPT)}</script>
</body></html>
`;
}
