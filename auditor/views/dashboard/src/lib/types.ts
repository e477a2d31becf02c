// The audit API's answers, as far as the dashboard reads them (schemas: /api/docs).

export type Word = "relied_on" | "decorative" | "contradicted" | "undetermined";
export type Counts = Record<Word | "untested", number>;
export type Grade = "causal" | "recorded" | "inferred" | "read" | "stated";
export type Kind = "record" | "intervention" | "attribution" | "provenance" | "feature" | "influence";

export interface Page<T> { items: T[]; next: string | null }
export interface Span { message: string; part: number; start: number; end: number; pointer: string | null }
export interface Interval { low: number; high: number; level: number; method: string; n: number; population: string }
export interface Estimate {
  name: string; value: number | null; unit: string; interval: Interval | null; reason: string | null; detail: Record<string, unknown>;
}
export interface Fidelity {
  tokens: number; argmax_agreement: number; max_logprob_gap: number | null; noise_floor: number; weights_digest: string;
  tokenizer_digest: string; template_digest: string; dtype: string; device: string;
}
export interface FidelityView {
  calls: number; tokens: number; argmax_agreement: number | null; max_logprob_gap: number | null; refused: number; reason: string | null;
}
export interface Usage {
  calls: number; input: number | null; output: number | null; cache_read: number | null; cache_write: number | null;
  reasoning: number | null; without_tokens: number; without_output: number; cost: string | null; without_price: number; prices: string[];
}
export interface Tokens {
  input: number | null; output: number | null; cache_read: number | null; cache_write: number | null; reasoning: number | null;
}
export interface Redaction { rule: string; where: "request" | "response" | "header" | "path"; count: number; values: number }
export interface Call {
  id: string; number: number; record: string; step: string | null; model: string; dialect: string | null; at: string | null;
  purpose: string | null; agent: string | null; spans: number; outputs: number; retry_of: string | null; continues: string | null;
  tokens: Tokens | null; cost: { usd: string; prices: string; model: string } | null; no_cost: "no price" | "not given" | null;
  status: number | null; outcome: string | null; unparsed: string | null; first_content_ms: number | null; total_ms: number | null;
  times: {
    started: string; upstream_headers: string | null; first_byte: string | null; first_content: string | null;
    first_tool: string | null; last_byte: string | null;
  } | null;
  redactions: Redaction[]; missing: string | null;
}
export interface Watermark {
  project: string; accepted: number; durable: number; projected: number; runs: number; evidence_attached: number;
}
/** A free-form report: what a server does not say is absent. */
export interface HealthReport {
  trouble?: string[]; notes?: string[]; unreadable?: string[]; ledger?: { position: number };
  graph?: { position: number; behind: number }; structure?: { position: number }; jobs?: Record<string, number>;
  workers?: { wanted?: number; alive?: number; restarts?: number }; follower?: { alive: number; restarts: number };
  recorded?: Record<string, unknown>;
}
export interface Key { id: string; project: string | null; scopes: string[]; name: string; made: string; revoked: string | null }
export interface Project {
  name: string; fail_closed: boolean; redaction: string[]; patterns: Record<string, string>; vaulted: string[];
}
export interface RunRow {
  run: string; title: string; agent: string; model: string; origin: string; tags: string | null; started: string | null;
  ended: string | null; recorded_at: string; position: number; steps: number; calls: number; claims: number; verdicts: Counts;
  failed_findings: number; gaps: number; fidelity: FidelityView; usage: Usage;
}
export interface Run extends RunRow {
  structure: string; structure_version: number; code: string; records: string[]; aliases: string[]; messages: number;
  known_gaps: { record: string | null; gap: { what: string; why: string } }[]; evidence: Record<string, number>; audits: string[];
  outcome: string | null;
  selections: Selection[];
}
export interface Selection { step: string; selector: string; scores: number[]; candidates: string[]; chosen: number; kept: number[] }
export interface Branch {
  step: string; parent: string | null; depth: number; score: number | null; scored_by: string | null; fate: "kept" | "pruned" | "open";
}
export interface SampleSet {
  prompt: string; calls: string[]; steps: string[]; answers: (string | null)[]; votes: Record<string, number>; winner: string | null;
  agreement: number; stated: Span | null; grade: string; rule: string;
}
export interface RetrievedDocument {
  id: string; step: string; span: Span; name: string | null; digest: string; score: number | null; rank: number; rule: string;
}
export interface Citation { mark: Span; sentence: Span; document: string | null; rule: string }
export interface Shape {
  branches: { branch: Branch; text: string | null }[]; selections: Selection[]; samples: SampleSet[];
  documents: { document: RetrievedDocument; text: string | null; cited: number }[]; citations: Citation[];
}
export interface Step {
  id: string; kind: string; parent: string | null; call: string | null; message: string | null; span: Span | null; label: string;
  order: number; at: string | null; grade: string; rule: string;
}
export interface StepView { step: Step; depth: number; children: number; excerpt: string | null; claims: string[] }
export interface Part {
  type: "text" | "reasoning" | "tool_call" | "tool_result" | "other";
  text?: string; arguments?: string; name?: string | null; call_id?: string | null; redacted?: boolean; summary?: boolean; signature?: string | null; is_error?: boolean | null;
  kind?: string; data?: unknown;
}
export interface Message { id: string; parent: string | null; role: string; name: string | null; parts: Part[] | null; missing: string | null }
export interface Claim {
  id: string; type: string; status: string; relation: string; sources: Span[]; target: Span; source_step: string; target_step: string;
  call: string; found_by: string; text: string;
}
export interface Verdict {
  run: string; claim: string; verdict: Word; reason: string | null; text: string; effect: Estimate; method: string;
  findings: { rule: string; conclusion: string; message: string; cites: string[]; numbers: Record<string, number> }[];
  evidence: string[]; protocol: string; disclosed: boolean | null; not_checked: string[]; certificate: string | null; strength: string | null;
}
export interface VerdictView { record: string; position: number; recorded_at: string; verdict: Verdict }
export interface ClaimRow { claim: Claim; current: VerdictView | null; source_texts: (string | null)[]; target_text: string | null }
export interface ClaimView extends ClaimRow {
  run: string; model: string; agent: string; history: VerdictView[]; findings: Finding[]; evidence: Record<string, number>;
}
export interface Finding { check: string; holds: boolean; message: string; places: Span[]; claim: string | null }
export interface Source {
  label: string; span: Span | null; effect: Estimate; tokens: { start: number; end: number; shared: boolean } | null; ref: string | null;
  detail: Record<string, unknown>;
}
export interface Arm {
  family: string; n: number; effects: string; mean: Estimate; margin: Estimate | null; tracks: Estimate | null; skipped: string | null;
}
export interface Check { name: string; passed: boolean | null; value: number | null; bound: number | null; unit: string; note: string }
export interface Evidence {
  run: string; claim: string | null; call: string; kind: Kind; method: string; target: Span;
  target_tokens: { start: number; end: number } | null; sources: Source[]; arms: Arm[]; estimates: Estimate[]; checks: Check[];
  fidelity: Fidelity | null; digests: Record<string, string>; seed: string;
  cost: { seconds: number; forwards: number; backwards: number } | null; reason: string | null; detail: string; note: string;
  surrogate: boolean;
}
export interface EvidenceView { record: string; position: number; recorded_at: string; title: string; may: string; evidence: Evidence }
export interface Replicate { effect: number | null; tracks: boolean | number | null; replacement: string | null }
export interface GraphNode {
  id: string; kind: string; type: string; run: string | null; label: string; at: string | null; attrs: Record<string, unknown>;
  distance: number | null; support: Grade | null;
}
export interface GraphRelation {
  id: string; source: string; target: string; type: string; grade: Grade; label: string; attrs: Record<string, unknown>;
}
export interface GraphView { nodes: GraphNode[]; relations: GraphRelation[]; truncated: boolean }
export interface Sentence {
  grade: Grade; text: string; relation: string; source: string; target: string; effect: number | null; unit: string | null;
  low: number | null; high: number | null;
}
export interface WhyView extends GraphView {
  start: string; run: string | null; summary: string; counts: Record<Grade, number>; sentences: Sentence[]; chain: Sentence[]; behind: number;
}
export interface Job {
  id: string; kind: string; state: string; done: number; total: number; note: string; attempt: number; error: string | null;
}
export interface Jobs { active: boolean; done: number; total: number; jobs: Job[] }
export interface Method {
  id: string; name: string; kind: Kind; title: string; needs: string[]; unit: string; cost: string; reference: string;
  blind_spots: string; note: string;
}
export interface Facets { models: string[]; agents: string[]; runs: number; verdicts: Counts }
