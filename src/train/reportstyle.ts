// The report's look: one column of paper, light or dark with the reader's system, no outside fonts. Data, not logic.

/** Line colours by run, for a light and for a dark page; equal places are the same hue. */
// prettier-ignore
export const PALETTE = {
  light: [
    '#2f6fdf', '#e8710a', '#1b9e5a', '#e0569b', '#8446d0', '#0d9fb5',
    '#8c5a3c', '#c29a00', '#6aa81c', '#d93025', '#1f2a5a', '#5c6675',
  ],
  dark: [
    '#74a5ff', '#ff9d52', '#4ccb8a', '#ff7fae', '#bb93ff', '#45cfe3',
    '#cf9c7c', '#e8c547', '#a8dc62', '#ff7b72', '#cdd6ff', '#a9b1be',
  ],
} as const;

const colours = (list: readonly string[]): string => list.map((c, k) => `--run${k}:${c}`).join(';');

export const STYLE = `
:root{color-scheme:light dark;--paper:#fcfbf8;--card:#ffffff;--ink:#1d2129;--soft:#5d6470;--faint:#8b929d;
--line:#e4e1d9;--grid:#eeece6;--accent:#0f766e;--mark:#f1f6f4;${colours(PALETTE.light)}}
@media (prefers-color-scheme:dark){:root{--paper:#12151a;--card:#191d24;--ink:#e7e9ee;--soft:#a3abb8;--faint:#7c8593;
--line:#2b313b;--grid:#232932;--accent:#5eead4;--mark:#1b2a2a;${colours(PALETTE.dark)}}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.55 Inter,ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
font-feature-settings:"tnum","cv11";-webkit-font-smoothing:antialiased}
main{max-width:1180px;margin:0 auto;padding:44px 28px 64px}
h1{font-size:32px;line-height:1.15;letter-spacing:-.022em;margin:0 0 8px;font-weight:700}
h2{font-size:19px;letter-spacing:-.012em;margin:52px 0 4px;font-weight:650}
.lead{color:var(--soft);margin:0;max-width:76ch}
.note{color:var(--soft);font-size:13.5px;margin:0 0 14px;max-width:84ch}
.eyebrow{color:var(--accent);font-size:12px;font-weight:650;letter-spacing:.09em;text-transform:uppercase;margin:0 0 10px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:14px;margin:28px 0 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:15px 18px 14px;min-width:0}
.tile b{display:block;font-size:27px;line-height:1.15;letter-spacing:-.02em;font-weight:680;margin:3px 0 2px}
.tile span{color:var(--soft);font-size:13px;display:block}
.tile i{font-style:normal;color:var(--faint);font-size:12px;font-weight:600;letter-spacing:.02em}
.legend{position:sticky;top:0;z-index:5;display:flex;flex-wrap:wrap;gap:6px;margin:30px -28px 0;padding:10px 28px;
background:color-mix(in srgb,var(--paper) 90%,transparent);backdrop-filter:blur(8px);border-bottom:1px solid transparent}
.chip{font:inherit;font-size:13px;line-height:1.2;color:var(--ink);background:var(--card);border:1px solid var(--line);
border-radius:999px;padding:5px 11px 5px 9px;cursor:pointer;display:inline-flex;align-items:center;gap:7px;white-space:nowrap}
.chip:hover,.chip:focus-visible{border-color:var(--soft);outline:none}
.chip[aria-pressed=false]{color:var(--faint);text-decoration:line-through;background:none}
.chip[aria-pressed=false] .dot{opacity:.25}
.dot{width:11px;height:11px;border-radius:50%;flex:none;display:inline-block;background:var(--c)}
.charts{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px;margin-top:12px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:12px;padding:15px 16px 8px;min-width:0;position:relative}
figcaption{margin:0 4px 6px}figcaption b{font-weight:650}figcaption span{color:var(--soft);font-size:13px;display:block;line-height:1.4}
.charts figure:last-child:nth-child(odd){grid-column:1/-1}
.plot{position:relative;min-height:280px}
.tip{position:absolute;pointer-events:none;z-index:4;background:var(--card);border:1px solid var(--line);border-radius:9px;
box-shadow:0 6px 22px rgb(0 0 0/.16);padding:7px 10px;font-size:12px;line-height:1.5;min-width:170px;display:none}
.tip div{display:flex;align-items:center;gap:7px;white-space:nowrap}.tip div b{margin-left:auto;padding-left:14px;font-weight:600}
.tip .dot{width:8px;height:8px}.tip p{margin:0 0 2px;color:var(--soft)}
.u-legend{display:none}.u-cursor-x{border-color:var(--faint)!important}.u-cursor-y{display:none}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px}
table{border-collapse:collapse;width:100%;font-size:14px}
th{font-size:12px;font-weight:600;color:var(--soft);text-align:left;padding:10px 14px;border-bottom:1px solid var(--line);
white-space:nowrap;vertical-align:bottom}
th button{all:unset;cursor:pointer}th button:hover,th button:focus-visible{color:var(--ink);text-decoration:underline}
th[aria-sort=ascending] button::after{content:" ↑"}th[aria-sort=descending] button::after{content:" ↓"}
td{padding:9px 14px;border-bottom:1px solid var(--grid);vertical-align:top}
tr:last-child td{border-bottom:0}tr.best td{background:var(--mark)}
.num{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}td.num b{font-weight:680}
.name{white-space:nowrap;font-weight:600}.name .dot{margin-right:9px}
.set{min-width:300px}.set small{display:block;color:var(--soft);font-size:12.5px;line-height:1.4}
.digits{display:grid;grid-template-columns:repeat(auto-fill,minmax(92px,1fr));gap:10px}
.digit{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:8px 8px 7px;text-align:center;
font-size:12px;color:var(--soft);line-height:1.35}
.digit canvas{width:100%;max-width:84px;aspect-ratio:1;display:block;margin:0 auto 5px;image-rendering:pixelated}
.digit b{color:var(--ink);font-size:14px;font-weight:650}.digit em{font-style:normal;color:var(--run9);font-weight:650;font-size:14px}
@media (prefers-color-scheme:dark){.digit canvas{filter:invert(.92)}}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:5px 22px;margin:12px 0 0;font-size:14px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--mark);border-radius:5px;padding:2px 6px}
footer{margin-top:52px;padding-top:16px;border-top:1px solid var(--line);color:var(--faint);font-size:12.5px}
@media (max-width:860px){.charts figure:last-child:nth-child(odd){grid-column:auto}main{padding:28px 16px 48px}h1{font-size:26px}.charts{grid-template-columns:minmax(0,1fr)}
.legend{margin:24px -16px 0;padding:8px 16px;flex-wrap:nowrap;overflow-x:auto;scrollbar-width:none}.chip{font-size:12px;padding:4px 9px 4px 7px}.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:10px}
.tile{padding:12px 13px}.tile b{font-size:22px}figure{padding:13px 8px 6px}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:8px}}
@media print{.legend{position:static}figure,.digit,tr{break-inside:avoid}}
`;
