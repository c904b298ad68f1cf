// A client of the gateway for Node 20 and browsers, without dependencies. `types.ts` is generated; this file is not.
//
//   const client = new Client({ url: "http://127.0.0.1:8080", token: process.env.CORNERMAN_TOKEN });
//   const receipt = await client.enqueue({ kind: "predict_card", card_id: "night-1", event_start, fights });
//   const report = await client.result(receipt, { timeoutSeconds: 30 });            // a CardReport
//   for await (const { place, outcome } of client.follow({ after })) { ... }        // store `place` after each outcome

import { OPERATIONS } from "./types.js";
import type {
  Failure,
  Job,
  Operations,
  Outcome,
  OutcomesMissed,
  Problem,
  Progress,
  Receipt,
  Reports,
} from "./types.js";

export * from "./types.js";

export interface ClientOptions {
  /** Address of the gateway, such as `https://odds.example:8443`. */
  url: string;
  /** Token of `cornerman tokens create`; not needed on a loopback address while no token has been made. */
  token?: string | undefined;
  /** Tries of one request before its error is thrown; the default is 5. */
  maxAttempts?: number;
  /** Longest pause between two tries, whatever `Retry-After` says; the default is 30. */
  maxPauseSeconds?: number;
  /** The function to send requests with; by default that of the platform. */
  fetch?: typeof fetch;
}

export interface CallOptions {
  /** Ends the call, its retries included. */
  signal?: AbortSignal | undefined;
}

export interface EnqueueOptions extends CallOptions {
  /** Id of the job (`Idempotency-Key`); by default a digest of its content. */
  key?: string;
  /** Text that the outcome repeats. */
  correlationId?: string;
  /** Trace that the job belongs to, and the span that submits it (W3C Trace Context). */
  traceparent?: string;
  /** `true`: return only after the server has the job on disk. "replica": after replicas have it, too. */
  durable?: boolean | "replica";
}

export interface WaitOptions extends CallOptions {
  /** Longest time to wait; without it there is no limit. */
  timeoutSeconds?: number;
}

export interface FollowOptions extends CallOptions {
  /** Place after which to begin; by default now, "0" is the oldest stored outcome. */
  after?: string;
  /** What to do if outcomes were dropped before they could be read; without it that is an error. */
  onMissed?: (missed: OutcomesMissed) => void;
}

/** An outcome and its place in the stream. */
export interface Followed {
  place: string;
  outcome: Outcome;
}

/** The receipt of a job whose kind, and so the type of whose report, is known. */
export type ReceiptOf<K extends keyof Reports> = Receipt & { kind: K };

/** The outcome of a job of a known kind. */
export type OutcomeOf<K extends keyof Reports> = Omit<Outcome, "report"> & { report?: Reports[K] | null };

/** The gateway answered with an error. `problem.code` is a failure code to switch on. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  constructor(
    readonly status: number,
    readonly problem: Problem,
    readonly retryAfterSeconds: number | null,
  ) {
    super(`${status} ${problem.title}: ${problem.detail}`);
  }
}

/** The job ended without a report; `failure` says why. */
export class JobFailedError extends Error {
  override readonly name = "JobFailedError";
  constructor(
    readonly jobId: string,
    readonly failure: Failure,
  ) {
    super(`job ${jobId} ended as ${failure.code}: ${failure.message}`);
  }
}

/** The job had no outcome within the time to wait; it goes on. */
export class WaitTimeoutError extends Error {
  override readonly name = "WaitTimeoutError";
}

/** Outcomes were dropped before they could be read, and nobody asked to continue: see `onMissed`. */
export class OutcomesMissedError extends Error {
  override readonly name = "OutcomesMissedError";
  constructor(readonly missed: OutcomesMissed) {
    super("outcomes were dropped before they could be read");
  }
}

interface ServerSentEvent {
  id: string;
  event: string;
  data: string;
}

const WAIT_SECONDS = 30; // of one request; longer waits are several
const PAUSE_SECONDS = 0.25;
const IDEMPOTENT = new Set(["GET", "PUT", "DELETE"]);

export class Client {
  readonly #url: string;
  readonly #token: string | undefined;
  readonly #maxAttempts: number;
  readonly #maxPauseSeconds: number;
  readonly #fetch: typeof fetch;

  constructor(options: ClientOptions) {
    this.#url = options.url.replace(/\/+$/, "");
    this.#token = options.token;
    this.#maxAttempts = options.maxAttempts ?? 5;
    this.#maxPauseSeconds = options.maxPauseSeconds ?? 30;
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  /** Submit a job. The same job again, also after an error of the connection, is the same job. */
  async enqueue<J extends Job>(job: J, options: EnqueueOptions = {}): Promise<ReceiptOf<J["kind"]>> {
    const receipt = await this.call(
      "submitJob",
      {
        body: job,
        ...(options.key === undefined ? {} : { "Idempotency-Key": options.key }),
        ...(options.correlationId === undefined ? {} : { "X-Correlation-ID": options.correlationId }),
        ...(options.traceparent === undefined ? {} : { traceparent: options.traceparent }),
        ...(options.durable === undefined ? {} : { durable: options.durable }),
      },
      { signal: options.signal },
    );
    return { ...receipt, kind: job.kind };
  }

  /** Wait until a job has ended, and return its outcome: with a report, or with a failure. */
  async wait<K extends keyof Reports>(job: ReceiptOf<K>, options?: WaitOptions): Promise<OutcomeOf<K>>;
  async wait(job: string, options?: WaitOptions): Promise<Outcome>;
  async wait(job: Receipt | string, options: WaitOptions = {}): Promise<Outcome> {
    const jobId = typeof job === "string" ? job : job.job_id;
    const end = Date.now() + 1000 * (options.timeoutSeconds ?? Infinity);
    for (;;) {
      const left = Math.max(0, (end - Date.now()) / 1000);
      const found = await this.call("jobOutcome", { job_id: jobId, wait: Math.min(WAIT_SECONDS, left) }, options);
      if ("settled_at" in found) return found;
      if (Date.now() >= end) throw new WaitTimeoutError(`job ${jobId} is ${found.state}; it goes on`);
    }
  }

  /** Wait for the report of a job. Throws JobFailedError if it ends without one. */
  async result<K extends keyof Reports>(receipt: ReceiptOf<K>, options?: WaitOptions): Promise<Reports[K]> {
    const outcome = await this.wait(receipt, options);
    if (outcome.report) return outcome.report;
    throw new JobFailedError(outcome.job_id, outcome.failure as Failure);
  }

  /**
   * Yield the outcome of every job as it ends, with its place in the stream, without end: lost connections are made again
   * from the last place, so that nothing is missed. Store the place after each outcome, and give it as `after` next time;
   * without it, the stream begins now; "0" is the oldest stored outcome.
   */
  async *follow(options: FollowOptions = {}): AsyncGenerator<Followed, void, undefined> {
    const query = options.after === undefined ? "" : `?after=${encodeURIComponent(options.after)}`;
    for await (const { id, event, data } of this.#events(`/v1/outcomes/events${query}`, options.signal)) {
      if (event === "outcome") {
        yield { place: id, outcome: JSON.parse(data) as Outcome };
      } else if (event === "missed") {
        const missed = JSON.parse(data) as OutcomesMissed;
        if (options.onMissed === undefined) throw new OutcomesMissedError(missed);
        options.onMissed(missed);
      }
    }
  }

  /** Call `onProgress` with each progress report of a job, and return its outcome when it ends. */
  async progress(job: Receipt | string, onProgress: (progress: Progress) => void, options: CallOptions = {}): Promise<Outcome> {
    const jobId = typeof job === "string" ? job : job.job_id;
    for await (const { event, data } of this.#events(`/v1/jobs/${encodeURIComponent(jobId)}/events`, options.signal)) {
      if (event === "progress") onProgress(JSON.parse(data) as Progress);
      else if (event === "outcome") return JSON.parse(data) as Outcome;
    }
    throw new Error("unreachable: the stream of a job ends with its outcome");
  }

  /** Yield server-sent events; connect again with `Last-Event-ID` if the connection ends. */
  async *#events(path: string, signal?: AbortSignal): AsyncGenerator<ServerSentEvent, void, undefined> {
    let lastId: string | undefined;
    for (let failures = 0; ; failures += 1) {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (lastId !== undefined) headers["Last-Event-ID"] = lastId;
      const response = await this.#send(path, { method: "GET", headers }, true, signal);
      try {
        for await (const event of parseEvents(response.body as ReadableStream<Uint8Array>)) {
          failures = 0;
          if (event.id) lastId = event.id;
          yield event;
        }
      } catch (error) {
        // A connection that breaks off is made again, as one that ends.
        if (signal?.aborted || !(error instanceof TypeError)) throw error;
      }
      await sleep(Math.min(PAUSE_SECONDS * 2 ** failures, this.#maxPauseSeconds), signal);
    }
  }

  /** Send one request of the table of operations: its arguments by name, `body` for the body. */
  async call<K extends keyof Operations>(
    name: K,
    args: Operations[K]["arguments"],
    options: CallOptions = {},
  ): Promise<Operations[K]["answer"]> {
    const { method, url, path, query, header } = OPERATIONS[name];
    const given = args as Record<string, unknown>;
    const filled = path.reduce((text: string, key) => text.replace(`{${key}}`, encodeURIComponent(String(given[key]))), url);
    const search = new URLSearchParams();
    for (const key of query) {
      for (const value of [given[key]].flat()) if (value != null) search.append(key, String(value));
    }
    const headers: Record<string, string> = { Accept: "application/json" };
    for (const key of header) if (given[key] != null) headers[key] = headerText(String(given[key]));
    const init: RequestInit = { method, headers };
    if (given["body"] !== undefined) {
      headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(given["body"]);
    }
    // A job that is submitted twice is one job, as after any loss of a connection.
    const repeatable = IDEMPOTENT.has(method) || name === "submitJob";
    const response = await this.#send(`${filled}${search.size ? `?${search}` : ""}`, init, repeatable, options.signal);
    const text = await response.text();
    return (text ? JSON.parse(text) : null) as Operations[K]["answer"];
  }

  /** Send a request; repeat it after 429 and 503, which write nothing, and if it may be repeated, after lost connections. */
  async #send(path: string, init: RequestInit, repeatable: boolean, signal?: AbortSignal): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#token !== undefined) headers.set("Authorization", `Bearer ${this.#token}`);
    for (let attempt = 1; ; attempt += 1) {
      let error: unknown;
      let pause = PAUSE_SECONDS * 2 ** (attempt - 1) * (0.5 + Math.random());
      try {
        const response = await this.#fetch(this.#url + path, { ...init, headers, signal: signal ?? null });
        if (response.ok) return response;
        const failed = await problemError(response);
        if (failed.status !== 429 && failed.status !== 503) throw failed;
        error = failed;
        pause = Math.max(pause, failed.retryAfterSeconds ?? 0);
      } catch (caught) {
        if (caught instanceof ProblemError || signal?.aborted || !repeatable) throw caught;
        error = caught;
      }
      if (attempt >= this.#maxAttempts) throw error;
      await sleep(Math.min(pause, this.#maxPauseSeconds), signal);
    }
  }
}

/** Parse a stream of server-sent events (WHATWG HTML, 9.2.6). */
async function* parseEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let event: ServerSentEvent = { id: "", event: "", data: "" };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() as string;
      for (const line of lines) {
        if (line === "") {
          if (event.data !== "") yield { ...event, event: event.event || "message", data: event.data.slice(0, -1) };
          event = { id: event.id, event: "", data: "" };
          continue;
        }
        const colon = line.indexOf(":");
        const field = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "data") event.data += `${text}\n`;
        else if (field === "event" || field === "id") event[field] = text;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

async function problemError(response: Response): Promise<ProblemError> {
  const text = await response.text();
  const after = response.headers.get("Retry-After");
  let problem: Problem;
  try {
    problem = JSON.parse(text) as Problem;
  } catch {
    // Not from the gateway: a proxy in between.
    problem = { type: "about:blank", title: response.statusText, status: response.status, detail: text.slice(0, 500) };
  }
  return new ProblemError(response.status, problem, after === null ? null : Number(after));
}

/** Return a text as the bytes of its UTF-8, which is what the gateway reads; `fetch` sends each character as one byte. */
function headerText(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function sleep(seconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
