// @ts-check
// "My prints": what this browser remembers, with the pictures as the server still has them.

import { announce } from "./announcer.js";
import { Problem, eraseJobs, getJob } from "./api_client.js";
import { until } from "./durations.js";
import { byId, fromTemplate, within } from "./elements.js";
import { forget, remembered, watchHistory } from "./history_store.js";
import { hasEnded } from "./job_follower.js";
import { fetchResult, release } from "./pictures.js";

/** One clear pixel: without a source, a picture would shrink around its words. */
const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";

/** @type {Map<string, import("./pictures.js").Picture>} Fetched once for the page's life. */
const thumbnails = new Map();

/**
 * @param {(id: string) => void} onOpen
 * @param {(ids: string[]) => void} onErased
 */
export function watchHistoryDrawer(onOpen, onErased) {
  const dialog = byId("history", HTMLDialogElement);
  const refresh = () => showList(dialog, onOpen, onErased);
  byId("open-history").addEventListener("click", () => {
    refresh();
    dialog.showModal();
  });
  byId("delete-all").addEventListener("click", async () => {
    const all = remembered();
    await erase(all, onErased);
    refresh();
  });
  watchHistory(showCount);
  showCount();
}

function showCount() {
  const count = remembered().length;
  byId("history-count").hidden = count === 0;
  byId("history-count").textContent = String(count);
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {(id: string) => void} onOpen
 * @param {(ids: string[]) => void} onErased
 */
function showList(dialog, onOpen, onErased) {
  const entries = remembered();
  byId("history-empty").hidden = entries.length > 0;
  byId("delete-all").hidden = entries.length === 0;
  byId("history-list").replaceChildren(
    ...entries.map((entry, index) => {
      const item = fromTemplate("history-item");
      const open = within(item, ".history__open", HTMLButtonElement);
      const remove = within(item, ".history__delete", HTMLButtonElement);
      remove.setAttribute("aria-label", `Delete print ${index + 1}`);
      open.addEventListener("click", () => {
        dialog.close();
        onOpen(entry.id);
      });
      remove.addEventListener("click", async () => {
        await erase([entry], onErased);
        showList(dialog, onOpen, onErased);
        dialog.querySelector("button")?.focus();
      });
      fill(item, entry, index).catch(() => item.remove());
      return item;
    }),
  );
}

/**
 * @param {HTMLElement} item
 * @param {import("./history_store.js").Entry} entry
 * @param {number} index
 */
async function fill(item, entry, index) {
  const label = within(item, ".history__open span", HTMLElement);
  const picture = within(item, "img", HTMLImageElement);
  picture.alt = `Print ${index + 1}`;
  picture.src = BLANK;
  label.textContent = "…";
  try {
    const job = await getJob(entry.id);
    label.textContent = captionOf(job);
    if (job.state === "succeeded") picture.src = (await thumbnailOf(job)).url;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status !== 404) return void (label.textContent = "Cannot be reached now");
    forget([entry.id]);
    throw error;
  }
}

/** @param {import("./types.js").Job} job */
function captionOf(job) {
  if (!hasEnded(job)) return "Being drawn …";
  if (job.state !== "succeeded") return "Did not succeed";
  return job.expires_at ? `Erased ${until(job.expires_at)}` : "";
}

/** @param {import("./types.js").Job} job */
async function thumbnailOf(job) {
  const known = thumbnails.get(job.id);
  if (known) return known;
  const picture = await fetchResult(job);
  thumbnails.set(job.id, picture);
  return picture;
}

/**
 * @param {import("./history_store.js").Entry[]} entries
 * @param {(ids: string[]) => void} onErased
 */
async function erase(entries, onErased) {
  const ids = entries.flatMap(({ id, kin }) => [id, ...kin]);
  try {
    await eraseJobs(ids);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return announce("The studio cannot be reached; nothing was deleted.");
  }
  for (const id of ids) {
    const picture = thumbnails.get(id);
    if (picture) release(picture);
    thumbnails.delete(id);
  }
  forget(ids);
  onErased(ids);
  announce(entries.length === 1 ? "Deleted." : "All deleted.");
}
