// @ts-check
// A line at the top while the network or the studio is not there.

import { address } from "./api_client.js";
import { byId } from "./elements.js";

const LOOK_AGAIN_SECONDS = 3;

/** Watch the network, and the studio until it is ready. */
export function watchConnection() {
  addEventListener("offline", () => show("You are offline. A drawing under way goes on without you."));
  addEventListener("online", () => lookForStudio());
  lookForStudio();
}

async function lookForStudio() {
  const ready = await isReady();
  if (!navigator.onLine) return;
  show(ready ? "" : "The studio is still laying out its brushes. You can already send a photo.");
  if (!ready) setTimeout(lookForStudio, LOOK_AGAIN_SECONDS * 1000);
}

/** @returns {Promise<boolean>} */
async function isReady() {
  try {
    const response = await fetch(address("readyz"));
    await response.text(); // An answer that is never read keeps its connection.
    return response.ok;
  } catch {
    return false;
  }
}

/** @param {string} text */
function show(text) {
  const banner = byId("banner");
  banner.textContent = text;
  banner.hidden = !text;
}
