// @ts-check
// "My prints": the faces that this browser remembers, each with all its looks as the server still has them.

import { announce } from "./announcer.js";
import { Problem, eraseJobs, getJob, listJobs } from "./api_client.js";
import { until } from "./durations.js";
import { byId, fromTemplate, within } from "./elements.js";
import { captionOf } from "./finished_panel.js";
import { forget, remembered, watchHistory } from "./history_store.js";
import { hasEnded } from "./job_follower.js";
import { fetchResult, release } from "./pictures.js";

/** One clear pixel: without a source, a picture would shrink around its words. */
const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";

/** @typedef {import("./history_store.js").Entry} Entry */
/** @typedef {import("./types.js").Job} Job */

/**
 * @typedef {object} Watcher
 * @property {(id: string) => void} onOpen
 * @property {(ids: string[]) => void} onErased
 */

export class HistoryDrawer {
  /**
   * @param {import("./types.js").Style[]} styles
   * @param {Watcher} watcher
   */
  constructor(styles, { onOpen, onErased }) {
    this.styles = styles;
    this.onOpen = onOpen;
    this.onErased = onErased;
    this.dialog = byId("history", HTMLDialogElement);
    /** Fetched once for the page's life. @type {Map<string, import("./pictures.js").Picture>} */
    this.pictures = new Map();
    byId("open-history").addEventListener("click", () => {
      this.showList();
      this.dialog.showModal();
    });
    byId("delete-all").addEventListener("click", async () => {
      await this.erase(remembered());
      this.showList();
    });
    watchHistory(showCount);
    showCount();
  }

  showList() {
    const entries = remembered();
    byId("history-empty").hidden = entries.length > 0;
    byId("delete-all").hidden = entries.length === 0;
    const known = entries.length ? listJobs().catch(() => []) : Promise.resolve([]);
    byId("history-list").replaceChildren(...entries.map((entry, index) => this.itemOf(entry, index, known)));
  }

  /**
   * @param {Entry} entry
   * @param {number} index
   * @param {Promise<Job[]>} known What one request told of most jobs.
   */
  itemOf(entry, index, known) {
    const item = fromTemplate("history-item");
    const open = within(item, ".history__open", HTMLButtonElement);
    const remove = within(item, ".history__delete", HTMLButtonElement);
    remove.setAttribute("aria-label", `Delete print ${index + 1}`);
    open.addEventListener("click", () => this.open(entry.id));
    remove.addEventListener("click", async () => {
      await this.erase([entry]);
      this.showList();
      this.dialog.querySelector("button")?.focus();
    });
    this.fill(item, entry, index, known).catch(() => item.remove());
    return item;
  }

  /** @param {string} id */
  open(id) {
    this.dialog.close();
    this.onOpen(id);
  }

  /**
   * @param {HTMLElement} item
   * @param {Entry} entry
   * @param {number} index
   * @param {Promise<Job[]>} known
   */
  async fill(item, entry, index, known) {
    const label = within(item, ".history__open span", HTMLElement);
    const picture = within(item, ".history__open img", HTMLImageElement);
    picture.alt = `Print ${index + 1}`;
    picture.src = BLANK;
    label.textContent = "…";
    try {
      const job = await jobOf(entry.id, known);
      label.textContent = stateOf(job);
      if (job.state === "succeeded") picture.src = (await this.pictureOf(job)).url;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status !== 404) return void (label.textContent = "Cannot be reached now");
      forget([entry.id]);
      throw error;
    }
    await this.hangLooks(within(item, ".history__looks", HTMLElement), entry, known);
  }

  /**
   * The other looks of a face, each with an address of its own.
   *
   * @param {HTMLElement} row
   * @param {Entry} entry
   * @param {Promise<Job[]>} known
   */
  async hangLooks(row, { kin }, known) {
    for (const id of kin) {
      const job = await jobOf(id, known).catch(() => null);
      // As a person it is not a drawing: it was made to be compared with.
      if (job?.state !== "succeeded" || job.options.degree === 0) continue;
      const picture = await this.pictureOf(job).catch(() => null);
      if (picture) row.append(this.lookOf(job, picture.url));
    }
    row.hidden = !row.childElementCount;
  }

  /**
   * @param {Job} job
   * @param {string} url
   */
  lookOf(job, url) {
    const look = fromTemplate("history-look");
    const button = within(look, "button", HTMLButtonElement);
    within(look, "img", HTMLImageElement).src = url;
    button.setAttribute("aria-label", captionOf(job.options, this.styles));
    button.title = captionOf(job.options, this.styles);
    button.addEventListener("click", () => this.open(job.id));
    return look;
  }

  /** @param {Job} job */
  async pictureOf(job) {
    const known = this.pictures.get(job.id);
    if (known) return known;
    const picture = await fetchResult(job.links);
    this.pictures.set(job.id, picture);
    return picture;
  }

  /** @param {Entry[]} entries */
  async erase(entries) {
    const ids = entries.flatMap(({ id, kin }) => [id, ...kin]);
    try {
      await eraseJobs(ids);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      return announce("The studio cannot be reached; nothing was deleted.");
    }
    for (const id of ids) {
      const picture = this.pictures.get(id);
      if (picture) release(picture);
      this.pictures.delete(id);
    }
    forget(ids);
    this.onErased(ids);
    announce(entries.length === 1 ? "Deleted." : "All deleted.");
  }
}

function showCount() {
  const count = remembered().length;
  byId("history-count").hidden = count === 0;
  byId("history-count").textContent = String(count);
}

/**
 * @param {string} id
 * @param {Promise<Job[]>} known
 * @returns {Promise<Job>}
 */
async function jobOf(id, known) {
  return (await known).find((job) => job.id === id) ?? getJob(id);
}

/** @param {Job} job */
function stateOf(job) {
  if (!hasEnded(job)) return "Being drawn …";
  if (job.state !== "succeeded") return "Did not succeed";
  return job.expires_at ? `Erased ${until(job.expires_at)}` : "";
}
