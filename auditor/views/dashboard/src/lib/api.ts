// The one door to the server.

import type { Page } from "./types";

export class Problem extends Error {
  constructor(readonly status: number, readonly code: string, detail: string, readonly fix: string, readonly field: string | null = null) {
    super(detail);
  }
}

const closed = new Set<() => void>();
let held = 0;

/** While something is shown that would be lost with the page (a key, once), the page does not turn into the sign-in. */
export function hold(): () => void {
  held++;
  let over = false;
  return () => { if (!over) held--; over = true; };
}

/** Be told when the server asks for a key. */
export function whenClosed(told: () => void): () => void {
  closed.add(told);
  return () => closed.delete(told);
}

/** Trade a key for a cookie that this page cannot read. */
export const signIn = (key: string) => call<{ project: string | null }>("/session", { key });

export async function call<T>(path: string, body?: unknown, method = body === undefined ? "GET" : "POST"): Promise<T> {
  const options: RequestInit = body === undefined ? { method } : {
    method, headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  };
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, options);
  } catch {
    throw new Problem(0, "unreachable", "the server does not answer", "check that it is running; this page tries again by itself");
  }
  const data = await answer.json().catch(() => null);
  if (answer.status === 401 && !held) closed.forEach((told) => told());
  if (!answer.ok) {
    throw new Problem(answer.status, data?.code ?? "http_error", data?.detail ?? `the server answered ${answer.status}`, data?.fix ?? "try again", data?.field ?? null);
  }
  return data as T;
}

/** All pages of a list, up to `most` items. */
export async function all<T>(path: string, most = 20_000): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  do {
    const mark: string = path.includes("?") ? "&" : "?";
    const page: Page<T> = await call(`${path}${mark}limit=1000${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < most);
  return items;
}

export const id = encodeURIComponent;
