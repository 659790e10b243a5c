// Which rows of a long list are drawn: those in sight and a few around them, whatever the length of the list.

export interface Window {
  /** First row drawn. */
  first: number;
  /** One past the last row drawn. */
  end: number;
  /** Height of what is not drawn above and below, pixels. */
  above: number;
  below: number;
}

/** Rows to draw of `rows` of `rowHeight` pixels, in a box of `height` that is scrolled to `top`. */
export function windowOf(rows: number, rowHeight: number, top: number, height: number, around = 6): Window {
  // A list that became shorter is still scrolled to where it was.
  const last = Math.max(0, rows * rowHeight - height);
  const from = Math.min(Math.max(0, top), last);
  const first = Math.max(0, Math.floor(from / rowHeight) - around);
  const end = Math.min(rows, Math.ceil((from + height) / rowHeight) + around);
  return { first, end, above: first * rowHeight, below: Math.max(0, (rows - end) * rowHeight) };
}

/** The same where rows have one of several heights; `offsets[i]` is where row i begins, and one more says where the last ends. */
export function windowOfOffsets(offsets: readonly number[], top: number, height: number, around = 4): Window {
  const rows = offsets.length - 1;
  const whole = offsets[rows] ?? 0;
  const from = Math.min(Math.max(0, top), Math.max(0, whole - height));
  const first = Math.max(0, rowAt(offsets, from) - around);
  const end = Math.min(rows, rowAt(offsets, from + height) + 1 + around);
  return { first, end, above: offsets[first] ?? 0, below: Math.max(0, whole - (offsets[end] ?? whole)) };
}

/** The row that a height is in. */
export function rowAt(offsets: readonly number[], at: number): number {
  let low = 0;
  let high = Math.max(0, offsets.length - 2);
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((offsets[middle] ?? 0) <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Where to scroll so that a stretch is in sight; `top` itself when it is already. */
export function scrollFor(from: number, to: number, top: number, height: number): number {
  if (from < top) return from;
  return to > top + height ? to - height : top;
}
