// Spans are UTF-8 byte offsets; strings here are UTF-16. This is the only place that converts.

/** Places[b] = UTF-16 index of the character that holds byte b; places[bytes] = length. */
export function places(text: string): Uint32Array {
  const found: number[] = [];
  for (let index = 0; index < text.length; ) {
    const point = text.codePointAt(index)!;
    const bytes = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (let b = 0; b < bytes; b++) found.push(index);
    index += point > 0xffff ? 2 : 1;
  }
  found.push(text.length);
  return Uint32Array.from(found);
}

export interface Mark { start: number; end: number; value: number; title: string; name?: string }
export interface Piece { text: string; mark: Mark | null }

/** Cut a text at byte spans. Where marks overlap, the shorter one (the more exact one) is shown. */
export function cut(text: string, marks: Mark[]): Piece[] {
  if (!marks.length) return [{ text, mark: null }];
  const at = places(text);
  const last = at.length - 1;
  const spot = (byte: number) => at[Math.max(0, Math.min(last, byte))]!;
  const edges = new Set([0, text.length]);
  for (const mark of marks) edges.add(spot(mark.start)).add(spot(mark.end));
  const sorted = [...edges].sort((a, b) => a - b);
  const pieces: Piece[] = [];
  for (let i = 0; i + 1 < sorted.length; i++) {
    const [from, to] = [sorted[i]!, sorted[i + 1]!];
    const covering = marks.filter((mark) => spot(mark.start) <= from && spot(mark.end) >= to);
    covering.sort((a, b) => a.end - a.start - (b.end - b.start));
    pieces.push({ text: text.slice(from, to), mark: covering[0] ?? null });
  }
  return pieces;
}

const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** Make control and direction characters visible: recorded text must not be able to look like something else. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (sign) => {
    return `⟦U+${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`;
  });
}

export const partText = (part: { type: string; text?: string; arguments?: string }): string =>
  part.type === "tool_call" ? (part.arguments ?? "") : (part.text ?? "");
