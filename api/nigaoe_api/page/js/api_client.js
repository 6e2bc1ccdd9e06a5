// @ts-check
// Requests to the API that serves this page, and what it says when it refuses.

const KEY_STORED_AS = "nigaoe.key";

/** A problem document (RFC 9457) that the API answered, or the network's failure as code `network`. */
export class Problem extends Error {
  /**
   * @param {number} status 0 when no answer came.
   * @param {Record<string, any>} document
   * @param {string | null} [retryAfter] The header, in seconds.
   */
  constructor(status, document, retryAfter) {
    super(document.detail || document.title || `HTTP ${status}`);
    this.status = status;
    /** @type {string} */
    this.code = document.code || (status ? "internal" : "network");
    /** @type {string} */
    this.title = document.title || "";
    /** @type {string} */
    this.requestId = document.request_id || "";
    /** @type {number | null} Seconds. */
    this.retryAfter = Number(document.retry_after ?? retryAfter) || null;
  }
}

/** @type {(refused: boolean) => Promise<string | null>} */
let askForKey = async () => null;

/** @param {(refused: boolean) => Promise<string | null>} prompt Asks for an API key (again, if one was refused); null: there is none. */
export function setKeyPrompt(prompt) {
  askForKey = prompt;
}

/** @returns {Record<string, string>} */
export function authorization() {
  const key = sessionStorage.getItem(KEY_STORED_AS);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/**
 * Run a request; where the API wants a key, or a cookie that has run out, see to that and run it again.
 *
 * @template T
 * @param {() => Promise<T>} send
 * @returns {Promise<T>}
 */
export async function admitted(send) {
  try {
    return await send();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.code === "anonymous_refused") return withNewCookie(send);
    if (error.status !== 401) throw error;
    const refused = sessionStorage.getItem(KEY_STORED_AS) !== null;
    sessionStorage.removeItem(KEY_STORED_AS);
    const key = await askForKey(refused);
    if (!key) throw error;
    sessionStorage.setItem(KEY_STORED_AS, key);
    return admitted(send);
  }
}

/**
 * The page itself brings the cookie that keeps this browser's drawings apart from other people's.
 *
 * @template T
 * @param {() => Promise<T>} send
 * @returns {Promise<T>}
 */
async function withNewCookie(send) {
  await fetch(address("./"), { cache: "no-store" });
  return send();
}

/**
 * The address of an API path, wherever the page is mounted.
 *
 * @param {string} path
 */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function problemOf(response) {
  const isProblem = (response.headers.get("Content-Type") || "").includes("json");
  const document = isProblem ? await response.json().catch(() => ({})) : {};
  return new Problem(response.status, document, response.headers.get("Retry-After"));
}

/**
 * Fetch, with every refusal as a `Problem`.
 *
 * @param {string} path
 * @param {RequestInit & {passes?: number[]}} [init] `passes`: statuses above 299 that are no refusal here.
 * @returns {Promise<Response>}
 */
export function request(path, { passes = [], ...init } = {}) {
  return admitted(async () => {
    let response;
    try {
      response = await fetch(address(path), { ...init, headers: { ...authorization(), ...init.headers } });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new Problem(0, { detail: "The studio cannot be reached." });
    }
    if (!response.ok && !passes.includes(response.status)) throw await problemOf(response);
    return response;
  });
}

/**
 * @param {string} id
 * @param {AbortSignal} [signal]
 * @returns {Promise<import("./types.js").Job>}
 */
export async function getJob(id, signal) {
  return (await request(`jobs/${encodeURIComponent(id)}`, { signal })).json();
}

/**
 * Erase jobs with everything that belongs to them; ones that are gone already are a success.
 *
 * @param {string[]} ids
 */
export async function eraseJobs(ids) {
  await Promise.all(ids.map((id) => request(`jobs/${encodeURIComponent(id)}`, { method: "DELETE" })));
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<boolean>} Whether the job is this browser's own.
 */
export async function isOwnJob(id, signal) {
  try {
    await getJob(id, signal);
    return true;
  } catch (error) {
    if (error instanceof Problem && (error.status === 404 || error.status === 401)) return false;
    throw error;
  }
}

/** @returns {Promise<import("./types.js").Job[]>} The newest of this browser's jobs, or of the key's owner. */
export async function listJobs() {
  return (await (await request("jobs?limit=100")).json()).jobs;
}

/**
 * The address that shows a drawing to whoever has it.
 *
 * @param {string} id
 * @returns {Promise<string>}
 */
export async function shareJob(id) {
  return (await (await request(`jobs/${encodeURIComponent(id)}/share`, { method: "POST" })).json()).url;
}

/**
 * A drawing that somebody else has shared.
 *
 * @param {string} id
 * @param {string} signature
 * @param {AbortSignal} signal
 * @returns {Promise<import("./types.js").SharedDrawing>}
 */
export async function getShared(id, signature, signal) {
  return (await request(`shared/${encodeURIComponent(id)}?signature=${encodeURIComponent(signature)}`, { signal })).json();
}

/** @returns {Promise<{default: string, styles: import("./types.js").Style[]}>} */
export async function getStyles() {
  return (await request("styles")).json();
}
