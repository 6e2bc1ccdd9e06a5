// @ts-check
// What all dialogs share (closing), and the one that asks for an API key.

import { setKeyPrompt } from "./api_client.js";
import { byId } from "./elements.js";

/** Close a dialog by its buttons and by a press beside it; Escape the browser does by itself. */
export function watchDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    for (const button of dialog.querySelectorAll("[data-close]"))
      button.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }
  setKeyPrompt(askForKey);
}

/** @type {Promise<string | null> | null} Several requests may be refused at once; one question is enough. */
let asking = null;

/**
 * @param {boolean} refused Whether the last key was not accepted.
 * @returns {Promise<string | null>}
 */
function askForKey(refused) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("ask-key", HTMLDialogElement);
    const input = byId("api-key", HTMLInputElement);
    let key = "";
    byId("key-refused").hidden = !refused;
    byId("key-form").addEventListener("submit", () => (key = input.value.trim()), { once: true });
    dialog.addEventListener(
      "close",
      () => {
        input.value = "";
        asking = null;
        resolve(key || null);
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}
