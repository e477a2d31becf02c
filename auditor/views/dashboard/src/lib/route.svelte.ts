// The page is chosen by the part of the address behind #, so that the server needs no fallback and links can be shared.

export interface Route { page: string; id: string; query: URLSearchParams }

function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [page = "", ...rest] = path.split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // A malformed escape is shown as it came; the server then answers that it knows no such id.
  }
  return { page, id, query: new URLSearchParams(query) };
}

export const route = $state<{ now: Route }>({ now: parse(location.hash) });
addEventListener("hashchange", () => (route.now = parse(location.hash)));

export const link = {
  runs: () => "#/",
  run: (run: string, step?: string) => `#/run/${encodeURIComponent(run)}${step ? `?step=${encodeURIComponent(step)}` : ""}`,
  claim: (claim: string) => `#/claim/${encodeURIComponent(claim)}`,
  why: (step: string) => `#/why/${encodeURIComponent(step)}`,
  methods: () => "#/methods",
  system: () => "#/system",
};
