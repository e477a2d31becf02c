// Numbers and times for people.

import type { Estimate } from "./types";

const UNITS: Record<string, string> = { "1": "", nats: "nats", share: "", probability: "" };

export function number(value: number): string {
  if (value < 0) return `−${number(-value)}`;
  const size = value;
  if (value === 0) return "0";
  if (size >= 1000) return value.toLocaleString("en", { maximumFractionDigits: 0 });
  if (size >= 10) return value.toFixed(1);
  if (size >= 0.095) return value.toFixed(2);
  if (size >= 0.001) return value.toFixed(3);
  return value.toExponential(1);
}

export const signed = (value: number) => (value > 0 ? "+" : value < 0 ? "−" : "") + number(Math.abs(value));

export function withUnit(value: number, unit: string): string {
  if (unit === "share") return `${number(value * 100).replace(/\.0+$/, "")} %`;
  const name = unit in UNITS ? UNITS[unit] : unit;
  return name ? `${number(value)} ${name}` : number(value);
}

export function interval(estimate: Estimate): string {
  const found = estimate.interval;
  if (!found) return "";
  const scale = estimate.unit === "share" ? 100 : 1;
  return `[${number(found.low * scale)}, ${number(found.high * scale)}]`;
}

export function provenance(estimate: Estimate): string {
  const found = estimate.interval;
  return found ? `${Math.round(found.level * 100)} % interval, ${found.method}, n = ${found.n} ${found.population}` : "no interval";
}

export const millis = (text: string | null) => (text ? Date.parse(text.replace(/(\.\d{3})\d+/, "$1")) : NaN);

export function when(text: string | null): string {
  if (!text) return "time unknown";
  const at = new Date(millis(text));
  return at.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export function lasted(from: string | null, to: string | null): string {
  const ms = millis(to) - millis(from);
  if (Number.isNaN(ms)) return "–";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** A model that is a folder is named by its last part; the full name stays in the title. */
export const modelName = (name: string) => (name.startsWith("/") ? (name.replace(/\/+$/, "").split("/").pop() ?? name) : name);

export const brief = (digest: string) => (digest.length > 14 ? `${digest.slice(0, 12)}…` : digest);

export const whole = (value: number | null | undefined) => (value === null || value === undefined ? "?" : value.toLocaleString("en"));
export const plural = (count: number, one: string) => `${whole(count)} ${one}${count === 1 ? "" : "s"}`;

export function duration(ms: number | null): string {
  if (ms === null) return "–";
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** Dollars for the eye: four digits that count; the exact text belongs beside it. */
export function dollars(text: string): string {
  const value = Number(text);
  if (!Number.isFinite(value)) return `$${text}`;
  if (value === 0) return "$0";
  if (value > 0 && value < 1e-6) return "< $0.000001";
  return value >= 1 ? `$${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}` : `$${value.toLocaleString("en", { maximumSignificantDigits: 3, maximumFractionDigits: 18 })}`;
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  if (count < 1024 ** 2) return `${(count / 1024).toFixed(1)} KiB`;
  return count < 1024 ** 3 ? `${(count / 1024 ** 2).toFixed(1)} MiB` : `${(count / 1024 ** 3).toFixed(1)} GiB`;
}
