// Uses the client as a program would, and prints what it found as JSON: run by test_typescript_client.py.

import { Client, JobFailedError, OutcomesMissedError, ProblemError, WaitTimeoutError } from "./client.js";
import type { CardReport, FailureCode, PredictCard, ReviewReport } from "./client.js";

declare const process: { argv: string[]; exit(code: number): void };
const [url, card] = [process.argv[2] as string, JSON.parse(process.argv[3] as string) as PredictCard];
const found: Record<string, unknown> = {};
const client = new Client({ url });

// A card, twice the same job, and its typed report.
const receipt = await client.enqueue(card, { key: "a/card of Node ü", correlationId: "from Node" });
const again = await client.enqueue(card, { key: "a/card of Node ü" });
found["created"] = [receipt.created, again.created];
const report: CardReport = await client.result(receipt, { timeoutSeconds: 60 });
found["fights"] = report.fights.length;
// @ts-expect-error: the report of a card is not that of a review
const wrong: ReviewReport | null = null as unknown as Awaited<ReturnType<typeof client.result<"predict_card">>>;
found["wrong"] = wrong === null;
const outcome = await client.wait(receipt);
found["correlation"] = outcome.correlation_id;
found["sameReport"] = outcome.report?.card_id === card.card_id;

// The events of the job, and all outcomes, over a connection that is cut after each event.
const asked: (string | null)[] = [];
const cutting: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  if (!String(input).includes("/v1/outcomes/events")) return response;
  asked.push(new Headers(init?.headers).get("Last-Event-ID"));
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  let text = "";
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) return controller.close();
      const begun = text.length;
      text += new TextDecoder().decode(value);
      const end = text.indexOf("\n\n", text.indexOf("event: outcome"));
      if (text.includes("event: outcome") && end >= 0) {
        controller.enqueue(new TextEncoder().encode(text.slice(begun, end + 2)));
        await reader.cancel();
        return controller.error(new TypeError("terminated"));
      }
      controller.enqueue(value as Uint8Array);
    },
  });
  return new Response(body, response);
};
const failing = await client.enqueue({ ...card, model: "nobody" });
const failed = await client.result(failing, { timeoutSeconds: 60 }).catch((error: unknown) => error);
found["failed"] = failed instanceof JobFailedError ? failed.failure.code : String(failed);
const followed: string[] = [];
for await (const { place, outcome } of new Client({ url, fetch: cutting }).follow({ after: "0" })) {
  followed.push(outcome.job_id);
  found["place"] = /^[0-9]+-[0-9]+$/.test(place);
  if (outcome.job_id === failing.job_id) break;
}
found["followed"] = followed;
found["asked"] = [asked[0], typeof asked[1]];
found["lastOfJob"] = (await client.progress(receipt, () => undefined)).job_id;

// Refusals are typed, and say why.
const refused = await client.enqueue({ ...card, fights: [] }).catch((error: unknown) => error);
if (refused instanceof ProblemError) {
  const code: FailureCode | null | undefined = refused.problem.code;
  found["refused"] = [refused.status, code, refused.problem.request_id !== undefined];
}
const unknown = await client.call("jobStatus", { job_id: "none" }).catch((error: unknown) => error);
found["unknown"] = unknown instanceof ProblemError ? unknown.status : String(unknown);

// A wait that ends first: no pool runs trainings. Then any other operation, typed.
const slow = await client.enqueue({ kind: "collect_garbage", dry_run: true });
const late = await client.wait(slow, { timeoutSeconds: 0.2 }).catch((error: unknown) => error);
found["late"] = late instanceof WaitTimeoutError;
found["cancelled"] = (await client.call("cancelJob", { job_id: slow.job_id })).state;
found["listed"] = (await client.call("listJobs", { kind: ["collect_garbage", "predict_card"] })).jobs.length;

// 503 with Retry-After, then the real answer; and a connection that is lost once.
let tries = 0;
const shaky: typeof fetch = async (input, init) => {
  tries += 1;
  if (tries === 1) return new Response("{}", { status: 503, headers: { "Retry-After": "1" } });
  if (tries === 2) throw new TypeError("fetch failed");
  return fetch(input, init);
};
const begun = Date.now();
found["afterTries"] = (await new Client({ url, fetch: shaky }).enqueue(card)).created;
found["tries"] = [tries, Date.now() - begun >= 1000];

// Ends when it is told to.
const control = new AbortController();
setTimeout(() => control.abort(new Error("enough")), 200);
const aborted = await (async () => {
  for await (const _ of client.follow({ signal: control.signal })) void _;
})().catch((error: unknown) => error);
found["aborted"] = aborted instanceof Error && !(aborted instanceof OutcomesMissedError);

console.log(JSON.stringify(found));
process.exit(0);
