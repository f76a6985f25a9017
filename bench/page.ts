// The figures as one page without scripts or anything from outside: bars by work, light or dark with the reader's system.
import { sizeName, WORKING_SETS, type Limits } from './limits.js';
import { summary } from './measure.js';
import { comparison, showBytes, smallestPeer, STEPS, type Footprint } from './memory.js';
import { bestPeer, describeMachine, NOISY, rateOf, ratio, showTime, type Machine } from './report.js';
import type { Result, Work } from './runner.js';

export interface Row {
  work: Work;
  results: readonly Result[];
}

export interface Page {
  machine: Machine;
  limits: Limits;
  absent: readonly string[];
  /** Rows by the name of their group. */
  groups: readonly (readonly [string, readonly Row[]])[];
  memory: readonly Footprint[];
}

const STYLE = `
:root{color-scheme:light dark;--paper:#fcfbf8;--card:#fff;--ink:#1d2129;--soft:#5d6470;--line:#e4e1d9;--rest:#eeece6;
--native:#0f766e;--wasm:#2f6fdf;--peer:#a3a9b3;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--paper:#12151a;--card:#191d24;--ink:#e7e9ee;--soft:#a3abb8;--line:#2b313b;
--rest:#252b35;--native:#2fb8a6;--wasm:#74a5ff;--peer:#6b7380;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
font-variant-numeric:tabular-nums}
main{max-width:1240px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:28px;line-height:1.2;letter-spacing:-.02em;margin:0 0 8px}h2{font-size:19px;margin:44px 0 10px;}h2::first-letter{text-transform:uppercase}
p{color:var(--soft);margin:0 0 6px;max-width:90ch;white-space:pre-line}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:12px;margin:24px 0 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.tile b{display:block;font-size:25px;line-height:1.25}.tile span{color:var(--soft);font-size:13px;display:block}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%}th,td{padding:3px 10px;white-space:nowrap;text-align:right}
thead th{font-size:12px;font-weight:600;color:var(--soft);padding:9px 10px;border-bottom:1px solid var(--line)}
tbody+tbody tr:first-child>*{border-top:1px solid var(--line)}tbody tr:first-child>*{padding-top:9px}
tbody tr:last-child>*{padding-bottom:9px}
th:first-child,.left{text-align:left}tbody th{vertical-align:top;font-weight:600;white-space:normal;min-width:180px}
svg{display:block;height:10px;width:100%;border-radius:3px;background:var(--rest)}td.bar{width:22%;min-width:120px}
td.reach svg{width:44px;height:6px;display:inline-block;vertical-align:middle}
td.reach span{display:inline-block;min-width:46px}
.native{fill:var(--native)}.eager{fill:var(--native);opacity:.55}.wasm{fill:var(--wasm)}.peer{fill:var(--peer)}
.soft{color:var(--soft)}.bad{color:var(--bad)}.win{font-weight:650}
`;

const escape = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const bar = (part: number, kind: string): string =>
  `<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">` +
  `<rect class="${kind}" width="${Math.min(100, 100 * part).toFixed(1)}" height="10"/></svg>`;

const kindOf = ({ peer, side }: Pick<Result, 'peer' | 'side'>): string =>
  peer ? 'peer' : side.startsWith('native, eager') ? 'eager' : side.split(' ')[0]!;

function side(r: Result, { work, results }: Row, limits: Limits, rated: boolean): string {
  const kind = kindOf(r);
  const least = Math.min(...results.map(({ median }) => median));
  const [rate, reached] = rateOf(work, r, limits);
  const rival = bestPeer(r, results);
  const win = !r.peer && rival && r.median < rival.median;
  const margin = `±${(100 * r.margin).toFixed(0)}%`;
  return [
    `<td class="left${r.peer ? ' soft' : ''}">${escape(r.side)}</td>`,
    `<td class="bar">${bar(least / r.median, kind)}</td>`,
    `<td>${showTime(r.median)}</td>`,
    `<td class="${r.margin > NOISY ? 'bad' : 'soft'}">${margin}</td>`,
    rated ? `<td class="soft">${rate}</td>` : '',
    rated
      ? `<td class="reach">${reached && `${bar(parseFloat(reached) / 100, kind)}<span>${reached}</span>`}</td>`
      : '',
    `<td class="left ${win ? 'win' : 'soft'}">${escape(ratio(r, results))}</td>`,
  ].join('');
}

function rows(row: Row, limits: Limits, rated: boolean): string {
  const name = `<th rowspan="${row.results.length}">${escape(row.work.name)}</th>`;
  const lines = row.results.map((r, k) => `<tr>${k === 0 ? name : ''}${side(r, row, limits, rated)}</tr>`);
  return `<tbody>${lines.join('\n')}</tbody>`;
}

const head = (rated: boolean): string =>
  '<thead><tr><th>work</th><th class="left">side</th><th class="left">speed, longer is faster</th><th>time</th><th></th>' +
  `${rated ? '<th>rate</th><th>of the limit</th>' : ''}<th class="left">times as fast as</th></tr></thead>`;

/** One group; without the columns of rates if none of its rows has one. */
function section(group: string, all: readonly Row[], limits: Limits): string {
  const rated = all.some(({ work }) => work.rate);
  const bodies = all.map((row) => rows(row, limits, rated)).join('\n');
  return `<h2>${group}</h2><div class="scroll"><table>${head(rated)}${bodies}</table></div>`;
}

/** For each engine and number of threads: how it stands against the best peer of each row, in the middle. */
function tiles(group: string, all: readonly Row[]): string[] {
  const ratios = new Map<string, number[]>();
  for (const { results } of all)
    for (const r of results) {
      const rival = r.peer ? undefined : bestPeer(r, results);
      if (rival) ratios.set(r.side, [...(ratios.get(r.side) ?? []), rival.median / r.median]);
    }
  return [...ratios].map(([name, list]) => {
    const won = list.filter((x) => x >= 1).length;
    // Not the mean: one peer whose threads starve would be all of it.
    const middle = summary(list).median;
    return (
      `<div class="tile"><span>${group}, ${name}</span><b>${middle.toFixed(2)}×</b>` +
      `<span>faster in ${won} of ${list.length}</span></div>`
    );
  });
}

function footprint(one: Footprint, all: readonly Footprint[], largest: number): string {
  const rival = smallestPeer(one, all);
  const less = !one.peer && rival && one.peak < rival.peak;
  return [
    `<td class="left${one.peer ? ' soft' : ''}">${escape(one.side)}</td>`,
    `<td class="bar">${bar(one.peak / largest, kindOf(one))}</td>`,
    `<td>${showBytes(one.peak)}</td><td>${showBytes(one.steady)}</td>`,
    `<td class="left ${less ? 'win' : 'soft'}">${escape(comparison(one, all))}</td>`,
  ].join('');
}

function memoryTable(all: readonly Footprint[]): string {
  const works = [...new Set(all.map(({ work }) => work))];
  const bodies = works.map((work) => {
    const own = all.filter((one) => one.work === work);
    const largest = Math.max(...own.map(({ peak }) => peak));
    const name = `<th rowspan="${own.length}">${escape(work)}</th>`;
    const lines = own.map((one, k) => `<tr>${k === 0 ? name : ''}${footprint(one, own, largest)}</tr>`);
    return `<tbody>${lines.join('\n')}</tbody>`;
  });
  return (
    `<h2>memory of steps</h2><p>Growth of a process that trains this alone with one thread: at most from making the model on, ` +
    `and over the last ${STEPS} steps. Shorter is smaller.</p><div class="scroll"><table><thead><tr><th>work</th>` +
    `<th class="left">side</th><th class="left">peak, shorter is smaller</th><th>peak</th><th>steady</th>` +
    `<th class="left">peak against the smallest peer</th></tr></thead>${bodies.join('\n')}</table></div>`
  );
}

function limitTable({ bandwidth, flops, absent }: Limits): string {
  const cells = (tag: string, list: readonly string[]): string =>
    list.map((cell) => `<${tag}>${cell}</${tag}>`).join('');
  const lines = Object.entries(bandwidth).flatMap(([n, { read, copy, triad, update }]) =>
    Object.entries({ read, copy, triad, update }).map(([kind, list]) => {
      const figures = list.map((x) => x.toPrecision(3));
      return `<tr><th>${kind}, ${n}T</th>${cells('td', figures)}</tr>`;
    }),
  );
  const peaks = Object.entries(flops).map(([isa, by]) => {
    const list = Object.entries(by).map(([n, x]) => `${x.toFixed(0)} GFLOP/s (${n}T)`);
    return `<p>${isa}: ${list.join(', ')}</p>`;
  });
  const table = `<table><thead><tr>${cells('th', ['GB/s', ...WORKING_SETS.map(sizeName)])}</tr></thead><tbody>${lines.join('')}</tbody></table>`;
  return (
    absent.map((reason) => `<p>${escape(reason)}</p>`).join('') +
    peaks.join('') +
    (lines.length > 0 ? `<div class="scroll">${table}</div>` : '')
  );
}

/** The whole page. */
export function page({ machine, limits, absent, groups, memory }: Page): string {
  const full = groups.filter(([, all]) => all.length > 0);
  const sections = full.map(([group, all]) => section(group, all, limits));
  const known = limits.absent.length + Object.keys(limits.bandwidth).length > 0;
  const method =
    full.length > 0
      ? `Medians of one run in which the sides of a work take turns; red margins are above ${NOISY * 100} %.
The tiles: times as fast as the best peer of a row with as many threads, median of the rows.`
      : '';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>thalweg: benchmark</title><style>${STYLE}</style></head><body><main>
<h1>thalweg against its peers</h1>
<p>${escape(describeMachine(machine))}</p>
<p>${machine.date.slice(0, 16).replace('T', ' ')} UTC. ${method}</p>
${absent.map((reason) => `<p>Absent: ${escape(reason)}</p>`).join('\n')}
<div class="tiles">${full.flatMap(([group, all]) => tiles(group, all)).join('\n')}</div>
${sections.join('\n')}
${memory.length > 0 ? memoryTable(memory) : ''}
${known ? `<h2>Limits of this machine</h2>${limitTable(limits)}` : ''}
</main></body></html>
`;
}
