import { describe, expect, it } from 'vitest';
import { fileAddress, renderTimeline } from '../../src/report/index.js';
import { clockText, timelinePlot } from '../../src/report/plots/index.js';
import { hostileText } from './report-data.js';
import { timelineData } from './timeline-data.js';

describe('the timeline page', () => {
  it('is one document that asks for nothing but its recordings', () => {
    const html = renderTimeline(timelineData());
    expect(html).toContain("default-src 'none'");
    const addresses = [...html.matchAll(/\b(?:src|href)="([^"]*)"/g)].map(([, address]) => address);
    expect(addresses).toEqual(['data:,', '#content', 'calls/one.wav', 'calls/two.wav']);
    expect(html).not.toMatch(/url\(|@import|<link rel="stylesheet"/);
  });

  it('has a row for every window, and the whole in words', () => {
    const { labels, recordings, ...data } = timelineData();
    const html = renderTimeline({ ...data, labels, recordings });
    const windows = recordings.flatMap((recording) => recording.windows);
    expect(html.match(/<button type="button" data-seek=/g)!.length).toBe(windows.length);
    expect(html).toContain('2 recordings, 13 windows, 4 classes');
    expect(html).toContain('The whole recording is happy: happy 55.0\u00a0%, angry 20.0\u00a0%');
    expect(html).toContain('the features are damaged');
    expect(html).toContain('The windows of calls/one.wav');
  });

  it('shows the same for the same input, and text as text', () => {
    expect(renderTimeline(timelineData())).toBe(renderTimeline(timelineData()));
    const data = timelineData();
    const recordings = data.recordings.map((recording) => ({
      ...recording,
      name: hostileText,
      note: hostileText,
      windows: recording.windows.map((window) => ({ ...window, note: hostileText })),
    }));
    const html = renderTimeline({ ...data, title: hostileText, recordings });
    expect(html).not.toContain(hostileText);
    expect(html.match(/<script/g)!.length).toBe(2);
  });

  it('says why a recording has no answer, and draws nothing for it', () => {
    const error = 'audio file three.wav does not exist';
    const recordings = [{ name: 'three.wav', audio: null, windows: [], error }];
    const html = renderTimeline({ ...timelineData(), recordings });
    expect(html).toContain(`No answer: ${error}`);
    expect(html).not.toMatch(/<figure|<audio|id="recordings"/);
    expect(renderTimeline({ ...timelineData(), recordings: [] })).toContain('0 recordings, 0 windows');
  });
});

describe('the plot of a timeline', () => {
  const heading = { name: 'plot', title: 'Plot', description: 'A plot.' };
  const window = (startSec: number, endSec: number, ...probabilities: number[]) => {
    const label = probabilities.indexOf(Math.max(...probabilities));
    return { startSec, endSec, answer: probabilities.length === 0 ? null : { label, probabilities } };
  };

  it('stacks probabilities from 0 to 100 % over the time of each window', () => {
    const { svg, left, right } = timelinePlot(heading, ['a', 'b'], 0, 10, [window(0, 5, 0.25, 0.75)]);
    const middle = (left + right) / 2;
    // 160 units are 100 %: the first class from 186 up to 146, the second from there up to 26.
    expect(svg).toContain(`d="M${left} 186V146H${middle}V186z"`);
    expect(svg).toContain(`d="M${left} 146V26H${middle}V146z"`);
  });

  it('leaves silence empty, and boxes what was not judged', () => {
    const windows = [window(0, 2, 1, 0), window(6, 8)];
    const { svg, left, right } = timelinePlot(heading, ['a', 'b'], 0, 8, windows);
    expect(svg).toContain('stroke-dasharray');
    const starts = [...svg.matchAll(/M([\d.]+) 186V26H/g)].map(([, x]) => Number(x));
    expect(starts).toEqual([left, left + 0.75 * (right - left)]);
  });

  it('is wider for a longer recording, and ticks whole minutes', () => {
    const short = timelinePlot(heading, ['a'], 0, 60, []);
    const long = timelinePlot(heading, ['a'], 0, 3660, []);
    expect(short.width).toBe(720);
    expect(long.right - long.left).toBe(3660);
    expect(long.svg).toContain('>1:00:00<');
    expect(timelinePlot(heading, ['a'], 5, 5, []).width).toBe(720);
  });

  it('writes times as a clock does', () => {
    expect([0, 5.04, 59.96, 754.5, 3723].map((sec) => clockText(sec))).toEqual([
      '0:00.0',
      '0:05.0',
      '1:00.0',
      '12:34.5',
      '1:02:03.0',
    ]);
    expect(clockText(90, 0)).toBe('1:30');
  });
});

describe('the address of a recording', () => {
  it('is relative to the page, with every name encoded', () => {
    expect(fileAddress('/data/out/page.html', '/data/calls/a b#1?.wav')).toBe('../calls/a%20b%231%3F.wav');
    expect(fileAddress('/data/page.html', '/data/50%.wav')).toBe('50%25.wav');
    expect(fileAddress('page.html', 'calls/a:b.wav')).toBe('calls/a%3Ab.wav');
  });
});
