// What the server says of a fault ("is missing", of a field), as whole sentences for people.

const PREDICATE = /^(is|are|was|were|has|have|needs?|must|may|ends|ended|names?|does|do)\b/;
const SUBJECTS: Record<string, string> = {
  key: "This key", project: "The project", scopes: "The scopes", name: "The name", patterns: "The pattern", redaction: "The masking",
  body: "What was sent",
};
/** Things that have a page; the server names the path of its API, which is of no use in a page. */
const PLACES = new Set(["run", "step", "claim"]);

export function sentence(text: string): string {
  const line = text.trim();
  return line ? line[0]!.toUpperCase() + line.slice(1) + (/[.!?…:]$/.test(line) ? "" : ".") : "";
}

export function fault(detail: string, field: string | null): string {
  if (!field || !PREDICATE.test(detail)) return sentence(detail);
  const missing = field === "key" && /^(is|are) missing/.test(detail);
  return sentence(`${missing ? "The key" : (SUBJECTS[field] ?? `The field “${field}”`)} ${detail}`);
}

export const unknown = (status: number, field: string | null) => status === 404 && field !== null && PLACES.has(field);

export const advice = (status: number, field: string | null, fix: string) => (unknown(status, field)
  ? `The address may be mistyped, the ${field} may belong to a project that your key does not see, or it is not recorded yet.`
  : sentence(fix.replace(/`([^`]+)`/g, "“$1”")));
