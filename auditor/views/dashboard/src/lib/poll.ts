// Looks again and again: every `base` ms while the server answers, slower and slower while it does not.

/** `look` gives false (or throws) when it failed; the next look then waits twice as long, up to `most` ms. */
export function poll(look: () => Promise<boolean>, base = 2000, most = 60_000): () => void {
  let wait = base;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  async function round() {
    const well = await look().catch(() => false);
    if (stopped) return;
    wait = well ? base : Math.min(most, wait * 2);
    timer = setTimeout(round, wait);
  }
  /** Whoever comes back to the page does not wait for the long pause to end. */
  const back = () => { if (!document.hidden && wait > base) { clearTimeout(timer); wait = base; void round(); } };
  document.addEventListener("visibilitychange", back);
  void round();
  return () => { stopped = true; clearTimeout(timer); document.removeEventListener("visibilitychange", back); };
}
