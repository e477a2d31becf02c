// An axis on which both 0.02 and 8 nats can be read: linear within ±knee, logarithmic beyond (inverse hyperbolic sine).

export interface Scale { at: (value: number) => number; ticks: number[]; low: number; high: number }

export function softLog(values: number[], from: number, to: number, knee: number): Scale {
  const bend = (value: number) => Math.asinh(value / knee);
  const low = Math.min(-2 * knee, ...values) * 1.15;
  const high = Math.max(4 * knee, ...values) * 1.15;
  const [a, b] = [bend(low), bend(high)];
  const ticks = [0];
  for (let power = -6; power <= 6; power++) for (const sign of [-1, 1]) ticks.push(sign * 10 ** power);
  const kept = ticks.filter((tick) => tick >= low && tick <= high && (tick === 0 || Math.abs(tick) >= knee * 0.99));
  return { low, high, ticks: kept.sort((x, y) => x - y), at: (value) => from + ((bend(value) - a) / (b - a)) * (to - from) };
}
