/**
 * @file The script of timelines in the browser: one recording at a time, a cursor that follows the playback, and
 * seeking by pointer and keyboard. Runs after page-script.ts, and like it only imports types.
 */

/// <reference lib="dom" />

for (const recording of document.querySelectorAll<HTMLElement>('.timeline')) startTimeline(recording);
startPicker();

/**
 * With several recordings, shows the one that is picked; without scripts, and on paper, all are shown. Only the length
 * of a recording that is shown is read from its file.
 */
function startPicker(): void {
  const picker = document.querySelector<HTMLSelectElement>('#recordings');
  const show = (): void => {
    for (const recording of document.querySelectorAll<HTMLElement>('.timeline')) {
      recording.hidden = picker !== null && recording.id !== picker.value;
      const audio = recording.querySelector('audio');
      if (recording.hidden) audio?.pause();
      else if (audio) audio.preload = 'metadata';
    }
    document.dispatchEvent(new CustomEvent('view', { detail: 'recordings' }));
  };
  picker?.addEventListener('change', show);
  show();
}

function startTimeline(recording: HTMLElement): void {
  const plot = recording.querySelector<HTMLElement>('.plot');
  const status = recording.querySelector<HTMLElement>('[data-window=text]');
  const audio = recording.querySelector('audio');
  if (audio) startFailures(recording, audio);
  if (!plot || !status) return;
  const box = plot.parentElement!;
  const [from, to] = [Number(recording.dataset.from), Number(recording.dataset.to)];
  const [width, left, right] = [plot.dataset.width, plot.dataset.left, plot.dataset.right].map(Number) as [
    number,
    number,
    number,
  ];
  const headings = [...recording.querySelectorAll('thead th')].map((cell) => cell.textContent ?? '');
  const windows = [...recording.querySelectorAll<HTMLButtonElement>('[data-seek]')].map((button) => ({
    button,
    row: button.closest('tr')!,
    start: Number(button.dataset.seek),
    end: Number(button.dataset.end),
  }));

  const surface = document.createElement('div');
  surface.className = 'seek';
  surface.style.left = `${(100 * left) / width}%`;
  surface.style.width = `${(100 * (right - left)) / width}%`;
  surface.tabIndex = 0;
  surface.setAttribute('role', 'slider');
  surface.setAttribute('aria-label', 'Position in the recording');
  surface.setAttribute('aria-valuemin', String(from));
  surface.setAttribute('aria-valuemax', String(to));
  const cursor = document.createElement('div');
  cursor.className = 'cursor';
  surface.append(cursor);
  plot.append(surface);

  let at = from;
  let shown = -1;
  const indexAt = (sec: number): number => {
    let index = -1;
    for (const [i, { start }] of windows.entries()) if (start <= sec + 1e-3) index = i;
    return index >= 0 && sec < windows[index]!.end ? index : -1;
  };

  function show(sec: number): void {
    at = Math.min(to, Math.max(from, sec));
    cursor.style.left = `${(100 * (at - from)) / Math.max(to - from, 1e-3)}%`;
    const index = indexAt(at);
    surface.setAttribute('aria-valuenow', at.toFixed(1));
    if (index === shown && surface.hasAttribute('aria-valuetext')) return;
    windows[shown]?.row.removeAttribute('aria-current');
    windows[index]?.row.setAttribute('aria-current', 'true');
    shown = index;
    const text = index < 0 ? 'No window: silence' : describe(index);
    surface.setAttribute('aria-valuetext', text);
    // While it plays, a reader should hear the recording.
    status!.setAttribute('aria-live', audio && !audio.paused ? 'off' : 'polite');
    status!.textContent = text;
  }

  function describe(index: number): string {
    const cells = [...windows[index]!.row.cells].map((cell) => cell.textContent ?? '');
    const [start, end, label] = cells;
    const note = cells.at(-1);
    const shares = headings
      .slice(3, -1)
      .map((heading, i) => `${heading.replace(/ %$/, '')} ${cells[i + 3]} %`)
      .join(', ');
    const known = cells[3] === '–' ? '' : ` (${shares})`;
    return `${start} to ${end}: ${label}${known}${note ? `. ${note}` : ''}`;
  }

  function seek(sec: number): void {
    show(sec);
    if (audio && Number.isFinite(audio.duration)) audio.currentTime = at;
    else audio?.addEventListener('loadedmetadata', () => (audio.currentTime = at), { once: true });
    reveal();
  }

  /** Scrolls a wide plot, but not the page. */
  function reveal(): void {
    const x =
      ((left + ((at - from) / Math.max(to - from, 1e-3)) * (right - left)) * plot!.clientWidth) / width;
    if (x < box.scrollLeft + 20 || x > box.scrollLeft + box.clientWidth - 20) {
      box.scrollLeft = x - box.clientWidth / 3;
    }
  }

  surface.addEventListener('click', (event) => {
    const area = surface.getBoundingClientRect();
    seek(from + ((event.clientX - area.left) / area.width) * (to - from));
  });
  surface.addEventListener('focus', () => show(at));
  surface.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const next = windows.find(({ start }) => start > at + 1e-3);
    const before = windows.filter(({ start }) => start < at - 1e-3).at(-1);
    const moves: Record<string, number | undefined> = {
      ArrowRight: next?.start,
      ArrowUp: next?.start,
      ArrowLeft: before?.start,
      ArrowDown: before?.start,
      Home: windows[0]?.start,
      End: windows.at(-1)?.start,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const sec = moves[event.key];
    if (sec !== undefined) seek(sec);
  });
  for (const { button, start } of windows) button.addEventListener('click', () => seek(start));
  if (!audio) return;
  let isFollowing = false;
  const follow = (): void => {
    show(audio.currentTime);
    reveal();
    isFollowing = !audio.paused && !audio.ended;
    if (isFollowing) requestAnimationFrame(follow);
  };
  audio.addEventListener('play', () => {
    if (!isFollowing) follow();
  });
  audio.addEventListener('timeupdate', () => show(audio.currentTime));
}

/** Says so where a recording is no longer beside the page, or is of a kind that the browser does not play. */
function startFailures(recording: HTMLElement, audio: HTMLAudioElement): void {
  const message = recording.querySelector<HTMLElement>('[data-audio=failed]');
  const fail = (): void => {
    if (!message) return;
    message.hidden = false;
    message.textContent = `The recording cannot be played from ${decodeURIComponent(audio.getAttribute('src')!)}. The page plays it from there: keep it where it was relative to the page. If it is there, this browser does not play its format.`;
  };
  audio.addEventListener('error', fail);
  if (audio.error) fail();
}

export {};
