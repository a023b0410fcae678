/**
 * @file The report's script in the browser: theme, views, saving plots, and pointer and keyboard control of the map. It
 * is compiled with the rest and inlined into the page, so it only imports types.
 */

/// <reference lib="dom" />

import type { MapPoints } from './utterance-sections.js';

const root = document.documentElement;
const all = <E extends Element>(selector: string): E[] => [...document.querySelectorAll<E>(selector)];

startTheme();
startContents();
startViews();
startSaving();
startScrolling();
startMap();
/** The button names the theme that it changes to; until it is pressed, the page follows the system. */
function startTheme(): void {
  const button = document.querySelector<HTMLButtonElement>('#theme');
  if (!button) return;
  const system = matchMedia('(prefers-color-scheme: dark)');
  const isDark = (): boolean => (root.dataset.theme ? root.dataset.theme === 'dark' : system.matches);
  const show = (): void => {
    button.textContent = isDark() ? 'Light' : 'Dark';
  };
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark';
    show();
  });
  system.addEventListener('change', show);
  show();
}

/** The contents are open where they have a place of their own, and closed where they would push the page down. */
function startContents(): void {
  const contents = document.querySelector<HTMLDetailsElement>('#contents');
  if (!contents) return;
  const wide = matchMedia('(min-width: 70rem)');
  const place = (): void => {
    contents.open = wide.matches;
  };
  wide.addEventListener('change', place);
  contents.addEventListener('click', (event) => {
    if (!wide.matches && event.target instanceof HTMLAnchorElement) contents.open = false;
  });
  place();
}

function startViews(): void {
  for (const button of all<HTMLButtonElement>('button[data-choice]')) {
    const { group, choice } = button.dataset;
    button.addEventListener('click', () => {
      for (const other of all<HTMLElement>(`button[data-group="${group}"]`)) {
        other.setAttribute('aria-pressed', String(other === button));
      }
      for (const view of all<HTMLElement>(`[data-group="${group}"][data-view]`)) {
        view.hidden = view.dataset.view !== choice;
      }
      document.dispatchEvent(new CustomEvent('view', { detail: group }));
    });
  }
}

function startSaving(): void {
  for (const button of all<HTMLButtonElement>('button[data-save]')) {
    const name = button.dataset.save!;
    button.addEventListener('click', () => {
      const svg = document.querySelector(`#figure-${name} svg`);
      if (!svg) return;
      const url = URL.createObjectURL(
        new Blob([new XMLSerializer().serializeToString(svg), '\n'], { type: 'image/svg+xml' }),
      );
      const link = Object.assign(document.createElement('a'), { href: url, download: `${name}.svg` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
    });
  }
}

/** Makes scrollable elements keyboard-accessible: they are focusable while their content overflows. */
function startScrolling(): void {
  const look = (): void => {
    for (const box of all<HTMLElement>('.scroll')) {
      const isWide = box.scrollWidth > box.clientWidth + 1;
      const scrolls = isWide || box.scrollHeight > box.clientHeight + 1;
      box.classList.toggle('sideways', isWide);
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute('tabindex');
    }
  };
  addEventListener('resize', look);
  document.addEventListener('view', look);
  for (const details of all('details')) details.addEventListener('toggle', look);
  look();
}

function startMap(): void {
  const source = document.querySelector<HTMLElement>('#map-points');
  const status = document.querySelector<HTMLElement>('#map-text');
  const plots = all<HTMLElement>('[data-group="map"][data-view] .plot');
  if (!source || !status) return;
  const [width, height] = [Number(source.dataset.width), Number(source.dataset.height)];

  const surface = document.createElement('div');
  surface.id = 'map-surface';
  surface.style.aspectRatio = `${width} / ${height}`; // the points; the legend is below it
  surface.tabIndex = 0;
  surface.setAttribute('role', 'application');
  surface.setAttribute('aria-label', 'Map of the embeddings');
  surface.setAttribute('aria-describedby', 'map-keys');
  const marker = document.createElement('div');
  marker.id = 'map-marker';
  marker.hidden = true;
  surface.append(marker);
  const attach = (): void => plots.find((plot) => !plot.closest('[hidden]'))?.append(surface);
  document.addEventListener('view', attach);
  attach();

  let points: MapPoints | undefined;
  let cells: Map<number, number[]> | undefined;
  let chosen = -1;
  const CELL = 16; // in units of the plot; also the hit radius around a point
  const columns = Math.ceil(width / CELL) + 2;
  const cellOf = (x: number, y: number): number =>
    Math.floor(y / CELL + 1) * columns + Math.floor(x / CELL + 1);

  /** Parsed on first use, so that the page opens without waiting for it. */
  function load(): MapPoints {
    points ??= JSON.parse(source!.textContent!) as MapPoints;
    if (!cells) {
      cells = new Map();
      for (let i = 0; i < points.x.length; i++) {
        const cell = cellOf(points.x[i]!, points.y[i]!);
        const members = cells.get(cell);
        if (members) members.push(i);
        else cells.set(cell, [i]);
      }
    }
    return points;
  }

  function nearest(x: number, y: number): number {
    const { x: xs, y: ys } = load();
    let [best, least] = [-1, CELL * CELL];
    for (const row of [-CELL, 0, CELL]) {
      for (const column of [-CELL, 0, CELL]) {
        for (const i of cells!.get(cellOf(x + column, y + row)) ?? []) {
          const distance = (xs[i]! - x) ** 2 + (ys[i]! - y) ** 2;
          if (distance < least) [best, least] = [i, distance];
        }
      }
    }
    return best;
  }

  /** The nearest point in the quadrant of a direction; the current point if there is none. */
  function towards(dx: number, dy: number): number {
    const { x: xs, y: ys } = load();
    let [best, least] = [chosen, Infinity];
    for (let i = 0; i < xs.length; i++) {
      const [right, down] = [xs[i]! - xs[chosen]!, ys[i]! - ys[chosen]!];
      const [along, aside] = [right * dx + down * dy, Math.abs(right * dy) + Math.abs(down * dx)];
      if (along <= 0 || aside > along) continue;
      const distance = along ** 2 + aside ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  }

  function choose(index: number): void {
    if (index < 0 || index === chosen) return;
    chosen = index;
    const { x, y } = load();
    marker.hidden = false;
    marker.style.left = `${(100 * x[index]!) / width}%`;
    marker.style.top = `${(100 * y[index]!) / height}%`;
    describe(index);
  }

  function describe(index: number): void {
    const { labels, speakers, parts, ...at } = load();
    const [predicted, perMille] = [at.predicted[index]!, at.probability[index]!];
    const probability = perMille < 0 ? '' : `, ${(perMille / 10).toFixed(1)} %`;
    const answer = predicted < 0 ? 'no answer' : `${labels[predicted]}${probability}`;
    const right = predicted === at.reference[index] ? 'right' : 'wrong';
    const rows: [string, string][] = [
      ['Utterance', at.id[index]!],
      ['Speaker', speakers[at.speaker[index]!] ?? ''],
      ['Run', parts[at.part[index]!] ?? ''],
      ['Transcript', at.text[index]!],
      ['Reference', labels[at.reference[index]!]!],
      ['Predicted', `${answer} (${right})`],
    ];
    const list = document.createElement('dl');
    for (const [name, value] of rows) {
      if (value === '') continue;
      const [term, detail, text] = [
        document.createElement('dt'),
        document.createElement('dd'),
        document.createElement('bdi'),
      ];
      term.textContent = name;
      text.textContent = value;
      detail.append(text);
      list.append(term, detail);
    }
    status!.replaceChildren(list);
  }

  function atPointer(event: PointerEvent): void {
    const box = surface.getBoundingClientRect();
    const scale = width / box.width;
    choose(nearest((event.clientX - box.left) * scale, (event.clientY - box.top) * scale));
  }
  surface.addEventListener('pointermove', atPointer);
  surface.addEventListener('pointerdown', atPointer);
  surface.addEventListener('focus', () => {
    if (chosen < 0 && load().x.length > 0) choose(0);
  });
  surface.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || chosen < 0) return;
    const last = load().x.length - 1;
    const moves: Record<string, () => number> = {
      ArrowLeft: () => towards(-1, 0),
      ArrowRight: () => towards(1, 0),
      ArrowUp: () => towards(0, -1),
      ArrowDown: () => towards(0, 1),
      PageDown: () => Math.min(last, chosen + 1),
      PageUp: () => Math.max(0, chosen - 1),
      Home: () => 0,
      End: () => last,
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    choose(move());
    marker.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  });
}
