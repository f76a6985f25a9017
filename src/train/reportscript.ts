// What runs in the reader's browser: four charts that share their cursor and legend, the table's sorting, the pictures.
// Plain JavaScript in a string, because the page has to carry it; it reads the data that reportpage.ts writes.

export const SCRIPT = String.raw`
(() => {
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const names = data.names;
const shown = names.map(() => true);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (k) => css('--run' + (k % data.colours));
const charts = [];
const superscript = (n) => String(n).replace('-', '⁻').replace(/\d/g, (d) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[d]);
const plain = (v) => {
  if (v === 0) return '0';
  if (v < 0.001) {
    const e = Math.floor(Math.log10(v) + 1e-9), m = +(v / 10 ** e).toPrecision(2);
    return (m === 1 ? '' : m + '·') + '10' + superscript(e);
  }
  return String(+v.toPrecision(3));
};
const asAccuracy = (e) => +(100 - e).toFixed(2) + ' %';
const finite = (curves) => curves.flatMap((c) => (c ? c[1] : [])).filter((v) => v !== null && v > 0);

/** 1, 2, 5 times powers of ten inside a range, thinned until they fit. */
function decades(min, max) {
  for (const set of [[1, 2, 5], [1, 3], [1]]) {
    const out = [];
    for (let e = Math.floor(Math.log10(min)); e <= Math.ceil(Math.log10(max)); e++)
      for (const m of set) { const v = +(m * 10 ** e).toPrecision(3); if (v >= min * 0.999 && v <= max * 1.001) out.push(v); }
    if (out.length <= 8 || set.length === 1) return out;
  }
}

function tooltip(show) {
  let tip;
  return { hooks: {
    init: (u) => { tip = document.createElement('div'); tip.className = 'tip'; u.over.appendChild(tip); u.over.addEventListener('mouseleave', () => { tip.style.display = 'none'; }); },
    setCursor: (u) => {
      const { left, idx } = u.cursor;
      if (idx == null || left < 0 || !u.over.matches(':hover')) { tip.style.display = 'none'; return; }
      const rows = [];
      u.series.forEach((s, k) => {
        if (k === 0 || !s.show) return;
        let at = u.cursor.idxs[k];
        if (at == null) return;
        const v = u.data[k][at];
        if (v != null) rows.push([v, s]);
      });
      if (rows.length === 0) { tip.style.display = 'none'; return; }
      rows.sort((a, b) => (u.scales.y.dir === -1 ? a[0] - b[0] : b[0] - a[0]));
      tip.replaceChildren();
      const head = document.createElement('p');
      head.textContent = 'step ' + u.data[0][idx].toLocaleString('en-US');
      tip.append(head);
      for (const [v, s] of rows) {
        const row = document.createElement('div'), dot = document.createElement('span'), value = document.createElement('b');
        dot.className = 'dot'; dot.style.setProperty('--c', colour(s.run)); value.textContent = show(v);
        row.append(dot, s.label, value); tip.append(row);
      }
      tip.style.display = 'block';
      const width = u.over.clientWidth, flip = left > width / 2;
      tip.style.left = flip ? '' : left + 14 + 'px';
      tip.style.right = flip ? width - left + 14 + 'px' : '';
      tip.style.top = '6px';
    },
  } };
}

/** The nearest measured point of each series, since runs are measured at different steps. */
function nearestPoint(u, k, hovered) {
  const ys = u.data[k];
  if (ys[hovered] != null) return hovered;
  for (let d = 1; d < ys.length; d++) {
    if (ys[hovered - d] != null) return hovered - d;
    if (ys[hovered + d] != null) return hovered + d;
  }
  return null;
}

function draw(id, curves, { range, log = true, reverse = false, show = plain, splits }) {
  const holder = document.getElementById(id);
  const used = curves.map((c, k) => [c, k]).filter(([c]) => c && c[0].length > 0);
  if (!holder || used.length === 0) return;
  const table = uPlot.join(used.map(([c]) => c));
  const axis = { stroke: () => css('--soft'), font: '12px Inter, system-ui, sans-serif', ticks: { show: false },
    grid: { stroke: () => css('--grid'), width: 1 } };
  const few = table[0].length < 16;
  const options = {
    width: holder.clientWidth, height: 290, padding: [10, 20, 0, 0],
    scales: { x: { time: false }, y: { distr: log ? 3 : 1, dir: reverse ? -1 : 1, range: () => range } },
    axes: [
      { ...axis, size: 34, values: (u, vs) => vs.map((v) => (Number.isInteger(v) ? v.toLocaleString('en-US') : '')) },
      { ...axis, size: 56, values: (u, vs) => vs.map((v) => (v == null ? '' : show(v))), splits: splits && (() => splits), filter: (u, vs) => vs },
    ],
    series: [{}, ...used.map(([, k]) => ({ label: names[k], run: k, stroke: () => colour(k), width: 1.75, spanGaps: true, show: shown[k],
      points: { show: few, size: 5, fill: () => colour(k) } }))],
    cursor: { sync: { key: 'steps' }, points: { size: 7 }, dataIdx: nearestPoint, focus: { prox: 24 }, drag: { x: true, y: false } },
    focus: { alpha: 0.2 }, legend: { show: false },
    plugins: [tooltip(show)],
  };
  charts.push({ plot: new uPlot(options, table, holder), holder });
}

const quantile = (values, q) => [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))];
const inside = (list, [min, max]) => list.filter((v) => v >= min && v <= max);

function drawAll() {
  for (const { plot } of charts.splice(0)) plot.destroy();
  const loss = finite(data.loss);
  if (loss.length) {
    const range = [Math.max(quantile(loss, 0.002) * 0.8, 1e-6), Math.min(quantile(loss, 0.999) * 1.3, 50)];
    draw('loss', data.loss, { range, splits: decades(...range) });
  }
  const error = finite(data.error);
  if (error.length) {
    const lowest = Math.min(...error), range = [lowest * 0.8, Math.min(lowest * 16, Math.max(...error) * 1.1)];
    draw('error', data.error, { range, reverse: true, show: asAccuracy,
      splits: inside([0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 30, 50, 80], range) });
  }
  const lr = finite(data.lr);
  if (lr.length) {
    const most = Math.max(...lr), range = [Math.max(Math.min(...lr) * 0.7, most / 6e3), most * 1.5];
    draw('lr', data.lr, { range, splits: decades(...range) });
  }
  const momentum = finite(data.momentum);
  if (momentum.length) {
    const [low, high] = [Math.min(...momentum), Math.max(...momentum)], pad = Math.max((high - low) * 0.15, 0.01);
    draw('momentum', data.momentum, { log: false, range: [low - pad, high + pad] });
  }
}

function focusRun(run) {
  for (const { plot } of charts) {
    const at = plot.series.findIndex((s, k) => k > 0 && s.run === run);
    plot.setSeries(run === null ? null : at < 0 ? null : at, { focus: true });
  }
}

for (const chip of document.querySelectorAll('.chip')) {
  const run = Number(chip.dataset.run);
  chip.title = 'click: show or hide; double click: only this one';
  const apply = () => {
    document.querySelectorAll('.chip').forEach((c) => c.setAttribute('aria-pressed', String(shown[Number(c.dataset.run)])));
    for (const { plot } of charts) plot.series.forEach((s, k) => { if (k > 0 && s.show !== shown[s.run]) plot.setSeries(k, { show: shown[s.run] }); });
  };
  chip.addEventListener('click', () => { shown[run] = !shown[run]; apply(); });
  chip.addEventListener('dblclick', () => {
    const alone = shown.every((s, k) => s === (k === run));
    shown.forEach((_, k) => { shown[k] = alone || k === run; });
    apply();
  });
  chip.addEventListener('mouseenter', () => focusRun(run));
  chip.addEventListener('mouseleave', () => focusRun(null));
}

for (const canvas of document.querySelectorAll('canvas[data-pixels]')) {
  const bytes = Uint8Array.from(atob(canvas.dataset.pixels), (c) => c.charCodeAt(0));
  const context = canvas.getContext('2d'), image = context.createImageData(canvas.width, canvas.height);
  bytes.forEach((b, k) => { image.data[4 * k] = image.data[4 * k + 1] = image.data[4 * k + 2] = 24; image.data[4 * k + 3] = b; });
  context.putImageData(image, 0, 0);
}

const heads = [...document.querySelectorAll('thead th')];
heads.forEach((th, column) => th.querySelector('button')?.addEventListener('click', () => {
  const up = th.getAttribute('aria-sort') === 'descending';
  heads.forEach((h) => h.removeAttribute('aria-sort'));
  th.setAttribute('aria-sort', up ? 'ascending' : 'descending');
  const value = (row) => { const s = row.cells[column].dataset.sort; return s === '' ? (up ? Infinity : -Infinity) : Number(s); };
  const body = document.querySelector('tbody');
  body.append(...[...body.rows].sort((a, b) => (up ? value(a) - value(b) : value(b) - value(a))));
}));

drawAll();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
let width = innerWidth;
addEventListener('resize', () => { if (innerWidth !== width) { width = innerWidth; for (const { plot, holder } of charts) plot.setSize({ width: holder.clientWidth, height: 290 }); } });
})();
`;
