// @ts-check
// The ways a photo gets in: chosen, dropped anywhere, pasted, or the sample.

import { address } from "./api_client.js";
import { byId } from "./elements.js";

const DRAGGING = "is-dragging";

/**
 * @param {(file: File) => void} onPhoto
 * @param {() => boolean} isOpen Whether a photo may come in now.
 */
export function watchIntake(onPhoto, isOpen) {
  watchInput("choose-photo", "photo-input", onPhoto);
  watchInput(null, "capture-input", onPhoto);
  watchDrops(onPhoto, isOpen);
  document.addEventListener("paste", (event) => {
    const file = pictureIn(event.clipboardData);
    if (file && isOpen()) onPhoto(file);
  });
  byId("use-sample").addEventListener("click", async () => onPhoto(await fetchSample()));
}

/**
 * @param {string | null} button
 * @param {string} input
 * @param {(file: File) => void} onPhoto
 */
function watchInput(button, input, onPhoto) {
  const chooser = byId(input, HTMLInputElement);
  if (button) byId(button).addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    const file = chooser.files?.[0];
    chooser.value = ""; // The same file again is a change, too.
    if (file) onPhoto(file);
  });
}

/**
 * @param {(file: File) => void} onPhoto
 * @param {() => boolean} isOpen
 */
function watchDrops(onPhoto, isOpen) {
  let depth = 0; // dragenter and dragleave come for every element that is crossed.
  const mark = (/** @type {number} */ change) => {
    depth = change ? Math.max(0, depth + change) : 0;
    document.body.classList.toggle(DRAGGING, depth > 0 && isOpen());
  };
  const carriesFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => carriesFile(event) && mark(1));
  addEventListener("dragleave", (event) => carriesFile(event) && mark(-1));
  addEventListener("dragover", (event) => carriesFile(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault(); // Or the browser would leave the page for the dropped picture.
    mark(0);
    const file = event.dataTransfer?.files[0];
    if (file && isOpen()) onPhoto(file);
  });
}

/**
 * @param {DataTransfer | null} clipboard
 * @returns {File | undefined}
 */
function pictureIn(clipboard) {
  return Array.from(clipboard?.files ?? []).find((file) => file.type.startsWith("image/"));
}

/** @returns {Promise<File>} */
async function fetchSample() {
  const response = await fetch(address("sample.jpg"));
  return new File([await response.blob()], "sample.jpg", { type: "image/jpeg" });
}
