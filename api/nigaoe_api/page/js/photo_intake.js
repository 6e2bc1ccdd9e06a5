// @ts-check
// The ways a photo gets in: chosen, dropped anywhere, pasted, or the sample.

import { byId } from "./elements.js";

const DRAGGING = "is-dragging";

/**
 * @param {(file: File) => void} onPhoto
 * @param {() => boolean} isOpen Whether a photo may come in now.
 */
export function watchIntake(onPhoto, isOpen) {
  watchInput("photo-input", onPhoto);
  watchInput("capture-input", onPhoto);
  for (const button of document.querySelectorAll('#choose-photo, [data-do="choose"]'))
    button.addEventListener("click", () => byId("photo-input").click());
  watchDrops(onPhoto, isOpen);
  document.addEventListener("paste", (event) => {
    const file = pictureIn(event.clipboardData);
    if (file && isOpen()) onPhoto(file);
  });
  byId("use-sample").addEventListener("click", async () => onPhoto(await fetchSample()));
}

/**
 * @param {string} input
 * @param {(file: File) => void} onPhoto
 */
function watchInput(input, onPhoto) {
  const chooser = byId(input, HTMLInputElement);
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
    if (!file || !isOpen()) return;
    const place = event.target instanceof Element && event.target.closest("[data-takes-pictures]");
    if (place) place.dispatchEvent(new CustomEvent("picture", { detail: file }));
    else onPhoto(file);
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
  const response = await fetch(new URL("../sample.jpg", import.meta.url));
  return new File([await response.blob()], "sample.jpg", { type: "image/jpeg" });
}
