/** @file The style sheet of all pages, without external references; it shares its colours with the plots. */

import { wideStyles } from './html.js';
import { plotStyles } from './plots/index.js';

/**
 * Plots fill their containers. Their texts would grow with them, so a plot wider than that of a phone has a smaller font
 * in its own units, which keeps its text at 12 to 16 pixels.
 */
const plotSizes = `.plot{position:relative;container-type:inline-size}
.plot svg{display:block;width:100%;height:auto;font-size:12px}
@container (max-width:25rem){.plot svg{font-size:13px}}
@container (min-width:31rem){.plot svg{font-size:11px}}
@container (min-width:35rem){.plot svg{font-size:10px}}
@container (min-width:40rem){.plot svg{font-size:9px}}
@container (min-width:46rem){.plot svg{font-size:8px}}
@container (min-width:54rem){.plot svg{font-size:7px}}
.plot.wide svg{font-size:12px}
${wideStyles}`;

const cards = `main{display:grid;grid-template-columns:minmax(0,1fr);gap:1rem}
main:focus{outline:none}
.card,.summary{background:var(--page);border:1px solid var(--grid);border-radius:.6rem;padding:.9rem .8rem;min-width:0}
.beside{display:grid;grid-template-columns:minmax(0,1fr);gap:0 1.5rem}
@media (min-width:48rem){
.card,.summary{padding:1.1rem 1.25rem}
main{grid-template-columns:repeat(2,minmax(0,1fr));grid-auto-flow:dense}
.card.all,main>p{grid-column:1/-1}
.beside{grid-template-columns:repeat(2,minmax(0,1fr))}
}
@media (min-width:70rem){
body.with-contents{display:grid;grid-template-columns:11.5rem minmax(0,1fr);column-gap:1.5rem}
.with-contents>header,.with-contents>.skip{grid-column:1/-1}
.with-contents>nav{grid-column:1;grid-row:2/4;position:sticky;top:1rem;align-self:start;max-height:calc(100vh - 2rem);overflow:auto}
.with-contents>.summary,.with-contents>main{grid-column:2}
.with-contents>.summary{margin-bottom:1rem}
#contents summary{display:none}
#headline .beside{grid-template-columns:minmax(0,1fr) minmax(0,1.75fr)}
#headline table{font-size:.8rem}
#headline :is(th,td){padding-right:.5rem}
.beside.lead{grid-template-columns:minmax(0,1.25fr) minmax(0,1fr)}
.beside.lead>:nth-child(3){grid-column:1/-1;display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:0 1.5rem}
}
@media (min-width:100rem){
main{grid-template-columns:repeat(3,minmax(0,1fr))}
.beside.lead{grid-template-columns:minmax(0,1.2fr) minmax(0,1.2fr) minmax(0,1fr)}
.beside.lead>:nth-child(3){grid-column:auto;display:block}
}`;

const summary = `.summary{margin:0 0 1rem}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.1rem .9rem;margin:0 0 1rem;font-size:.85rem}
.facts div{display:contents}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,15rem),1fr));gap:.9rem 2.5rem}
.tile{display:flex;flex-wrap:wrap;align-items:end;justify-content:space-between;gap:0 1rem}
.tile .name{font-weight:700;margin:0;width:100%}
.tile .bar{order:1}
.big{white-space:nowrap;font-size:2.3rem;line-height:1.1;font-weight:700;margin:0;font-variant-numeric:tabular-nums;color:var(--accent)}
.big small{font-size:1.1rem;font-weight:400}
.bar{display:block;width:100%;height:auto;margin:.2rem 0 0}
.tile dl{display:grid;grid-template-columns:max-content max-content;gap:0 .7rem;font-size:.82rem;line-height:1.45;font-variant-numeric:tabular-nums}
.tile dd{text-align:right}
.verdict{font-size:1.05rem;line-height:1.45;margin:1rem 0 0;max-width:60rem;border-left:4px solid var(--accent);padding-left:.8rem}
@media (min-width:48rem){
.facts{grid-template-columns:repeat(2,max-content minmax(0,1fr))}
}`;

const text = `*{box-sizing:border-box}
html{background:var(--page);color:var(--ink);scroll-padding-top:1rem;-webkit-text-size-adjust:100%}
body{margin:0;padding:.75rem max(.6rem,(100vw - 110rem)/2) 3rem;background:var(--ground);min-height:100vh;overflow-wrap:anywhere;
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif}
@media (min-width:48rem){body{padding:1.25rem max(1.5rem,(100vw - 110rem)/2) 4rem}}
header{display:flex;gap:.5rem 1rem;align-items:center;justify-content:space-between;margin-bottom:.75rem}
h1{font-size:1.6rem;line-height:1.2;margin:0;min-width:0}
h2{font-size:1.15rem;line-height:1.3;margin:0 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .25rem}
p{max-width:46rem;margin:.4rem 0}
a{color:var(--link)}
.note,figcaption,caption,small,dt,.hint{color:var(--muted)}
.note{font-size:.85rem}
.skip{position:absolute;left:-100vw}
.skip:focus{left:1rem;top:.5rem;background:var(--page);padding:.5rem;z-index:2}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
nav{margin-bottom:1rem}
nav ul{list-style:none;padding:0;margin:.25rem 0;font-size:.95rem}
nav li a{display:block;padding:.3rem 0;text-decoration:none}
nav li a:hover{text-decoration:underline}
#contents{background:var(--page);border:1px solid var(--grid);border-radius:.6rem;padding:.4rem .8rem;margin:0}
button{font:inherit;font-size:.9rem;color:var(--ink);background:var(--raised);border:1px solid var(--muted);
border-radius:.3rem;padding:.2rem .7rem;cursor:pointer}
button[aria-pressed=true]{background:var(--ink);color:var(--page);border-color:var(--ink)}
.save{font-size:.8rem;padding:0;border:0;background:none;color:var(--link);text-decoration:underline}
.choices{display:flex;flex-wrap:wrap;gap:.4rem;margin:.75rem 0}
figure{margin:.6rem 0 1rem}
figure>.scroll{margin-bottom:.4rem}
figcaption{display:inline;font-size:.85rem;margin-right:.5rem}
figcaption b{color:var(--ink);font-weight:600}
.scroll{overflow:auto;max-width:100%}
.scroll:has(>table){container-type:inline-size}
.hint{display:none;font-size:.8rem;margin:.1rem 0 .4rem}
.sideways{box-shadow:inset -10px 0 8px -10px var(--ink)}
.sideways+.hint{display:block}
table{overflow-wrap:normal;border-collapse:collapse;font-size:.875rem;line-height:1.35;margin:.3rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;padding:.25rem 0 .5rem;max-width:min(46rem,100cqi)}
th,td{padding:.3rem .7rem .3rem 0;text-align:left;vertical-align:top;font-weight:400;min-width:4rem;max-width:24rem}
th:first-child{min-width:8rem}
thead th{font-weight:600;border-bottom:1.5px solid var(--muted);vertical-align:bottom}
tbody tr{border-bottom:1px solid var(--grid)}
.figures{text-align:right;white-space:nowrap;min-width:3rem}
thead .figures{white-space:normal}
.one table{font-size:.8rem}
.one :is(th,td){padding-right:.5rem}
.one th:first-child{min-width:5rem}
#mistakes td:nth-child(2){min-width:13rem}
#mistakes tbody th{min-width:9rem}
#mistakes .scroll{max-height:40rem}
#metadata td{min-width:12rem}
audio{width:12.5rem;height:2.2rem;max-width:none;vertical-align:middle}
pre{background:var(--raised);border:1px solid var(--grid);border-radius:.3rem;padding:.75rem;max-height:24rem;
font:.8rem/1.45 ui-monospace,"Liberation Mono",monospace;tab-size:2;margin:.5rem 0}
details{margin:.5rem 0 0}
summary{cursor:pointer;width:fit-content;color:var(--link)}
#map-surface{position:absolute;left:0;top:0;width:100%;touch-action:pan-x pan-y;cursor:crosshair}
#map-surface:focus-visible{outline-offset:-3px}
#map-marker{position:absolute;width:18px;height:18px;margin:-9px 0 0 -9px;border:2.5px solid var(--ink);border-radius:50%;
box-shadow:0 0 0 2px var(--page);pointer-events:none}
#map-text{background:var(--raised);border:1px solid var(--grid);border-radius:.3rem;padding:.5rem .8rem;min-height:9.5rem;font-size:.9rem}
#map-text dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem}
dl{margin:0}
dd{margin:0;min-width:0}
.print-only{display:none}
@media (scripting:none){[data-view][hidden]{display:block}button,#map-text,#map-keys{display:none}}`;

/** A printed page is a summary of about two sheets: what has to be scrolled, opened or heard stays on the screen. */
const print = `@media print{
@page{size:A4;margin:11mm}
:root,:root[data-theme]{color-scheme:light}
html{font-size:7.3pt}
body,body.with-contents{display:block;max-width:none;padding:0;background:none}
nav,button,.skip,.choices,.screen-only,#map-surface,details,.hint{display:none!important}
.print-only{display:block}
main{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:.5rem;grid-auto-flow:dense}
.card,.summary{padding:.4rem .6rem;break-inside:avoid}
.card.all,main>p{grid-column:1/-1}
.beside{grid-template-columns:repeat(3,minmax(0,1fr));gap:0 .75rem}
.beside.lead{grid-template-columns:minmax(0,1.15fr) minmax(0,1.15fr) minmax(0,.7fr)}
.beside.lead>:nth-child(3){grid-column:auto;display:block}
#headline .beside{grid-template-columns:minmax(0,1fr) minmax(0,2fr)}
.facts{grid-template-columns:repeat(2,max-content minmax(0,1fr))}
.card.all{break-inside:auto}
.beside{break-inside:avoid}
.one .scroll:has(>table){display:none}
table{font-size:6.5pt!important}
th,td,th:first-child{min-width:0;padding:.15rem .35rem .15rem 0!important}
.card:has([data-view]){grid-column:span 2}
[data-view]{display:inline-block!important;width:49%;vertical-align:top}
h2,h3,caption{break-after:avoid}
figure{margin:.1rem 0 .3rem;break-inside:avoid}
p{margin:.1rem 0;line-height:1.35;max-width:none}
figcaption{line-height:1.3}
[data-view] figcaption,h3{margin-top:0}
.plot svg,.plot.wide svg{font-size:12px}
.plot.wide,.plot{min-width:0!important}
.scroll{overflow:visible;box-shadow:none}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
`;

export const pageStyles = `${plotStyles()}
:root{color-scheme:light dark;--link:light-dark(#1a59cb,#8fb4ff);--raised:light-dark(#f1f3f6,#1f242b);--ground:light-dark(#f3f5f8,#0e1114)}
:root[data-theme=light]{color-scheme:light}
:root[data-theme=dark]{color-scheme:dark}
${[text, plotSizes, cards, summary, print].join('\n')}`;
