/** @file JSON text whose objects have a key twice: JSON.parse keeps the last and says nothing. */

/** A key that an object of valid JSON `text` has twice; undefined where there is none. */
export function repeatedKey(text: string): string | undefined {
  const openObjects: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '{') openObjects.push(new Set());
    else if (char === '}') openObjects.pop();
    else if (char === '"') {
      const start = at++;
      while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
      let next = at + 1;
      while (' \t\r\n'.includes(text[next] ?? 'end')) next++;
      if (text[next] !== ':') continue; // a value
      const key: string = JSON.parse(text.slice(start, at + 1));
      const keys = openObjects.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}
